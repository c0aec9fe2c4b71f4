# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A dense mesh of a head, one vertex per texel, from its atlas alone."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from mmtvface.geometry.grid_mesh import grid_faces
from mmtvface.utils.checks import check_shape

from .detail_surface import DetailSurface

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


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


def border_edges(uv_faces: np.ndarray) -> np.ndarray:
    """Edges of one triangle only: the outlines of charts and their slits.

    Args:
        uv_faces: (F, 3) int.

    Returns:
        (E, 2) int64 UV vertices.
    """
    edges = np.sort(np.concatenate(
        [uv_faces[:, [0, 1]], uv_faces[:, [1, 2]], uv_faces[:, [2, 0]]]), 1)
    edges, count = np.unique(edges, axis=0, return_counts=True)
    return edges[count == 1]


def _side(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
    """On which side of the line a b the point p lies: -1, 0, 1."""
    u, v = b - a, p - a
    return np.sign(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])


def _cells_of(start: np.ndarray, stop: np.ndarray
              ) -> tuple[np.ndarray, np.ndarray]:
    """Grid cells in the boxes of segments.

    Args:
        start: (E, 2) column and row, in units of texels.
        stop: (E, 2).

    Returns:
        Segment (K,) and cell (K, 2) column, row of every pair.
    """
    low = np.floor(np.minimum(start, stop)).astype(np.int64)
    extent = np.floor(np.maximum(start, stop)).astype(np.int64) - low + 1
    counts = extent.prod(1)
    segment = np.repeat(np.arange(len(low)), counts)
    place = np.arange(len(segment)) - np.repeat(
        counts.cumsum() - counts, counts)
    columns = extent[segment, 0]
    cell = low[segment] + np.stack([place % columns, place // columns], 1)
    return segment, cell


def cut_cells(uv_coords: np.ndarray, uv_faces: np.ndarray,
              size: int) -> np.ndarray:
    """Squares of four texels that an outline of the atlas cuts.

    A square of texels whose corners lie on both sides of a slit (between
    the lips, the eyelids, two charts) must not be filled, however narrow the
    slit is.

    Args:
        uv_coords: (Vt, 2), v upwards.
        uv_faces: (F, 3) int.
        size: Side of the map in texels.

    Returns:
        (size - 1, size - 1, 2) bool: the upper left and the lower right
        triangle of the square between the rows r, r + 1 and the columns c,
        c + 1 are crossed.
    """
    points = np.asarray(uv_coords, np.float64) * [size, -size] + [
        -.5, size - .5]
    edges = border_edges(np.asarray(uv_faces))
    start, stop = points[edges[:, 0]], points[edges[:, 1]]
    segment, cell = _cells_of(start, stop)
    inside = ((cell >= 0) & (cell < size - 1)).all(1)
    segment, cell = segment[inside], cell[inside]
    a, b = start[segment], stop[segment]
    corner = {place: cell + np.array(place[::-1]) for place in _CORNERS}

    def crosses(first: tuple[int, int], last: tuple[int, int]) -> np.ndarray:
        p, q = corner[first], corner[last]
        return ((_side(a, b, p) * _side(a, b, q) < 0)
                & (_side(p, q, a) * _side(p, q, b) < 0))

    diagonal = crosses((1, 0), (0, 1))
    upper = diagonal | crosses((0, 0), (0, 1)) | crosses((0, 0), (1, 0))
    lower = diagonal | crosses((1, 1), (0, 1)) | crosses((1, 1), (1, 0))
    cut = np.zeros((size - 1, size - 1, 2), bool)
    np.logical_or.at(cut[..., 0], (cell[:, 1], cell[:, 0]), upper)
    np.logical_or.at(cut[..., 1], (cell[:, 1], cell[:, 0]), lower)
    return cut


def dense_faces(covered: np.ndarray, uv_coords: np.ndarray,
                uv_faces: np.ndarray) -> np.ndarray:
    """Triangles between the covered texels of an atlas.

    Args:
        covered: (S, S) bool, texels that belong to the surface.
        uv_coords: (Vt, 2), v upwards.
        uv_faces: (F, 3) int.

    Returns:
        (F, 3) int64 texels ``row * S + column``: triangles of
        :func:`mmtvface.geometry.grid_mesh.grid_faces` with three covered
        corners that no outline of a chart crosses.
    """
    size = len(covered)
    faces = grid_faces(size, size, 0, 0).numpy()
    keep = covered.ravel()[faces].all(1)
    keep &= ~cut_cells(uv_coords, uv_faces, size).ravel()
    return faces[keep]


class DenseTemplate:
    """Turns heads with displacement maps into dense meshes.

    DECA (Feng et al., SIGGRAPH 2021) exports such meshes through a file
    that belongs to FLAME's atlas. Here everything follows from the atlas of
    the head: every covered texel that a triangle uses is a vertex.

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
        check_shape('uv_faces', uv_faces, ('F', 3))
        self.surface = surface
        flat = dense_faces(surface.mapper.covered.cpu().numpy(),
                           uv_coords.cpu().numpy(), uv_faces.cpu().numpy())
        self.texels, index = np.unique(flat, return_inverse=True)
        self.faces = index.reshape(flat.shape)

    def _take(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, C, S, S) to (B, N, C)."""
        index = torch.from_numpy(self.texels).to(maps.device)
        return maps.flatten(2).index_select(2, index).mT

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
        surface, size = self.surface, self.surface.size
        maps = surface.maps(vertices)
        height = surface.fixed_displacement
        if displacement is not None:
            check_shape('displacement', displacement,
                        (len(vertices), 1, size, size))
            height = height + displacement * surface.uv_face_eye_mask
        normals = F.normalize(maps.normals, dim=1)
        return self._take(maps.positions + height * normals)

    def colors(self, texture: torch.Tensor) -> torch.Tensor:
        """Colours of the vertices from a texture of any size.

        Args:
            texture: (B, 3, T, T).

        Returns:
            (B, N, 3).
        """
        size = (self.surface.size, self.surface.size)
        if texture.shape[-2:] != size:
            texture = F.interpolate(texture, size=size, mode='bilinear',
                                    antialias=True)
        return self._take(texture)
