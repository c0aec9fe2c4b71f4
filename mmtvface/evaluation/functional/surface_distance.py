# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Distances from points to the surface of a mesh, by libigl."""

import numpy as np

from mmtvface.utils.checks import check_shape
from mmtvface.utils.deps import require


def check_mesh(name: str, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Raise unless arrays are a triangle mesh with finite vertices.

    Args:
        name: What the mesh is, for the message.
        vertices: (V, 3).
        faces: (F, 3) int.

    Raises:
        ValueError: If a shape or an index is wrong, there is no face or a
            vertex is not finite.
    """
    check_shape(f'The vertices of {name}', vertices, ('V', 3))
    check_shape(f'The faces of {name}', faces, ('F', 3))
    if not len(faces) or not len(vertices):
        raise ValueError(f'{name} has {len(vertices)} vertices and '
                         f'{len(faces)} faces; a surface is needed.')
    bad = ~np.isfinite(vertices).all(1)
    if bad.any():
        raise ValueError(f'{int(bad.sum())} of the {len(vertices)} vertices '
                         f'of {name} are not finite.')
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(
            f'The faces of {name} name the vertices {faces.min()} to '
            f'{faces.max()}, but there are {len(vertices)}.')


class MeshSurface:
    """A mesh that is asked for its closest points many times.

    Args:
        vertices: (V, 3).
        faces: (F, 3) int.

    Raises:
        ImportError: If libigl is not installed.
        ValueError: As :func:`check_mesh`.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        check_mesh('the mesh', vertices, faces)
        igl = require('igl', 'Distances to a mesh',
                      'pip install "libigl>=2.6,<3"')
        # libigl accepts exactly these types.
        self.vertices = np.ascontiguousarray(vertices, np.float64)
        self.faces = np.ascontiguousarray(faces, np.int64)
        self._tree = igl.AABB()
        self._tree.init(self.vertices, self.faces)

    def closest(self, points: np.ndarray
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Closest points of the surface.

        Args:
            points: (N, 3).

        Returns:
            Distances (N,), faces (N,) int64 and closest points (N, 3).
        """
        check_shape('points', points, ('N', 3))
        if not len(points):
            return np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 3))
        squared, face, foot = self._tree.squared_distance(
            self.vertices, self.faces,
            np.ascontiguousarray(points, np.float64))
        return (np.sqrt(np.maximum(np.atleast_1d(squared), 0)),
                np.atleast_1d(face), foot.reshape(-1, 3))

    def face_normals(self) -> np.ndarray:
        """(F, 3) unit normals; 0 for faces without an area."""
        corners = self.vertices[self.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0],
                           corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        return np.divide(normals, length, out=np.zeros_like(normals),
                         where=length > 0)


def surface_distance(points: np.ndarray, vertices: np.ndarray,
                     faces: np.ndarray) -> np.ndarray:
    """Distance of points from a triangle mesh.

    Args:
        points: (N, 3).
        vertices: (V, 3), same unit.
        faces: (F, 3) int.

    Returns:
        (N,), not negative.

    Raises:
        ImportError: If libigl is not installed.
        ValueError: As :func:`check_mesh`.
    """
    return MeshSurface(vertices, faces).closest(points)[0]
