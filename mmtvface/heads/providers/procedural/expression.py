# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Expression components: named motions of the face, then small residuals.

A coefficient of ``FULL_ACTIVATION`` gives the full motion of the tables, so
that one standard deviation is a natural, half-strong expression. Components
whose name ends in ``_L`` or ``_R`` act on the person's left or right side;
``jawSide`` and ``mouthSide`` go to the left when positive. The opening of the
mouth is the jaw joint's; ``jawDrop`` adds the chin's own motion.
"""

import numpy as np

from . import anatomy, eye, mouth
from .expression_table import EXPRESSIONS, PLACES, Expression
from .identity import spread_nodes
from .mean_mesh import MeanMesh
from .patches import smoothstep
from .rigging import slide_eyelids

NUM_COMPONENTS = 100
FULL_ACTIVATION = 2.

_REACH = 17.
_CLOSED_EYELID_RADIUS = 13.5


def open_positions(points: np.ndarray, jaw: np.ndarray) -> np.ndarray:
    """Move the lower lip away from the upper one, so that distance tells.

    Args:
        points: (N, 3) mm.
        jaw: (N,) weights of the jaw.

    Returns:
        (N, 3) where upper and lower lip are far apart.
    """
    shifted = points.copy()
    shifted[:, 1] -= 16 * jaw
    return shifted


def interpolate_moves(mesh: MeanMesh, jaw: np.ndarray, sources: np.ndarray,
                      source_jaw: np.ndarray,
                      moves: np.ndarray) -> np.ndarray:
    """Spread displacements of scattered places smoothly over the skin.

    Args:
        mesh: The mean head.
        jaw: (V,) jaw weights.
        sources: (K, 3) mm.
        source_jaw: (K,) jaw weights of the sources.
        moves: (K, 3, E) displacements of E expressions.

    Returns:
        (V, 3, E), fading to zero away from the sources.
    """
    near = open_positions(sources, source_jaw)
    here = open_positions(mesh.vertices, jaw)

    def kernel(a, b):
        square = np.sum((a[:, None] - b[None])**2, axis=-1)
        return np.exp(-.5 * square / _REACH**2)

    gram = kernel(near, near) + .02 * np.eye(len(near))
    weights = np.linalg.solve(gram, moves.reshape(len(near), -1))
    field = kernel(here, near) @ weights
    return field.reshape(len(here), 3, -1)


def _sources(landmark_jaw: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict]:
    """Landmarks, named places and quiet points around the face."""
    places, jaw, index = list(anatomy.LANDMARKS), list(landmark_jaw), {}
    index.update({number: number for number in range(68)})
    for name, place in PLACES.items():
        for sign in ((1, -1) if place[0] else (1, )):
            index[name if sign == 1 else name + '_mirror'] = len(places)
            places.append(np.array(place) * [sign, 1, 1])
            below = place[1] < -66
            jaw.append(1. if below else 0.)
        if not place[0]:
            index[name + '_mirror'] = index[name]
    quiet = [(72, 30, -40), (0, 85, -8), (50, 70, -12), (74, -30, -62),
             (60, -95, -60), (0, -125, -35)]
    for place in quiet:
        for sign in ((1, -1) if place[0] else (1, )):
            places.append(np.array(place) * [sign, 1, 1])
            jaw.append(0.)
    return np.array(places, float), np.array(jaw), index


def _moves(expression: Expression, index: dict, count: int) -> np.ndarray:
    """(K, 3) displacements of the sources by one table entry."""
    moves = np.zeros((count, 3))
    for key, vector in expression.moves.items():
        moves[index[key]] = vector
        if isinstance(key, str) and not expression.sides:
            moves[index[key + '_mirror']] = np.array(vector) * [-1, 1, 1]
    return moves


def _left_half(points: np.ndarray) -> np.ndarray:
    """(V,) 1 on the left side, 0 on the right, soft at the midline."""
    return smoothstep(points[:, 0], -9, 9)


def _eyelids(mesh: MeanMesh, blink: tuple[float, float], side: int,
          closes: bool) -> np.ndarray:
    grid = mesh.eyelids[side]
    half = eye.RING_SIZE // 2
    margin = mesh.vertices[grid[eye.MARGIN]]
    lift = np.zeros(eye.RING_SIZE)
    columns = np.arange(1, half)
    pairs = (eye.RING_SIZE - columns) % eye.RING_SIZE
    bell = np.sin(np.pi * columns / half)
    if closes:
        # both margins meet on a line a little above the lower eyelid
        gap = margin[columns, 1] - margin[pairs, 1]
        raised = blink[1] * bell
        lift[columns] = -(gap - raised - .12)
        lift[pairs] = raised
        field = slide_eyelids(mesh, grid, lift, _CLOSED_EYELID_RADIUS)
        # the fold above the eyelid smooths out
        field[grid[1, columns], 2] -= .6 * bell
        field[grid[2, columns], 2] += 1.1 * bell
        return field
    lift[columns] = blink[0] * bell
    lift[pairs] = blink[1] * bell
    return slide_eyelids(mesh, grid, lift, eye.EYELID_RADIUS)


def _jaw_moves(mesh: MeanMesh, jaw: np.ndarray) -> dict[str, np.ndarray]:
    """Translations of the jaw."""
    weight = jaw[:, None]
    chin = smoothstep(mesh.vertices[:, 1], -70, -105)[:, None] * weight
    return {
        'jawForward': weight * np.array([0., -2., 11.]),
        'jawSide': weight * np.array([9., 0., 0.]),
        'jawDrop': weight * [0., -6., -2.] + chin * [0., -2., -1.],
    }


def _residuals(mesh: MeanMesh, jaw: np.ndarray, count: int) -> np.ndarray:
    """(V, 3, count) small smooth motions of the face."""
    points = mesh.vertices
    here = open_positions(points, jaw)
    face = (smoothstep(points[:, 2], -45, -5) *
            smoothstep(points[:, 1], 95, 60) *
            smoothstep(points[:, 1], -128, -108))
    front = np.flatnonzero(face > .5)
    nodes = front[spread_nodes(points[front], 40)]
    square = np.sum((here[:, None] - here[nodes][None])**2, axis=-1)
    kernel = np.exp(-.5 * square / 17.**2) * face[:, None]
    kernel = .5 * (kernel + kernel[mesh.mirror])
    fields = np.zeros((len(points), 3, 3 * len(nodes)))
    for axis in range(3):
        part = kernel.copy()
        if axis == 0:
            part *= np.sign(points[:, :1])
            part *= smoothstep(np.abs(points[:, :1]), 0, 8)
        fields[:, axis, axis::3] = part
    matrix = np.round(fields, 9).reshape(3 * len(points), -1)
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    order = np.argsort(values)[::-1][:count]
    modes = matrix @ vectors[:, order] / np.sqrt(values[order])
    peak = np.linalg.norm(
        modes.reshape(len(points), 3, -1), axis=1).max(axis=0)
    size = np.geomspace(1.2, .25, count)
    largest = np.argmax(np.abs(modes), axis=0)
    sign = np.sign(modes[largest, np.arange(count)])
    return (modes * (sign * size / peak)).reshape(len(points), 3, count)


def expression_components(
        mesh: MeanMesh, jaw: np.ndarray,
        landmark_jaw: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """All expression components.

    Args:
        mesh: The mean head.
        jaw: (V,) jaw weights.
        landmark_jaw: (68,) jaw weights of the landmarks.

    Returns:
        (V, 3, 100) displacements in mm per unit coefficient, and the names.
    """
    sources, source_jaw, index = _sources(landmark_jaw)
    names = list(EXPRESSIONS)
    moves = np.stack([
        _moves(EXPRESSIONS[name], index, len(sources)) for name in names
    ], -1)
    fields = interpolate_moves(mesh, jaw, sources, source_jaw, moves)
    jaw_moves = _jaw_moves(mesh, jaw)
    left = _left_half(mesh.vertices)[:, None]
    components, labels = [], []
    reflect = np.array([-1., 1., 1.])
    for number, name in enumerate(names):
        expression, field = EXPRESSIONS[name], fields[..., number]
        if name in jaw_moves:
            field = jaw_moves[name]
        if not expression.sides:
            components.append(_settle(mesh, field))
            labels.append(name)
            continue
        # at the midline each side has half, both together all of it
        field = _settle(mesh, field * left)
        if expression.blink:
            field = field + _eyelids(mesh, expression.blink, 0,
                                  name == 'eyeBlink')
        components += [field, field[mesh.mirror] * reflect]
        labels += [f'{name}_L', f'{name}_R']
    named = np.stack(components, -1) / FULL_ACTIVATION
    rest = NUM_COMPONENTS - len(labels)
    residual = _residuals(mesh, jaw, rest)
    residual = np.stack([
        _settle(mesh, residual[..., i]) for i in range(rest)], -1)
    labels += [f'residual_{i + 1:02d}' for i in range(rest)]
    components = np.concatenate([named, residual], -1)
    return np.round(components, 6), tuple(labels)


def _settle(mesh: MeanMesh, field: np.ndarray) -> np.ndarray:
    """Keep eyeballs and eyelid rims still and the mouth bag behind the lips.

    The inside of a lip goes along with the lip's contact line, less so the
    deeper it lies.
    """
    field = field.copy()
    for grid in mesh.eyelids:
        for ring, share in enumerate((.9, .7, .45, .2, 0, 0, 0, 0)):
            field[grid[ring]] *= share
    for part in mesh.eyeballs:
        field[part] = 0
    depth = mouth.NUM_RINGS - mouth.CONTACT - 1
    for grid in mesh.lips:
        contact = field[grid[mouth.CONTACT]]
        for step in range(1, depth + 1):
            ring = mouth.CONTACT + step
            share = (1., .75, .15, .1, .1, .05, 0.)[step - 1]
            field[grid[ring]] = share * contact
    field[mesh.mouth_cap] = 0
    return field

