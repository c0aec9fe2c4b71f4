# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A dense mesh of a head, one vertex per texel, from its UV map alone."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from mmtvface.geometry.grid_mesh import grid_faces
from mmtvface.geometry.mesh import vertex_normals
from mmtvface.utils.checks import check_shape

from .detail_surface import DetailSurface
from .uv_mapper import UVMapper
from .uv_outline import (
    Outline,
    cut_triangles,
    find_outline,
    nearest_on_outline,
)

_THIN = 1e-3  # texels^2 of doubled area; a whole triangle has 1


class DenseMesh(NamedTuple):
    """A detailed head.

    Attributes:
        vertices: (N, 3) float32 metres, model space.
        faces: (F, 3) int64, counter-clockwise seen from outside.
        colors: (N, 3) float32 RGB in [0, 1], or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None = None


def dense_faces(covered: np.ndarray, beside: np.ndarray,
                places: np.ndarray, outline: Outline) -> np.ndarray:
    """Triangles between the texels of a UV map.

    Args:
        covered: (S, S) bool, texels of the charts.
        beside: (S, S) bool, texels that were put on the outline.
        places: (S, S, 2) where all of them lie, see
            :mod:`mmtvface.renderers.uv_outline`.
        outline: Of the UV map.

    Returns:
        (F, 3) int64 texels ``row * S + column``: triangles of
        :func:`mmtvface.geometry.grid_mesh.grid_faces` of covered texels and
        those beside them, that no outline crosses and that are not folded.
        Three texels beside charts are no triangle, which would bridge them.
    """
    size = len(covered)
    faces = grid_faces(size, size, 0, 0).numpy()
    keep = (covered | beside).ravel()[faces].all(1)
    keep &= covered.ravel()[faces].any(1)
    keep &= ~cut_triangles(places, outline, beside).ravel()
    first, second, third = (
        places.reshape(-1, 2)[faces[:, i]] for i in range(3))
    u, v = second - first, third - first
    # Rows run downwards, so that counter-clockwise is negative.
    keep &= u[:, 1] * v[:, 0] - u[:, 0] * v[:, 1] > _THIN
    return faces[keep]


class _Samples(NamedTuple):
    """Points of a mesh at the texels of its UV map.

    Attributes:
        covered: (S, S) bool, texels of the charts.
        beside: (S, S) bool, texels that were put on the outline.
        places: (S, S, 2) in texels.
        corners: (S * S, 3) vertices of the mesh.
        weights: (S * S, 3) barycentrics.
    """

    covered: np.ndarray
    beside: np.ndarray
    places: np.ndarray
    corners: np.ndarray
    weights: np.ndarray


def sample_uv_map(mapper: UVMapper, outline: Outline) -> _Samples:
    """Covered texels, and beside them texels that are moved to the border.

    Charts end between the centres of texels. Each texel around a chart is
    put on the nearest point of the outline, so that dense meshes reach the
    border and meet across the seams of the UV map.

    Args:
        mapper: Of the head.
        outline: Of the same UV map.
    """
    covered = mapper.covered.cpu().numpy()
    size = len(covered)
    rows, columns = np.mgrid[:size, :size]
    places = np.stack([columns, rows], -1).astype(np.float64)
    corners = np.zeros((size * size, 3), np.int64)
    weights = np.zeros((size * size, 3))
    texels = mapper.texels.cpu().numpy()
    corners[texels] = mapper.texel_vertices.cpu().numpy()
    weights[texels] = mapper.texel_weights.cpu().numpy()
    around = cv2.dilate(covered.astype(np.uint8), np.ones((3, 3))) > 0
    beside = around & ~covered
    if beside.any():
        moved = np.flatnonzero(beside)
        near = nearest_on_outline(places[beside], outline)
        places[beside] = near.places
        corners[moved] = near.vertices[:, [0, 1, 0]]
        weights[moved, 0], weights[moved, 1] = 1 - near.along, near.along
    return _Samples(covered, beside, places, corners, weights)


class DenseTemplate:
    """Turns heads with displacement maps into dense meshes.

    DECA (Feng et al., SIGGRAPH 2021) exports such meshes through a file
    that belongs to FLAME's UV map. Here everything follows from the UV map of
    the head: every covered texel is a vertex, and a fringe of vertices
    closes the half texel to the borders of the charts.

    Args:
        surface: Of the head; its size is the density.
        uv_coords: (Vt, 2) of the same topology, v upwards.
        uv_faces: (F, 3).

    Attributes:
        texels: (N,) int64 flat texel of every vertex.
        faces: (F, 3) int64.

    Raises:
        ValueError: If a shape is another one.
    """

    def __init__(self, surface: DetailSurface, uv_coords: torch.Tensor,
                 uv_faces: torch.Tensor) -> None:
        check_shape('uv_coords', uv_coords, ('Vt', 2))
        check_shape('uv_faces', uv_faces, tuple(surface.mapper.faces.shape))
        self.surface = surface
        size, device = surface.size, surface.mapper.faces.device
        outline = find_outline(
            surface.mapper.faces.cpu().numpy(), uv_coords.cpu().numpy(),
            uv_faces.cpu().numpy(), size)
        samples = sample_uv_map(surface.mapper, outline)
        flat = dense_faces(samples.covered, samples.beside, samples.places,
                           outline)
        self.texels, index = np.unique(flat, return_inverse=True)
        self.faces = index.reshape(flat.shape)
        places = samples.places.reshape(-1, 2)[self.texels]
        self._corners = torch.from_numpy(
            samples.corners[self.texels]).to(device)
        self._weights = torch.from_numpy(
            samples.weights[self.texels]).float().to(device)
        self._grid = torch.from_numpy(
            (2 * places + 1) / size - 1).float().to(device)

    def _sample(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, C, T, T) at the vertices: (B, N, C)."""
        grid = self._grid.expand(len(maps), 1, -1, -1)
        return F.grid_sample(maps, grid, padding_mode='border',
                             align_corners=False)[:, :, 0].mT

    def _interpolate(self, values: torch.Tensor) -> torch.Tensor:
        """(B, V, C) of the coarse mesh at the vertices: (B, N, C)."""
        return sum(self._weights[:, i, None] * values.index_select(
            1, self._corners[:, i]) for i in range(3))

    def vertices(self, vertices: torch.Tensor,
                 displacement: torch.Tensor | None = None) -> torch.Tensor:
        """Dense vertices: on the coarse surface, moved along its normal.

        position + (mask * displacement + fixed) * normal, all interpolated
        in the triangles of the head, the normal renormalised (as published;
        the shaded map of :meth:`DetailSurface.displace` is not).

        Args:
            vertices: (B, V, 3) metres.
            displacement: (B, 1, S, S) metres; None: the fixed one alone.

        Returns:
            (B, N, 3) metres.

        Raises:
            ValueError: If a shape is another one.
        """
        check_shape('vertices', vertices, ('B', 'V', 3))
        surface, size = self.surface, self.surface.size
        height = surface.fixed_displacement.expand(
            len(vertices), -1, -1, -1)
        if displacement is not None:
            check_shape('displacement', displacement,
                        (len(vertices), 1, size, size))
            height = height + displacement * surface.uv_face_eye_mask
        normals = self._interpolate(
            vertex_normals(vertices, surface.mapper.faces))
        return (self._interpolate(vertices)
                + self._sample(height) * F.normalize(normals, dim=-1))

    def colors(self, texture: torch.Tensor) -> torch.Tensor:
        """Colours of the vertices from a texture of any size.

        Args:
            texture: (B, 3, T, T).

        Returns:
            (B, N, 3).
        """
        size = self.surface.size
        if texture.shape[-1] > size:
            texture = F.interpolate(texture, size=(size, size),
                                    mode='bilinear', antialias=True)
        return self._sample(texture)
