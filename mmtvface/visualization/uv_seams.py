# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Albedo maps whose colours differ on the two sides of a seam."""

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import splu

from mmtvface.renderers.uv_mapper import UVMapper

from .texture_fill import apply_gain, log_color, mesh_adjacency

_PULL = 1e3  # of the seams, against the smoothness of the correction
_RECALL = 1e-2  # corrections end within about its inverse square root in edges


def seam_pairs(faces: np.ndarray, uv_faces: np.ndarray) -> np.ndarray:
    """UV vertices that are the same point of the mesh.

    Args:
        faces: (F, 3) int.
        uv_faces: (F, 3) int.

    Returns:
        (K, 2) int64; a vertex of n places in the UV map gives n - 1 pairs.
    """
    corners = np.unique(
        np.stack([faces.ravel(), uv_faces.ravel()], 1), axis=0)
    same = corners[1:, 0] == corners[:-1, 0]
    return np.stack([corners[:-1, 1][same], corners[1:, 1][same]], 1)


def texel_corners(mapper: UVMapper, uv_faces: np.ndarray) -> np.ndarray:
    """UV vertices around the texels of a mapper.

    Args:
        mapper: It knows the vertices of the mesh around its texels.
        uv_faces: (F, 3) int, of the same faces.

    Returns:
        (N, 3) int64, in the order of ``mapper.texels``.
    """
    faces = mapper.faces.cpu().numpy()
    base = np.array([int(faces.max()) + 1], np.int64)**np.array([2, 1, 0])
    keys = faces @ base
    order = np.argsort(keys, kind='stable')
    found = np.searchsorted(keys[order],
                            mapper.texel_vertices.cpu().numpy() @ base)
    return uv_faces[order[found]]


class SeamCloser:
    """Makes a map continuous over the seams of its UV map.

    Published albedo maps are a little brighter on one side of the seam at
    the back of the head than on the other, which shows as a line. Gains at
    the UV vertices bring both sides to the same colour: with c their
    logarithms and l those of the colours, the minimum of

        pull * sum over seams (c_a + l_a - c_b - l_b)^2
        + sum over edges (c_i - c_j)^2 + recall * sum c_i^2.

    Args:
        mapper: Of the head, of the size of the maps.
        uv_faces: (F, 3).
    """

    def __init__(self, mapper: UVMapper, uv_faces: torch.Tensor) -> None:
        uv_faces = uv_faces.cpu().numpy()
        count = int(uv_faces.max()) + 1
        self.mapper = mapper
        self.corners = torch.from_numpy(
            texel_corners(mapper, uv_faces)).to(mapper.faces.device)
        self.pairs = seam_pairs(mapper.faces.cpu().numpy(), uv_faces)
        adjacency = mesh_adjacency(uv_faces, count)
        degree = np.asarray(adjacency.sum(1)).ravel()
        number = len(self.pairs)
        rows = np.repeat(np.arange(number), 2)
        self._jumps = sp.coo_matrix(
            (np.tile([1., -1.], number), (rows, self.pairs.ravel())),
            (number, count)).tocsr()
        matrix = (sp.diags(degree + _RECALL) - adjacency
                  + _PULL * self._jumps.T @ self._jumps)
        self._solver = splu(matrix.tocsc())

    def corner_means(self, maps: torch.Tensor) -> np.ndarray:
        """Mean colours (Vt, 3) around the UV vertices of (1, 3, T, T)."""
        weight = self.mapper.texel_weights.flatten().double()
        colors = maps[0].flatten(1)[:, self.mapper.texels].mT.double()
        rows = colors.repeat_interleave(3, 0) * weight[:, None]
        count = self._jumps.shape[1]
        index = self.corners.flatten()
        total = rows.new_zeros(count, 3).index_add(0, index, rows)
        norm = weight.new_zeros(count).index_add(0, index, weight)
        return (total / norm.clamp(min=1e-9)[:, None]).cpu().numpy()

    def gains(self, colors: np.ndarray) -> np.ndarray:
        """Gains (Vt, 3) that close the seams of colours (Vt, 3)."""
        jump = self._jumps @ log_color(colors)
        return np.exp(self._solver.solve(-_PULL * (self._jumps.T @ jump)))

    def close(self, maps: torch.Tensor) -> torch.Tensor:
        """Close the seams of a map (1, 3, T, T); texels outside are kept."""
        if not len(self.pairs):
            return maps
        gains = torch.from_numpy(self.gains(self.corner_means(maps))).to(maps)
        texels = self.mapper.texels
        gain = sum(self.mapper.texel_weights[:, i, None].to(maps)
                   * gains.index_select(0, self.corners[:, i])
                   for i in range(3))
        flat = maps.flatten(2).clone()
        flat[0, :, texels] = apply_gain(flat[0, :, texels], gain.mT)
        return flat.view_as(maps)
