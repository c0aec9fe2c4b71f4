# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Which triangle of the UV map lies under each texel, in NumPy alone."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from .uv_layout import UVLayout


class TexelMap(NamedTuple):
    """The UV map seen by texels, row 0 at the top.

    Attributes:
        face: (S, S) int64, -1 where there is none.
        bary: (S, S, 3).
        count: (S, S) how many triangles cover the centre of the texel.
    """

    face: np.ndarray
    bary: np.ndarray
    count: np.ndarray


def rasterize_uv_map(uv_map: UVLayout, size: int) -> TexelMap:
    """Rasterize the UV map at texel centres u = (column + .5) / size."""
    corners = uv_map.coords[uv_map.faces]
    corners = np.stack([corners[..., 0] * size - .5,
                        (1 - corners[..., 1]) * size - .5], -1)
    low = np.floor(corners.min(1)).astype(np.int64)
    extent = (np.ceil(corners.max(1)).astype(np.int64) - low).max(1) + 1
    face = np.full((size, size), -1, dtype=np.int64)
    bary = np.zeros((size, size, 3))
    count = np.zeros((size, size), dtype=np.int64)
    # triangles of similar size together: few, fully vectorised batches
    bounds = [0, 3, 5, 8, 13, 21, 40, 80, size + 2]
    for least, most in zip(bounds[:-1], bounds[1:], strict=True):
        members = np.flatnonzero((extent > least) & (extent <= most))
        step = max(1, 2_000_000 // most**2)
        for start in range(0, len(members), step):
            _fill(members[start:start + step], corners, low, most, face,
                  bary, count)
    return TexelMap(face, bary, count)


def _fill(members: np.ndarray, corners: np.ndarray, low: np.ndarray,
          extent: int, face: np.ndarray, bary: np.ndarray,
          count: np.ndarray) -> None:
    """Write one batch of triangles into the maps (in place)."""
    size = len(face)
    steps = np.arange(extent)
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    pixel = low[members, None] + grid
    a, b, c = (corners[members, None, i] for i in range(3))

    def cross(p, q):
        return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]

    area = cross(b - a, c - a)
    area = np.where(np.abs(area) < 1e-12, np.inf, area)
    w1 = cross(pixel - a, c - a) / area
    w2 = cross(b - a, pixel - a) / area
    w0 = 1 - w1 - w2
    inside = (np.minimum(np.minimum(w0, w1), w2) >= 0) & np.isfinite(area)
    inside &= (pixel >= 0).all(-1) & (pixel < size).all(-1)
    owner, _ = np.nonzero(inside)
    column, row = pixel[inside].T
    np.add.at(count, (row, column), 1)
    face[row, column] = members[owner]
    bary[row, column] = np.stack([w0, w1, w2], -1)[inside]


def sample(texels: TexelMap, faces: np.ndarray,
           attributes: np.ndarray) -> np.ndarray:
    """Interpolate vertex attributes (V, C) into a map (S, S, C)."""
    corners = attributes[faces[np.maximum(texels.face, 0)]]
    values = sum(texels.bary[..., k, None] * corners[..., k, :]
                 for k in range(3))
    return np.where((texels.face >= 0)[..., None], values, 0)


def pad_islands(image: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Continue an image (S, S, ...) into the gaps between islands."""
    row, column = distance_transform_edt(
        ~covered, return_distances=False, return_indices=True)
    return image[row, column]
