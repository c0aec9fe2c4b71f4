# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The 68 landmarks on the mean head, and the contour that slides with yaw."""

import numpy as np
from scipy.spatial import cKDTree

from mmtvface.geometry.landmarks import MIRROR
from mmtvface.heads.landmark_embedding import LandmarkEmbedding

from . import anatomy, eye, mouth, surface
from .mean_mesh import MeanMesh

_MAX_YAW = 39
_CONTOUR_STEPS = 60
_NEIGHBORS = 40


def closest_points(points: np.ndarray, vertices: np.ndarray,
                   faces: np.ndarray, neighbors: int = _NEIGHBORS
                   ) -> tuple[np.ndarray, np.ndarray]:
    """Closest places on a triangle mesh.

    Args:
        points: (N, 3) mm.
        vertices: (V, 3) mm.
        faces: (F, 3).
        neighbors: How many triangles near a point are tried, by their
            centres.

    Returns:
        (N,) rows of ``faces`` and (N, 3) barycentric coordinates.
    """
    corners = vertices[faces]
    tree = cKDTree(corners.mean(1))
    _, near = tree.query(points, min(neighbors, len(faces)))
    near = near.reshape(len(points), -1)
    a, b, c = np.moveaxis(corners[near], 2, 0)
    point = points[:, None]

    def dot(p, q):
        return np.sum(p * q, axis=-1)

    ab, ac, ap = b - a, c - a, point - a
    d00, d01, d11 = dot(ab, ab), dot(ab, ac), dot(ac, ac)
    d20, d21 = dot(ap, ab), dot(ap, ac)
    determinant = np.maximum(d00 * d11 - d01 * d01, 1e-18)
    v = (d11 * d20 - d01 * d21) / determinant
    w = (d00 * d21 - d01 * d20) / determinant
    plane = np.stack([1 - v - w, v, w], -1)
    options = [plane]
    # outside a triangle the closest point is on one of its edges
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, edge = (a, b, c)[i], (a, b, c)[j] - (a, b, c)[i]
        t = np.clip(dot(point - start, edge) /
                    np.maximum(dot(edge, edge), 1e-18), 0, 1)
        bary = np.zeros((*t.shape, 3))
        bary[..., i], bary[..., j] = 1 - t, t
        options.append(bary)
    options = np.stack(options, 2)
    place = np.einsum('nkoi,nkix->nkox', options, corners[near])
    distance = np.sum((place - point[:, :, None])**2, axis=-1)
    distance[:, :, 0][(plane < 0).any(-1)] = np.inf
    # of equally near places always the same, whatever the last bits
    best = np.argmin(np.round(distance, 9).reshape(len(points), -1), axis=1)
    face, option = np.divmod(best, 4)
    index = np.arange(len(points))
    return near[index, face], np.round(options[index, face, option], 11)


def _allowed_faces(mesh: MeanMesh) -> dict[str, np.ndarray]:
    """Faces of the left half on which kinds of landmarks may lie."""
    half = len(mesh.faces) // 2
    faces = mesh.faces[:half]
    kind = np.zeros((len(mesh.vertices), 5), dtype=bool)
    eyelids, lips, ear = mesh.eyelids[0], mesh.lips[0], mesh.ears[0]
    hidden, upper_eyelid, lower_eyelid, upper_lip, lower_lip = range(5)
    kind[mesh.eyeballs[0], hidden] = True
    kind[eyelids[eye.MARGIN + 1:], hidden] = True
    kind[lips[mouth.INSIDE:], hidden] = True
    kind[mesh.mouth_cap, hidden] = True
    kind[ear[2:], hidden] = True
    turn = eye.RING_SIZE // 2
    rims = eyelids[eye.MARGIN - 1:eye.MARGIN + 1]
    kind[rims[:, :turn + 1], upper_eyelid] = True
    kind[rims[:, turn:], lower_eyelid] = True
    kind[eyelids[eye.MARGIN - 1:eye.MARGIN + 1, 0], lower_eyelid] = True
    red = slice(mouth.BORDER + 1, mouth.CONTACT + 1)
    kind[lips[red, :mouth.CORNER + 1], upper_lip] = True
    kind[lips[red, mouth.CORNER:], lower_lip] = True
    visible = ~kind[faces, hidden].any(1)
    return {
        'skin': np.flatnonzero(visible),
        'upper_eyelid': np.flatnonzero(kind[faces, upper_eyelid].all(1)),
        'lower_eyelid': np.flatnonzero(kind[faces, lower_eyelid].all(1)),
        'upper_lip': np.flatnonzero(kind[faces, upper_lip].all(1)),
        'lower_lip': np.flatnonzero(kind[faces, lower_lip].all(1)),
    }


_KINDS = {43: 'upper_eyelid', 44: 'upper_eyelid', 42: 'upper_eyelid',
          45: 'upper_eyelid', 46: 'lower_eyelid', 47: 'lower_eyelid',
          62: 'upper_lip', 63: 'upper_lip', 64: 'upper_lip',
          65: 'lower_lip', 66: 'lower_lip'}


def _embed(mesh: MeanMesh, points: np.ndarray,
           allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, barys = closest_points(points, mesh.vertices,
                                 mesh.faces[allowed])
    return allowed[rows], barys


def _mirror(mesh: MeanMesh, rows: np.ndarray,
            barys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mirror image of places on the left half."""
    return rows + len(mesh.faces) // 2, barys[..., [0, 2, 1]]


def _full_embedding(mesh: MeanMesh) -> tuple[np.ndarray, np.ndarray]:
    """(68,) faces and (68, 3) barycentric coordinates."""
    allowed = _allowed_faces(mesh)
    rows = np.empty(68, dtype=np.int64)
    barys = np.empty((68, 3))
    left = np.flatnonzero(anatomy.LANDMARKS[:, 0] >= 0)
    for number in left:
        faces = allowed[_KINDS.get(int(number), 'skin')]
        rows[number:number + 1], barys[number:number + 1] = _embed(
            mesh, anatomy.LANDMARKS[number:number + 1], faces)
        if anatomy.LANDMARKS[number, 0] == 0:
            _put_on_midline(mesh, rows, barys, number, faces)
    mirror = np.array(MIRROR)
    right = np.flatnonzero(anatomy.LANDMARKS[:, 0] < 0)
    rows[right], barys[right] = _mirror(mesh, rows[mirror[right]],
                                        barys[mirror[right]])
    return rows, barys


def _put_on_midline(mesh: MeanMesh, rows: np.ndarray, barys: np.ndarray,
                    number: int, allowed: np.ndarray) -> None:
    """Embed one landmark on an edge in the plane of symmetry (in place)."""
    on_plane = mesh.vertices[mesh.faces[allowed], 0] == 0
    allowed = allowed[on_plane.sum(1) == 2]
    corners = mesh.faces[allowed]
    on_plane = mesh.vertices[corners, 0] == 0
    # the third corner drawn onto the edge leaves only the edge
    off = np.argmin(on_plane, axis=1)
    edges = corners.copy()
    index = np.arange(len(allowed))
    edges[index, off] = corners[index, (off + 1) % 3]
    row, bary = closest_points(anatomy.LANDMARKS[number:number + 1],
                               mesh.vertices, edges)
    row = row[0]
    merged = bary[0].copy()
    merged[(off[row] + 1) % 3] += merged[off[row]]
    merged[off[row]] = 0
    rows[number], barys[number] = allowed[row], merged


def contour_tracks() -> np.ndarray:
    """Paths over the left cheek along which the outline can lie.

    Returns:
        (8, steps, 3) mm, from the landmarks 9..16 forwards.
    """
    tracks = []
    for number in range(9, 17):
        start = surface.point_to_chart(anatomy.LANDMARKS[number])
        share = np.linspace(1, .32, _CONTOUR_STEPS)
        # the jaw's contour also climbs a little as it slides to the front
        climb = np.linspace(0, 1, _CONTOUR_STEPS) * np.interp(
            number, [9, 12, 16], [0., 6., 0.])
        tracks.append(surface.evaluate(np.stack(
            [start[0] * share, start[1] + climb], -1)))
    return np.stack(tracks)


def furthest_steps(tracks: np.ndarray) -> np.ndarray:
    """Where the outline lies when the head turns to the person's left.

    Args:
        tracks: (8, steps, 3) paths over the left cheek, see
            :func:`contour_tracks`.

    Returns:
        (39, 8) int64, for the yaws 1..39 degrees the step of each path that
        is furthest to the side as the camera sees it.
    """
    angle = np.radians(np.arange(1, _MAX_YAW + 1))[:, None, None]
    outward = (tracks[..., 0] * np.cos(angle) +
               tracks[..., 2] * np.sin(angle))
    return np.argmax(outward, axis=2)


def _dynamic_embedding(mesh: MeanMesh, rows: np.ndarray,
                       barys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(79, 17) faces and (79, 17, 3) coordinates of the contour by yaw.

    When the head turns to the person's left, the left jaw line disappears and
    the outline moves forward over the cheek; the other side keeps its
    landmarks, which stay in view.
    """
    faces_table = np.tile(rows[:17], (2 * _MAX_YAW + 1, 1))
    bary_table = np.tile(barys[:17], (2 * _MAX_YAW + 1, 1, 1))
    allowed = _allowed_faces(mesh)['skin']
    tracks = contour_tracks()
    embedded, weights = _embed(mesh, tracks.reshape(-1, 3), allowed)
    embedded = embedded.reshape(8, -1)
    weights = weights.reshape(8, -1, 3)
    for yaw, furthest in enumerate(furthest_steps(tracks), 1):
        pick = np.arange(8), furthest
        moved = furthest > 0
        left = np.arange(9, 17)[moved]
        faces_table[yaw, left] = embedded[pick][moved]
        bary_table[yaw, left] = weights[pick][moved]
        mirrored = _mirror(mesh, faces_table[yaw, 9:], bary_table[yaw, 9:])
        faces_table[_MAX_YAW + yaw, :8] = mirrored[0][::-1]
        bary_table[_MAX_YAW + yaw, :8] = mirrored[1][::-1]
    return faces_table, bary_table


def build_embedding(mesh: MeanMesh) -> LandmarkEmbedding:
    """Embed the landmarks in the mean head."""
    rows, barys = _full_embedding(mesh)
    dynamic_rows, dynamic_barys = _dynamic_embedding(mesh, rows, barys)
    return LandmarkEmbedding(
        static_lmk_faces_idx=rows[17:],
        static_lmk_bary_coords=barys[17:],
        dynamic_lmk_faces_idx=dynamic_rows,
        dynamic_lmk_bary_coords=dynamic_barys,
        full_lmk_faces_idx=rows[None],
        full_lmk_bary_coords=barys[None])
