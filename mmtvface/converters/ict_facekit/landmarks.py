# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The kit's landmarks as an embedding, with a contour that slides with yaw.

Landmarks are vertices of the kit. The paths of the contour are those of the
built-in head, brought onto this one.
"""

import numpy as np

from mmtvface.heads.landmark_embedding import MAX_YAW, LandmarkEmbedding
from mmtvface.heads.providers.procedural import anatomy
from mmtvface.heads.providers.procedural.embedding import (
    closest_points,
    contour_tracks,
    furthest_steps,
)

from .anatomy_frame import Warp
from .head_mesh import HeadMesh

_MILLIMETRES = 1000.


def vertex_embedding(faces: np.ndarray, vertices: np.ndarray
                     ) -> tuple[np.ndarray, np.ndarray]:
    """Vertices as places on faces.

    Args:
        faces: (F, 3).
        vertices: (N,) vertices, each of which has a face.

    Returns:
        (N,) faces, the first one of each vertex, and (N, 3) coordinates, 1
        at the vertex.
    """
    flat = faces.ravel()
    first = np.full(flat.max() + 1, -1)
    first[flat[::-1]] = np.arange(len(flat))[::-1]
    rows, corners = np.divmod(first[vertices], 3)
    return rows, np.eye(3)[corners]


def _slide(mesh: HeadMesh, side: float, allowed: np.ndarray,
           numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The contour of one side when it turns away.

    Args:
        mesh: The head.
        side: 1 for the left, -1 for the right side.
        allowed: Faces on which the contour may lie.
        numbers: (8,) landmarks of the side, of 9..16 or their mirrors.

    Returns:
        (39, 8) faces and (39, 8, 3) coordinates by yaw, and (39, 8) bool:
        where the landmark itself is not the furthest.
    """
    vertices = mesh.vertices * _MILLIMETRES
    warp = Warp(anatomy.LANDMARKS, vertices[mesh.landmarks])
    tracks = contour_tracks()
    tracks[..., 0] *= side
    tracks = warp(tracks.reshape(-1, 3)).reshape(tracks.shape)
    tracks[:, 0] = vertices[mesh.landmarks[numbers]]
    rows, barys = closest_points(tracks.reshape(-1, 3), vertices,
                                 mesh.faces[allowed])
    rows, barys = allowed[rows], barys / barys.sum(1, keepdims=True)
    points = np.einsum('nk,nkc->nc', barys, vertices[mesh.faces[rows]])
    points = points.reshape(tracks.shape)
    points[..., 0] *= side
    step = furthest_steps(points)
    path = np.arange(8)
    return (rows.reshape(8, -1)[path, step],
            barys.reshape(8, -1, 3)[path, step], step > 0)


def embed_landmarks(mesh: HeadMesh) -> LandmarkEmbedding:
    """Embed the 68 landmarks, and the contour for the yaws -39..39."""
    rows, barys = vertex_embedding(mesh.faces, mesh.landmarks)
    contour_rows = np.tile(rows[:17], (2 * MAX_YAW + 1, 1))
    contour_barys = np.tile(barys[:17], (2 * MAX_YAW + 1, 1, 1))
    allowed = np.flatnonzero(mesh.skin[mesh.faces].all(1))
    for side, first in ((1., 1), (-1., MAX_YAW + 1)):
        numbers = np.arange(9, 17)
        if side < 0:
            numbers = 16 - numbers
        faces, places, moved = _slide(mesh, side, allowed, numbers)
        yaw, path = np.nonzero(moved)
        contour_rows[first + yaw, numbers[path]] = faces[moved]
        contour_barys[first + yaw, numbers[path]] = places[moved]
    return LandmarkEmbedding(
        static_lmk_faces_idx=rows[17:],
        static_lmk_bary_coords=barys[17:],
        dynamic_lmk_faces_idx=contour_rows,
        dynamic_lmk_bary_coords=contour_barys,
        full_lmk_faces_idx=rows[None],
        full_lmk_bary_coords=barys[None])
