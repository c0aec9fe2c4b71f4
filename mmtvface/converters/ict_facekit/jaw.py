# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The kit's motions of the jaw as rotations of a joint.

A vertex at v that follows a joint at p with the weight w moves by
w (R - I) (v - p). Given jawOpen, the hinge p, the angle of R and all w are
fitted by least squares, then the rotation that explains jawLeft and
jawRight best. What is left over becomes pose correctives, linear in the
entries of R - I like those of FLAME (Li et al., SIGGRAPH Asia 2017, equation
4), which vanish at rest and are exact at the kit's full motions.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from mmtvface.geometry.rotation import axis_angle_to_matrix

from .smoothing import smooth_values

#: Moves, in metres, below which a vertex tells little about its weight.
_WEIGHT_FLOOR = .001
_ROUNDS = 4
#: How far, in largest moves, a vertex may be off the rigid motion before it
#: counts less; narrowed down step by step.
_SCALES = (.03, .01, .003)


class Hinge(NamedTuple):
    """Where and how far the jaw turns.

    Attributes:
        joint: (3,) metres, x = 0.
        angle: Radians about x, of jawOpen.
        at_limit: Whether the joint lies at the border of where it was
            looked for, which is a sign of a motion that is no rotation.
    """

    joint: np.ndarray
    angle: float
    at_limit: bool


class JawRig(NamedTuple):
    """The jaw of a head.

    Attributes:
        hinge: Joint and angle.
        weights: (V,) 0..1.
        open_pose: (3,) axis-angle that stands for jawOpen.
        left_pose: (3,) for jawLeft; negated, for jawRight.
        correctives: (V, 3, 9) metres per entry of the row-major R - I.
        rest: (V, 3) metres: what jawLeft and jawRight have in common beyond
            joint and correctives, to be added at either.
        explained: Name -> share of the motion's mean square that the
            joint alone explains.
        left_over: Name -> RMS in metres, over the vertices that move, of
            what the joint alone does not explain.
    """

    hinge: Hinge
    weights: np.ndarray
    open_pose: np.ndarray
    left_pose: np.ndarray
    correctives: np.ndarray
    rest: np.ndarray
    explained: dict[str, float]
    left_over: dict[str, float]


def rotation(axis_angle: np.ndarray) -> np.ndarray:
    """(3, 3) float64 matrix of an axis-angle (3,)."""
    import torch
    return axis_angle_to_matrix(
        torch.from_numpy(np.asarray(axis_angle, np.float64))).numpy()


def fit_hinge(vertices: np.ndarray, opening: np.ndarray,
              landmarks: np.ndarray) -> Hinge:
    """Find the hinge of the jaw.

    Chin and lower teeth turn as one body; soft skin between them and the
    skull does not. A robust (Cauchy) loss lets the body decide.

    Args:
        vertices: (N, 3) metres, of all that can move.
        opening: (N, 3) metres, jawOpen.
        landmarks: (68, 3) metres.

    Raises:
        ValueError: If nothing moves.
    """
    distance = np.linalg.norm(opening, axis=1)
    if not distance.max() > 1e-3:
        raise ValueError('jawOpen.obj moves nothing by more than a '
                         'millimetre: it is no opening of the mouth.')
    far = distance > .35 * distance.max()
    points, moves = vertices[far, 1:], opening[far, 1:]
    brow, chin = landmarks[27, 1], landmarks[8, 1]
    ears, height = landmarks[[0, 16], 2].mean(), landmarks[27, 1] - chin
    low = np.array([.03, chin, ears - .8 * height])
    high = np.array([1., brow + .3 * height, ears + .25 * height])

    def misses(values: np.ndarray) -> np.ndarray:
        angle, y, z = values
        offset = points - [y, z]
        turned = _turn(offset, angle)
        return (turned - offset - moves).ravel()

    found = np.array([.25, brow - .3 * height, ears - .22 * height])
    width = high - low
    for scale in _SCALES:
        found = least_squares(
            misses, found.clip(low + .01 * width, high - .01 * width),
            bounds=(low, high), loss='cauchy',
            f_scale=scale * distance.max(), x_scale=[.1, .02, .02]).x
    at_limit = bool(np.any((found - low < 1e-3 * width) |
                           (high - found < 1e-3 * width)))
    return Hinge(np.array([0., *found[1:]]), float(found[0]), at_limit)


def _turn(offset: np.ndarray, angle: float) -> np.ndarray:
    """Rotate (N, 2) y, z about x."""
    y, z = offset.T
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.stack([cosine * y - sine * z, sine * y + cosine * z], -1)


def rigid_moves(vertices: np.ndarray, joint: np.ndarray,
                axis_angle: np.ndarray) -> np.ndarray:
    """(R - I) (v - p): how far vertices (V, 3) go with the joint."""
    change = rotation(axis_angle) - np.eye(3)
    return (vertices - joint) @ change.T


def fit_weights(rigid: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Weights in [0, 1] with which rigid moves explain others best.

    Args:
        rigid: (K, V, 3) moves of a fully attached vertex.
        moves: (K, V, 3) moves to explain.

    Returns:
        (V,); drawn to 0 near the hinge, where nothing tells.
    """
    product = (rigid * moves).sum((0, 2))
    square = (rigid**2).sum((0, 2))
    return np.clip(product / (square + _WEIGHT_FLOOR**2), 0, 1)


def fit_jaw(vertices: np.ndarray, faces: np.ndarray, hinge: Hinge,
            moves: tuple[np.ndarray, np.ndarray, np.ndarray],
            fixed: np.ndarray, solids: list[np.ndarray]) -> JawRig:
    """Weights, poses and correctives of the jaw.

    Args:
        vertices: (V, 3) metres.
        faces: (F, 3).
        hinge: Of :func:`fit_hinge`.
        moves: jawOpen, jawLeft and jawRight, (V, 3) metres each.
        fixed: (V,) bool, vertices that never follow the jaw (the eyes).
        solids: Vertices that follow as one body each (the teeth).
    """
    opening, left, right = moves
    open_pose = np.array([hinge.angle, 0., 0.])
    down = rigid_moves(vertices, hinge.joint, open_pose)
    weights = fit_weights(down[None], opening[None])
    side = np.array([.05, .02])
    for _ in range(_ROUNDS):
        side = _fit_side(vertices, hinge.joint, weights, left, right, side)
        pose = np.array([0., *side])
        rigid = np.stack([down, rigid_moves(vertices, hinge.joint, pose),
                          rigid_moves(vertices, hinge.joint, -pose)])
        weights = fit_weights(rigid, np.stack(moves))
    weights[fixed] = 0
    weights = smooth_values(weights, faces, fixed)
    for members in solids:
        weights[members] = np.median(weights[members])
    weights[weights < 1e-3] = 0
    correctives, rest = _correctives(weights, rigid, moves, open_pose, pose)
    explained, left_over = {}, {}
    for name, move, carried in zip(('jawOpen', 'jawLeft', 'jawRight'), moves,
                                   rigid, strict=True):
        missing = np.sum((move - weights[:, None] * carried)**2, axis=1)
        total = np.sum(move**2, axis=1)
        moving = total > 1e-8
        explained[name] = float(1 - missing.sum() / max(total.sum(), 1e-12))
        left_over[name] = float(
            np.sqrt(missing[moving].mean()) if moving.any() else 0.)
    return JawRig(hinge, weights, open_pose, pose, correctives, rest,
                  explained, left_over)


def _fit_side(vertices: np.ndarray, joint: np.ndarray, weights: np.ndarray,
              left: np.ndarray, right: np.ndarray,
              start: np.ndarray) -> np.ndarray:
    """(2,) rotation about y and z for jawLeft; the opposite for jawRight."""
    moving = (weights > .05) & (
        np.linalg.norm(left, axis=1) + np.linalg.norm(right, axis=1) > 1e-5)
    if not moving.any():
        return np.zeros(2)
    points, share = vertices[moving], weights[moving, None]
    goals = left[moving], right[moving]

    def misses(values: np.ndarray) -> np.ndarray:
        return np.concatenate([
            share * rigid_moves(points, joint, sign * np.array([0, *values]))
            - goal for sign, goal in zip((1, -1), goals, strict=True)
        ]).ravel()

    return least_squares(misses, start, bounds=(-.5, .5), x_scale=.05).x


def before_skinning(weights: np.ndarray, pose: np.ndarray,
                    missing: np.ndarray) -> np.ndarray:
    """Offsets at rest that skinning turns into given offsets.

    Args:
        weights: (V,) of the joint.
        pose: (3,) its axis-angle.
        missing: (V, 3) offsets after skinning.

    Returns:
        (V, 3): M^-1 missing with M = I + w (R - I).
    """
    change = rotation(pose) - np.eye(3)
    maps = np.eye(3) + weights[:, None, None] * change
    return np.linalg.solve(maps, missing[..., None])[..., 0]


def _correctives(weights: np.ndarray, rigid: np.ndarray,
                 moves: tuple[np.ndarray, ...], open_pose: np.ndarray,
                 side_pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3, 9) correctives and (V, 3) the even rest of the side moves.

    The antisymmetric part of R is sin(angle) times the axis: x of it belongs
    to the opening, its component along the axis of the side move to that.
    Only what differs between left and right is linear in it.
    """
    rests = [
        before_skinning(weights, pose, move - weights[:, None] * carried)
        for pose, move, carried in zip(
            (open_pose, side_pose, -side_pose), moves, rigid, strict=True)]
    correctives = _along(rests[0], open_pose)
    angle = np.linalg.norm(side_pose)
    if angle < 1e-3:
        return correctives, .5 * (rests[1] + rests[2])
    odd = .5 * (rests[1] - rests[2])
    return (correctives + _along(odd, side_pose),
            .5 * (rests[1] + rests[2]))


def _along(offsets: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(V, 3, 9) correctives that give ``offsets`` at ``pose``."""
    angle = np.linalg.norm(pose)
    axis = pose / angle
    # the matrix K with <K, R - I> = sin(angle of R) <axis of R, axis>
    x, y, z = axis / 2
    pattern = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return offsets[..., None] * pattern.ravel() / np.sin(angle)
