# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The part of the kit's mesh that becomes a head."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmtvface.io.mesh import ObjMesh

from .layout import ALWAYS, OPTIONAL, IctLayout


class HeadMesh(NamedTuple):
    """A selection of the neutral mesh.

    Metres; the origin lies midway between the inner corners of the eyes, as
    in the built-in head.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64, counter-clockwise seen from outside.
        uv_coords: (Vt, 2) all UV coordinates of the kit.
        uv_faces: (F, 3) int64.
        kit_vertices: (V,) int64, which of the kit's vertices each one is,
            rising.
        parts: Name -> (V,) bool; ``'left_eye'`` and ``'right_eye'`` stand
            for the eyeballs.
        landmarks: (68,) int64, vertices.
        origin: (3,) the origin in the kit's coordinates and unit.
        metres: Length of the kit's unit.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv_coords: np.ndarray
    uv_faces: np.ndarray
    kit_vertices: np.ndarray
    parts: dict[str, np.ndarray]
    landmarks: np.ndarray
    origin: np.ndarray
    metres: float

    def offsets(self, offsets: np.ndarray) -> np.ndarray:
        """Offsets (..., N, 3) of the kit's vertices as (..., V, 3) metres."""
        return offsets[..., self.kit_vertices, :] * self.metres

    @property
    def skin(self) -> np.ndarray:
        """(V,) bool, face, head and neck."""
        return self.parts['face'] | self.parts['head']


def check_parts(parts: Sequence[str], layout: IctLayout) -> tuple[str, ...]:
    """All parts of a head with the given optional ones, in order.

    Raises:
        ValueError: If there is no such part.
    """
    wrong = [name for name in parts
             if name not in OPTIONAL or name not in layout.parts]
    if wrong:
        raise ValueError(f'There is no optional part {wrong[0]!r}: choose '
                         f'from {", ".join(OPTIONAL)}.')
    return (*ALWAYS, *(name for name in OPTIONAL if name in parts))


def select_head(mesh: ObjMesh, layout: IctLayout,
                parts: Sequence[str] = ()) -> HeadMesh:
    """Take face, head, neck, eyeballs and optional parts out of the kit.

    Triangles whose corners all lie in chosen parts stay; vertices without a
    triangle are dropped, the others keep their order.

    Args:
        mesh: The neutral mesh.
        layout: Of the kit.
        parts: Optional parts, of :data:`OPTIONAL`.

    Raises:
        ValueError: If there is no such part, a part has no triangle or a
            landmark has none.
    """
    chosen = check_parts(parts, layout)
    kind = np.full(layout.num_vertices, -1)
    for number, name in enumerate(chosen):
        kind[slice(*layout.parts[name])] = number
    rows = np.flatnonzero((kind[mesh.faces] >= 0).all(1))
    kept = np.unique(mesh.faces[rows])
    index = np.full(layout.num_vertices, -1)
    index[kept] = np.arange(len(kept))
    for number, name in enumerate(chosen):
        if not (kind[kept] == number).any():
            raise ValueError(f'The part {name} has no polygon: the mesh is '
                             'of another version than the layout.')
    landmarks = index[list(layout.landmarks)]
    if landmarks.min() < 0:
        lost = np.flatnonzero(landmarks < 0).tolist()
        raise ValueError(f'The landmarks {lost} lie on no polygon: the mesh '
                         'is of another version than the layout.')
    corners = mesh.vertices[[layout.landmarks[39], layout.landmarks[42]]]
    origin = corners.mean(0)
    vertices = (mesh.vertices[kept] - origin) * layout.metres
    masks = {name: kind[kept] == number
             for number, name in enumerate(chosen)}
    balls = masks.pop('eyeballs')
    masks['left_eye'] = balls & (vertices[:, 0] > 0)
    masks['right_eye'] = balls & (vertices[:, 0] < 0)
    for name in ('left_eye', 'right_eye'):
        if not masks[name].any():
            raise ValueError(f'The part eyeballs has no {name}: the mesh is '
                             'of another version than the layout.')
    faces, uv_faces = index[mesh.faces[rows]], mesh.uv_faces[rows]
    if not _looks_outwards(vertices, faces, masks['face']):
        faces, uv_faces = faces[:, ::-1], uv_faces[:, ::-1]
    return HeadMesh(vertices, np.ascontiguousarray(faces), mesh.uv_coords,
                    np.ascontiguousarray(uv_faces), kept, masks, landmarks,
                    origin, layout.metres)


def _looks_outwards(vertices: np.ndarray, faces: np.ndarray,
                    face: np.ndarray) -> bool:
    """Whether most of the face is counter-clockwise seen from the front."""
    a, b, c = np.moveaxis(vertices[faces[face[faces].all(1)]], 1, 0)
    return float(np.cross(b - a, c - a)[:, 2].sum()) > 0
