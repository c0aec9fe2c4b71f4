# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Joints, skinning weights and pose correctives of the built-in head."""

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

from . import anatomy, eye, mouth
from .mean_mesh import MeanMesh
from .patches import smoothstep

PARENTS = np.array([-1, 0, 1, 1, 1], dtype=np.int64)
ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE = range(5)

#: Mean joints, mm: base of the neck, top of the neck, hinge of the jaw.
ROOT_JOINT = np.array([0., -140., -92.])
NECK_JOINT = np.array([0., -80., -98.])
JAW_JOINT = np.array([0., -22., -80.])

#: Rotation of the jaw about x at which the mouth is wide open, radians.
JAW_OPEN_ANGLE = .32
#: Columns of the pose correctives (row-major R - I per joint): R[2, 1] =
#: sin(angle) of a rotation about x.
_NECK_NOD, _JAW_OPEN = 7, 9 + 7
_LEFT_EYE_DOWN, _RIGHT_EYE_DOWN = 18 + 7, 27 + 7


def averaging_matrix(mesh: MeanMesh) -> csr_matrix:
    """(V, V) matrix that averages every vertex with its neighbours."""
    count = len(mesh.vertices)
    rows = mesh.faces[:, [0, 1, 2, 1, 2, 0]].ravel()
    columns = mesh.faces[:, [1, 2, 0, 0, 1, 2]].ravel()
    links = coo_matrix((np.ones(len(rows)), (rows, columns)),
                       (count, count)).tocsr()
    links.data[:] = 1.
    degree = np.asarray(links.sum(1)).ravel()
    links.data /= np.repeat(degree, np.diff(links.indptr))
    return links


def jaw_weight(mesh: MeanMesh) -> np.ndarray:
    """How much each vertex (V,) follows the jaw rather than the skull."""
    x, y, z = mesh.vertices.T
    corner = np.array([22., -67., 9.])
    # height over the plane from the hinge through the slit of the mouth
    slope = (corner[1] - JAW_JOINT[1]) / (corner[2] + 12 - JAW_JOINT[2])
    height = y - (JAW_JOINT[1] + slope * (z - JAW_JOINT[2]))
    aside = np.hypot(np.maximum(np.abs(x) - corner[0], 0),
                     np.maximum(corner[2] - z, 0) * .8)
    softness = 4 + .42 * aside
    weight = smoothstep(height, softness, -softness)
    fade = smoothstep(y, -128, -113) * smoothstep(z, -72, -34)
    weight *= np.where(y < -85, fade, smoothstep(z, -72, -34))
    lip_weight = _lip_weights()
    fixed = np.zeros(len(weight), dtype=bool)
    for grid in mesh.lips:
        weight[grid[1:]] = lip_weight[1:]
        weight[grid[0]] = .5 * weight[grid[0]] + .5 * lip_weight[0]
        fixed[grid[1:]] = True
    weight[mesh.mouth_cap] = .5
    fixed[mesh.mouth_cap] = True
    for part in (*mesh.eyeballs, *mesh.eyelids, *mesh.ears):
        weight[part] = 0
        fixed[part] = True
    average = averaging_matrix(mesh)
    for _ in range(6):
        weight = np.where(fixed, weight, .4 * weight + .6 * average @ weight)
    return .5 * (weight + weight[mesh.mirror])


def _lip_weights() -> np.ndarray:
    """(rings, N) jaw weights of one half of the mouth."""
    turn = np.linspace(-1, 1, mouth.RING_SIZE)  # upper, corner 0, lower
    rings = mouth.NUM_RINGS
    weights = np.empty((rings, mouth.RING_SIZE))
    for ring in range(rings):
        # away from the slit the change from upper to lower is gentler
        spread = np.interp(ring, [0, mouth.BORDER, mouth.CONTACT],
                           [.92, .76, .62])
        weights[ring] = smoothstep(turn, -.25 * spread, spread)
    weights[-1] = .25 + .5 * weights[-1]
    return weights


def skinning_weights(mesh: MeanMesh) -> np.ndarray:
    """(V, 5) weights, rows sum to 1."""
    y = mesh.vertices[:, 1]
    weights = np.zeros((len(y), 5))
    jaw = jaw_weight(mesh)
    head = smoothstep(y, -168, -98)
    head = np.maximum(head, jaw)
    weights[:, ROOT] = 1 - head
    weights[:, JAW] = jaw
    weights[:, NECK] = head - jaw
    for joint, part in zip((LEFT_EYE, RIGHT_EYE), mesh.eyeballs,
                           strict=True):
        weights[part] = 0
        weights[part, joint] = 1
    # the neck takes what rounding leaves
    weights = np.round(weights, 9)
    weights[:, NECK] += 1 - weights.sum(1)
    return np.clip(weights, 0, 1)


def joint_regressor(mesh: MeanMesh) -> np.ndarray:
    """(5, V) rows that sum to 1 and give the joints of the mean head.

    Each joint is the average of vertices that surround it, with the smallest
    change of the weights that makes the average exact.
    """
    vertices = mesh.vertices
    ball = np.zeros(len(vertices), dtype=bool)
    ball[np.concatenate(mesh.eyeballs)] = True
    inner = np.zeros(len(vertices), dtype=bool)
    for grid in mesh.lips:
        inner[grid[mouth.INSIDE:]] = True
    x, y, z = vertices.T
    skin = ~ball & ~inner
    side = np.hypot(y - JAW_JOINT[1], z - JAW_JOINT[2]) < 26
    groups = {
        ROOT: (ROOT_JOINT, skin & (np.abs(y - ROOT_JOINT[1]) < 14)),
        NECK: (NECK_JOINT, skin & (np.abs(y - NECK_JOINT[1]) < 14) &
               (z < -55)),
        JAW: (JAW_JOINT, skin & side & (np.abs(x) > 50)),
    }
    regressor = np.zeros((5, len(vertices)))
    for joint, (target, members) in groups.items():
        regressor[joint, members] = fit_average(vertices[members], target)
    for joint, part, sign in zip((LEFT_EYE, RIGHT_EYE), mesh.eyeballs,
                                 (1, -1), strict=True):
        target = anatomy.EYE_CENTER * [sign, 1, 1]
        regressor[joint, part] = fit_average(vertices[part], target)
    return regressor


def fit_average(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Weights (N,) nearest to equal with sum 1 and average ``target``."""
    equal = np.full(len(points), 1 / len(points))
    system = np.concatenate([points - target, np.ones((len(points), 1))],
                            axis=1)
    missing = np.array([0., 0., 0., 1.]) - equal @ system
    return equal + system @ np.linalg.solve(system.T @ system, missing)


def pose_correctives(mesh: MeanMesh, weights: np.ndarray) -> np.ndarray:
    """(V, 3, 36) displacement in mm per entry of R - I.

    When the jaw opens its hinge glides forward and down, the cheeks hollow and
    the corners of the mouth are drawn in; when the head nods the throat
    gives way; upper eyelids follow the gaze down and up.
    """
    vertices = mesh.vertices
    correctives = np.zeros((len(vertices), 3, 36))
    jaw = weights[:, JAW:JAW + 1]
    sine = np.sin(JAW_OPEN_ANGLE)
    opening = jaw * np.array([0., -3.5, 4.])
    cheek = np.exp(-.5 * np.sum(
        ((np.abs(vertices[:, :1]) - 44) / 16)**2 +
        ((vertices[:, 1:2] + 58) / 18)**2 +
        ((vertices[:, 2:] - 0) / 18)**2, axis=1))
    corner = np.exp(-.5 * np.sum(
        ((np.abs(vertices[:, :1]) - 24) / 10)**2 +
        ((vertices[:, 1:2] + 67) / 10)**2 +
        ((vertices[:, 2:] - 8) / 12)**2, axis=1))
    inward = -np.sign(vertices[:, 0])
    opening[:, 0] += inward * (2.5 * cheek + 3. * corner)
    opening[:, 2] += -1.5 * cheek
    correctives[:, :, _JAW_OPEN] = opening / sine
    throat = np.exp(-.5 * np.sum(
        (vertices / [40, 18, 30] - [0, -128 / 18, -1])**2, axis=1))
    correctives[:, 2, _NECK_NOD] = -6 * throat
    correctives[:, 1, _NECK_NOD] = -5 * throat
    for column, grid in ((_LEFT_EYE_DOWN, mesh.eyelids[0]),
                         (_RIGHT_EYE_DOWN, mesh.eyelids[1])):
        correctives[:, :, column] = eyelid_motion(mesh, grid, -9., -3.)
    for part in mesh.eyeballs:
        correctives[part] = 0
    return np.round(correctives, 6)


def eyelid_motion(mesh: MeanMesh, grid: np.ndarray, upper: float,
               lower: float) -> np.ndarray:
    """Slide eyelids over the eyeball by given heights in the middle.

    Args:
        mesh: The mean head.
        grid: The rings of one eye's eyelids.
        upper: Motion (mm, up positive) of the middle of the upper margin.
        lower: The same of the lower margin.

    Returns:
        (V, 3) displacements in mm.
    """
    half = eye.RING_SIZE // 2
    place = np.sin(np.pi * np.arange(eye.RING_SIZE) / half)
    lift = np.where(place > 0, upper, lower) * np.abs(place)
    return slide_eyelids(mesh, grid, lift, eye.EYELID_RADIUS)


def slide_eyelids(mesh: MeanMesh, grid: np.ndarray, lift: np.ndarray,
               radius: float) -> np.ndarray:
    """Move eyelid margins up or down by ``lift`` (N,) mm over the eyeball.

    Rings away from the margin follow less; depth follows a sphere of
    ``radius`` mm around the eyeball's centre where the eyelid lies on it.
    """
    follow = np.array([0., .12, .34, .66, .93, 1., 1., 1.])
    field = np.zeros_like(mesh.vertices)
    points = mesh.vertices[grid]
    center = anatomy.EYE_CENTER * [np.sign(points[0, 0, 0]), 1, 1]
    offset = points - center
    moved = offset[..., 1] + follow[:, None] * lift
    flat = np.hypot(offset[..., 0], moved)
    on_ball = smoothstep(flat, radius + .4, radius - 2.4)
    sphere = np.sqrt(np.maximum(radius**2 - flat**2, 0))
    # slide along the sphere, but never lose the relief of the eyelid
    before = np.sqrt(np.maximum(
        eye.EYELID_RADIUS**2 - offset[..., 0]**2 - offset[..., 1]**2, 0))
    depth = sphere - np.where(before > 0, before, sphere)
    outer = np.minimum(follow * 1.2, 1.)[:, None]
    field[grid, 1] = follow[:, None] * lift
    field[grid, 2] = on_ball * outer * depth
    return field
