# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Small meshes with UV maps, whose renderings are easy to reason about."""

import numpy as np

from mmtvface.heads.head_topology import HeadTopology


def grid_faces(rows: int, columns: int) -> np.ndarray:
    """Two triangles per cell of a grid of vertices, (F, 3).

    Counter-clockwise for a viewer who sees rows run down and columns right.
    """
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
    c, d = index[1:, :-1].ravel(), index[1:, 1:].ravel()
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])


def toy_ellipsoid(
    rings: int = 18,
    segments: int = 24,
    radii: tuple[float, float, float] = (0.08, 0.11, 0.1)
) -> tuple[np.ndarray, HeadTopology]:
    """A closed ellipsoid with a seam in its UV map, like a head's.

    The front (+z) lies in the middle of the UV map, the seam is at the back.

    Args:
        rings: Rows of vertices from the top to the bottom.
        segments: Vertices around.
        radii: Of x, y, z, metres.

    Returns:
        (rings * segments, 3) vertices, float64, and the topology, whose
        face masks are 1 in the middle quarter of the UV map.
    """
    v = np.linspace(0.98, 0.02, rings)
    u = np.linspace(0.02, 0.98, segments + 1)
    latitude = (v[:, None] - 0.5) / 0.96 * np.pi * 0.999
    longitude = (u[None, :-1] - 0.5) / 0.96 * 2 * np.pi
    vertices = np.stack(np.broadcast_arrays(
        np.cos(latitude) * np.sin(longitude), np.sin(latitude),
        np.cos(latitude) * np.cos(longitude)), -1).reshape(-1, 3)
    uv_faces = grid_faces(rings, segments + 1)
    row, column = np.divmod(uv_faces, segments + 1)
    mask = np.zeros((256, 256))
    mask[64:192, 64:192] = 1
    return vertices * radii, HeadTopology(
        faces=row * segments + column % segments,
        uv_coords=np.stack(np.meshgrid(u, v), -1).reshape(-1, 2),
        uv_faces=uv_faces,
        uv_face_mask=mask,
        uv_face_eye_mask=mask,
        fixed_displacement=np.zeros((256, 256)))
