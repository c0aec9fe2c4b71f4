# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Normals of triangle meshes."""

import torch
import torch.nn.functional as F

from mmtvface.utils.checks import check_shape

NORMAL_EPS = 1e-6


def _face_cross(vertices: torch.Tensor,
                faces: torch.Tensor) -> torch.Tensor:
    """Cross products of the edges, batch inside: (V, B, 3) -> (F, B, 3)."""
    first, second, third = faces.unbind(1)
    origin = vertices.index_select(0, first)
    return torch.linalg.cross(
        vertices.index_select(0, second) - origin,
        vertices.index_select(0, third) - origin)


def face_normals(vertices: torch.Tensor,
                 faces: torch.Tensor) -> torch.Tensor:
    """Unit normals of faces (counter-clockwise seen from their tip).

    Args:
        vertices: (B, V, 3).
        faces: (F, 3) integer vertex indices.

    Returns:
        (B, F, 3); zero for degenerate faces.
    """
    check_shape('vertices', vertices, ('B', 'V', 3))
    cross = _face_cross(vertices.transpose(0, 1), faces).transpose(0, 1)
    return F.normalize(cross, dim=-1, eps=NORMAL_EPS**2)


def vertex_normals(vertices: torch.Tensor,
                   faces: torch.Tensor) -> torch.Tensor:
    """Unit normals of vertices, weighted by the area of their faces.

    The sum of the cross products of all faces around a vertex (their length
    is twice the area), divided by max(length, 1e-6) as in DECA (Feng et
    al., SIGGRAPH 2021). In metres a head's sums are about 1e-5, so that
    the floor acts on collapsed faces only; vertices of no face get zero.

    The batch is kept inside of the vertices, so that one ``index_add`` of
    rows of B * 3 numbers per corner does the whole batch.

    Args:
        vertices: (B, V, 3), any unit.
        faces: (F, 3) integer vertex indices.

    Returns:
        (B, V, 3), unit length.

    Raises:
        ValueError: If ``vertices`` or ``faces`` has another shape.
    """
    check_shape('vertices', vertices, ('B', 'V', 3))
    check_shape('faces', faces, ('F', 3))
    batch, count, _ = vertices.shape
    cross = _face_cross(vertices.transpose(0, 1), faces).flatten(1)
    total = cross.new_zeros(count, batch * 3)
    for corner in faces.unbind(1):
        total = total.index_add(0, corner, cross)
    normals = F.normalize(
        total.view(count, batch, 3), dim=-1, eps=NORMAL_EPS)
    return normals.transpose(0, 1).contiguous()


FACING_TEXTURE = -0.05
FACING_OVERLAY = 0.15
FACING_LANDMARK = 0.1


def facing_camera(normals_ndc: torch.Tensor,
                  threshold: float = FACING_TEXTURE) -> torch.Tensor:
    """Whether surface points look towards the camera.

    In image space (x right, y down, z away from the camera) the normal of
    a visible surface has a negative z. The thresholds of DECA: below -0.05
    a texel is worth sampling, below 0.15 a pixel is drawn in overlays,
    below 0.1 a landmark counts as visible.

    Args:
        normals_ndc: (..., 3) unit normals of the *projected* mesh, for
            example ``vertex_normals(vertices_ndc, faces)``.
        threshold: Largest z, exclusive.

    Returns:
        (...) bool.
    """
    return normals_ndc[..., 2] < threshold
