# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A fake checkout of ICT-FaceKit Light, made from the built-in head.

The same files in the same order of parts, but with fewer vertices; its jaw
turns about a known hinge and its eyes about known centres.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from mmtvface.converters.ict_facekit.layout import IctLayout
from mmtvface.heads.providers.procedural import (
    FULL_ACTIVATION,
    procedural_head,
)
from mmtvface.heads.providers.procedural.anatomy import EYE_CENTER

#: Where the fake's origin lies in the built-in head, and mm per unit.
ORIGIN, UNIT = np.array([0., -30., -60.]), 10.
HINGE = np.array([0., -26., -74.])
OPEN_ANGLE, SIDE_ANGLES = .30, np.array([0., .08, .03])
GAZE_ANGLE = .35
TILE = 2.

_EXPRESSIONS = {
    'smile': 'mouthSmile', 'eyeBlink': 'eyeBlink', 'frown': 'mouthFrown',
    'pucker': 'mouthPucker', 'browInnerUp': 'browInnerUp',
    'jawForward': 'jawForward'}


@dataclass(frozen=True)
class ToyIct:
    """A fake checkout.

    Attributes:
        folder: The checkout; the meshes are in its FaceXModel.
        layout: Of its meshes.
        vertices: (N, 3) neutral, kit units.
        shapes: File name without suffix -> (N, 3) offsets, kit units.
        jaw: (N,) how much each vertex follows the jaw.
        polygons: Vertices of each polygon.
    """

    folder: Path
    layout: IctLayout
    vertices: np.ndarray
    shapes: dict[str, np.ndarray]
    jaw: np.ndarray
    polygons: list[tuple[int, ...]]

    def path(self, name: str) -> Path:
        """File of a shape or of the neutral mesh."""
        return self.folder / 'FaceXModel' / f'{name}.obj'


class _Parts:
    """Meshes of parts, put one after the other."""

    def __init__(self) -> None:
        self.vertices: list[np.ndarray] = []
        self.coords: list[np.ndarray] = []
        self.polygons: list[list[tuple[int, int]]] = []
        self.ranges: dict[str, tuple[int, int]] = {}
        self.count = self.uv_count = 0

    def add(self, name: str, vertices: np.ndarray, coords: np.ndarray,
            polygons: list[list[tuple[int, int]]]) -> None:
        self.polygons += [[(v + self.count, t + self.uv_count)
                           for v, t in polygon] for polygon in polygons]
        start = self.ranges.get(name, (self.count, 0))[0]
        self.vertices.append(vertices)
        self.coords.append(coords)
        self.count += len(vertices)
        self.uv_count += len(coords)
        self.ranges[name] = (start, self.count)


def _quads(corners: np.ndarray) -> list[list[tuple[int, int]]]:
    """Join triangles (F, 3, 2) at common edges to quads, where possible.

    A fan from a quad's first corner gives its two triangles again.
    """
    triangles = [[tuple(corner) for corner in triangle]
                 for triangle in corners.tolist()]
    by_edge = {}
    for number, triangle in enumerate(triangles):
        for i in range(3):
            by_edge[triangle[i], triangle[(i + 1) % 3]] = number
    free = [True] * len(triangles)
    polygons = []
    for number, triangle in enumerate(triangles):
        if not free[number]:
            continue
        free[number] = False
        polygon = triangle
        for i in range(3):
            a, b, c = (triangle[(i + j) % 3] for j in range(3))
            other = by_edge.get((a, c))
            if other is not None and free[other]:
                free[other] = False
                d, = (p for p in triangles[other] if p not in (a, c))
                polygon = [a, b, c, d]
                break
        polygons.append(polygon)
    return polygons


def _box(center: tuple[float, float, float], size: tuple[float, float, float],
         corner: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, list]:
    """A closed box of two pentagons and five quads, with its own UV."""
    outline = np.array([(-1, -1), (1, -1), (1, 1), (0, 1.3), (-1, 1)]) / 2
    vertices = np.concatenate([
        np.insert(outline, 2, z, axis=1) for z in (.5, -.5)])
    vertices = np.array(center) + vertices * size
    coords = np.concatenate([
        np.array(corner) + .1 + .06 * outline,
        np.array(corner) + .25 + .06 * outline])
    polygons = [[(i, i) for i in range(5)],
                [(5 + i, 5 + i) for i in range(4, -1, -1)]]
    for i in range(5):
        j = (i + 1) % 5
        polygons.append([(k, k) for k in (j, i, 5 + i, 5 + j)])
    return vertices, coords, polygons


def _base() -> tuple[_Parts, np.ndarray, np.ndarray]:
    """Parts in mm, the built-in vertex of each (-1: none), landmarks."""
    head = procedural_head()
    faces, uv_faces = head.model.faces, head.topology.uv_faces
    regions, uv = head.regions, head.topology.uv_coords.copy()
    masks = {
        'eyeballs': regions['eyeballs'],
        'mouth_socket': regions['mouth_inside']}
    taken = masks['eyeballs'] | masks['mouth_socket']
    masks['face'] = ~taken & (regions['face'] | regions['ears']
                              | regions['lips'] | regions['eye_region'])
    masks['head'] = ~taken & ~masks['face']
    # the eyeballs lie in a tile of their own, one upon the other
    ball = regions['eyeballs'][faces].all(1)
    right = regions['right_eyeball'][faces].all(1)
    on_ball, on_right = (np.zeros(len(uv), bool) for _ in range(2))
    on_ball[uv_faces[ball]], on_right[uv_faces[right]] = True, True
    uv[on_right, 0] = 1 - uv[on_right, 0]
    uv[on_ball, 0] += 1
    order = {name: np.flatnonzero(masks[name])
             for name in ('face', 'head', 'mouth_socket', 'eyeballs')}
    parts = _Parts()
    vertices = 1000 * head.model.v_template
    empty = np.zeros((0, 2))
    origin = []
    for name in ('face', 'head', 'mouth_socket'):
        parts.add(name, vertices[order[name]], empty, [])
        origin.append(order[name])
    for x in (32., -32.):
        parts.add('eye_sockets', *_box((x, 4., -22.), (16, 16, 3), (2., .5)))
    for y in (-60., -76.):
        parts.add('gums', *_box((0., y, 0.), (30, 4, 12), (2., .0)))
    for x in (-6., 6.):
        for y in (-64.5, -70.5):
            parts.add('teeth', *_box((x, y, 8.), (10, 5, 3), (2., .25)))
    boxes = parts.count - sum(len(part) for part in origin)
    origin.append(np.full(boxes, -1))
    parts.add('eyeballs', vertices[order['eyeballs']], uv, [])
    origin.append(order['eyeballs'])
    origin = np.concatenate(origin)
    place = np.full(len(vertices), -1)
    place[origin[origin >= 0]] = np.flatnonzero(origin >= 0)
    first_uv = parts.uv_count - len(uv)
    corners = np.stack([place[faces], uv_faces + first_uv], -1)
    parts.polygons += _quads(corners)
    for x in (32., -32.):
        parts.add('fluid', *_box((x, 0., 4.), (20, 2, 1), (3., .0)))
    origin = np.concatenate([origin, np.full(parts.count - len(origin), -1)])
    best = head.landmarks.full_lmk_bary_coords[0].argmax(1)
    landmarks = faces[head.landmarks.full_lmk_faces_idx[0], best]
    return parts, origin, place[landmarks]


def _shapes(vertices: np.ndarray, origin: np.ndarray, jaw: np.ndarray,
            ranges: dict, count: int) -> dict[str, np.ndarray]:
    """Offsets in mm of identities and expressions."""
    head = procedural_head()
    known = origin >= 0
    directions = 1000 * head.model.shapedirs

    def field(column: int) -> np.ndarray:
        offsets = np.zeros_like(vertices)
        offsets[known] = directions[origin[known], :, column]
        return offsets

    shapes = {f'identity{i:03d}': field(i) for i in range(count)}
    for number, name in enumerate(head.expression_names):
        stem, _, side = name.partition('_')
        if stem in _EXPRESSIONS:
            file = _EXPRESSIONS[stem] + (f'_{side}' if side else '')
            shapes[file] = FULL_ACTIVATION * field(300 + number)
    arm = vertices - HINGE

    def turned(axis_angle: np.ndarray) -> np.ndarray:
        turn = Rotation.from_rotvec(axis_angle)
        return jaw[:, None] * (turn.apply(arm) - arm)

    cheek = np.exp(-np.sum(
        ((np.abs(vertices) - [44, 58, 0]) / 18)**2, axis=1))
    glide = jaw[:, None] * [0., -1., 1.5]
    glide[:, 2] -= 2 * cheek
    shapes['jawOpen'] = turned(np.array([OPEN_ANGLE, 0, 0])) + glide
    for name, sign in (('jawLeft', 1), ('jawRight', -1)):
        shapes[name] = turned(sign * SIDE_ANGLES)
        shapes[name][:, 2] -= .8 * cheek
    _add_eyes(shapes, vertices, ranges)
    return shapes


def _add_eyes(shapes: dict[str, np.ndarray], vertices: np.ndarray,
              ranges: dict) -> None:
    """Gaze of each eye, with eyelids that follow, and a widening iris."""
    ball = np.zeros(len(vertices), dtype=bool)
    ball[slice(*ranges['eyeballs'])] = True
    for side, sign in (('L', 1), ('R', -1)):
        members = ball & (sign * vertices[:, 0] > 0)
        center = EYE_CENTER * [sign, 1, 1]
        arm = vertices[members] - center
        eyelid = np.exp(-np.sum(
            ((vertices - center - [0, 9, 8]) / 6)**2, axis=1)) * ~ball
        for name, axis in (('Up', (-1, 0, 0)), ('Down', (1, 0, 0)),
                           ('In', (0, -sign, 0)), ('Out', (0, sign, 0))):
            offsets = np.zeros_like(vertices)
            turn = Rotation.from_rotvec(GAZE_ANGLE * np.array(axis))
            offsets[members] = turn.apply(arm) - arm
            offsets[:, 1] -= 4 * axis[0] * eyelid
            shapes[f'eyeLook{name}_{side}'] = offsets
        offsets = np.zeros_like(vertices)
        near = members & (vertices[:, 2] > center[2] + 10)
        offsets[near, :2] = .1 * (vertices[near, :2] - center[:2])
        shapes[f'PupilDilate_{side}'] = offsets


def _text(vertices: np.ndarray, rest: str) -> str:
    lines = ('v %.6f %.6f %.6f\n' * len(vertices)) % tuple(
        vertices.ravel().tolist())
    return '# a fake\n' + lines + rest


def save_toy_ict(folder: str | Path, num_identity: int = 3) -> ToyIct:
    """Write a fake checkout.

    Args:
        folder: The checkout; it is made.
        num_identity: How many identity files it has.
    """
    folder = Path(folder)
    parts, origin, landmarks = _base()
    vertices = np.concatenate(parts.vertices)
    jaw = np.zeros(len(vertices))
    known = origin >= 0
    jaw[known] = procedural_head().model.weights[origin[known], 2]
    for name in ('gums', 'teeth'):
        rows = np.arange(*parts.ranges[name])
        jaw[rows] = np.round(vertices[rows, 1]) < -67
    # boxes round as one body
    start, stop = parts.ranges['gums'][0], parts.ranges['teeth'][1]
    for first in range(start, stop, 10):
        jaw[first:first + 10] = jaw[first:first + 10].mean() > .5
    ranges = {name: span for name, span in parts.ranges.items()
              if name != 'fluid'}
    layout = IctLayout(len(vertices), ranges, tuple(landmarks.tolist()),
                       num_identity, UNIT / 1000)
    shapes = _shapes(vertices, origin, jaw, ranges, num_identity)
    kit = np.round((vertices - ORIGIN) / UNIT, 6)
    coords = np.concatenate(parts.coords)
    rest = ''.join(f'vt {u:.6f} {v:.6f}\n' for u, v in coords)
    rest += 'g all\nusemtl skin\n' + ''.join(
        'f ' + ' '.join(f'{v + 1}/{t + 1}' for v, t in polygon) + '\n'
        for polygon in parts.polygons)
    (folder / 'FaceXModel').mkdir(parents=True)
    (folder / 'LICENSE').write_text('MIT License, a fake\n')
    exact = {}
    toy = ToyIct(folder, layout, kit, exact, jaw,
                 [tuple(v for v, _ in polygon) for polygon in parts.polygons])
    toy.path('generic_neutral_mesh').write_text(_text(kit, rest))
    for name, offsets in shapes.items():
        positions = np.round(kit + offsets / UNIT, 6)
        exact[name] = positions - kit
        toy.path(name).write_text(_text(positions, rest))
    return toy
