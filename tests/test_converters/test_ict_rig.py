# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Joints out of blend shapes, on made-up points with a known answer."""
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mmtvface.converters.ict_facekit.anatomy_frame import Warp
from mmtvface.converters.ict_facekit.eyes import fit_sphere, split_gaze
from mmtvface.converters.ict_facekit.jaw import (
    before_skinning,
    fit_hinge,
    fit_jaw,
    fit_weights,
    rigid_moves,
)
from mmtvface.converters.ict_facekit.smoothing import pieces, smooth_values
from mmtvface.geometry.alignment import apply_similarity
from mmtvface.heads.providers.procedural.anatomy import LANDMARKS

HINGE = np.array([0., -.03, -.075])


def turn(points, axis_angle, center):
    return Rotation.from_rotvec(axis_angle).apply(points - center) + center


def patch(rng, count=400):
    """Points of the lower face, the lower ones rigidly on the jaw."""
    points = rng.uniform([-.05, -.11, -.06], [.05, -.03, .02], (count, 3))
    weights = np.clip((-.05 - points[:, 1]) / .02, 0, 1)
    return points, weights


@pytest.mark.parametrize('hinge', [HINGE, HINGE + [0, -.02, .01]])
@pytest.mark.parametrize('angle', [.2, .45])
def test_hinge_is_found_among_soft_skin(hinge, angle):
    points, weights = patch(np.random.default_rng(0))
    moves = weights[:, None] * (turn(points, [angle, 0, 0], hinge) - points)
    found = fit_hinge(points, moves, LANDMARKS / 1000)
    np.testing.assert_allclose(found.joint, hinge, atol=1e-3)
    assert found.angle == pytest.approx(angle, rel=.01)
    assert not found.at_limit


def test_a_shift_is_no_hinge_but_has_an_answer():
    points, weights = patch(np.random.default_rng(0))
    found = fit_hinge(points, weights[:, None] * [0, -.03, 0],
                      LANDMARKS / 1000)
    assert found.at_limit
    assert np.isfinite(found.joint).all()


def test_an_opening_that_moves_nothing_is_refused():
    points, _ = patch(np.random.default_rng(0))
    with pytest.raises(ValueError, match='jawOpen.obj moves nothing'):
        fit_hinge(points, 1e-4 * np.ones_like(points), LANDMARKS / 1000)


def test_rigid_moves_are_those_of_a_rotation():
    points, _ = patch(np.random.default_rng(1), 20)
    pose = np.array([.3, -.1, .2])
    np.testing.assert_allclose(rigid_moves(points, HINGE, pose),
                               turn(points, pose, HINGE) - points,
                               atol=1e-12)


def test_weights_lie_between_zero_and_one():
    rigid = np.array([[[0, -.02, 0], [0, -.02, 0], [0, -.02, 0],
                       [0, 0, 0.]]])
    moves = np.array([[[0, -.01, .004], [0, .01, 0], [0, -.05, 0],
                       [0, -.01, 0]]])
    weights = fit_weights(rigid, moves)
    assert weights[0] == pytest.approx(.5, abs=2e-3)
    assert weights[1:].tolist() == [0, 1, 0]


def test_offsets_before_skinning():
    points, weights = patch(np.random.default_rng(2), 50)
    pose = np.array([.3, .1, 0])
    wanted = np.random.default_rng(3).normal(0, .01, points.shape)
    early = before_skinning(weights, pose, wanted)
    w = weights[:, None]
    moved = (1 - w) * (points + early) + w * turn(points + early, pose,
                                                  HINGE)
    without = (1 - w) * points + w * turn(points, pose, HINGE)
    np.testing.assert_allclose(moved - without, wanted, atol=1e-12)


def skinned(points, jaw, pose):
    """The jaw's pose by plain formulas: correctives, then the joint."""
    matrix = Rotation.from_rotvec(pose).as_matrix()
    rest = points + jaw.correctives @ (matrix - np.eye(3)).ravel()
    w = jaw.weights[:, None]
    return (1 - w) * rest + w * turn(rest, pose, jaw.hinge.joint)


def test_jaw_gives_the_blend_shapes_back():
    rng = np.random.default_rng(4)
    points, weights = patch(rng)
    faces = np.arange(399).reshape(-1, 3)
    noise = rng.normal(0, 5e-4, (3, *points.shape))
    poses = np.array([[.3, 0, 0], [0, .08, .03], [0, -.08, -.03]])
    moves = tuple(
        weights[:, None] * (turn(points, pose, HINGE) - points) + extra
        for pose, extra in zip(poses, noise, strict=True))
    hinge = fit_hinge(points, moves[0], LANDMARKS / 1000)
    fixed = np.zeros(len(points), bool)
    fixed[:5] = True
    jaw = fit_jaw(points, faces, hinge, moves, fixed, [np.arange(20, 40)])
    np.testing.assert_allclose(jaw.left_pose, poses[1], atol=.01)
    assert (jaw.weights[fixed] == 0).all()
    assert len(set(jaw.weights[20:40])) == 1
    np.testing.assert_allclose(skinned(points, jaw, jaw.open_pose),
                               points + moves[0], atol=1e-12)
    for pose, move in ((jaw.left_pose, moves[1]), (-jaw.left_pose, moves[2])):
        with_rest = skinned(points + jaw.rest, jaw, pose)
        np.testing.assert_allclose(with_rest, points + move, atol=1e-12)
    # independent of each other, and absent at rest
    np.testing.assert_allclose(skinned(points, jaw, np.zeros(3)), points,
                               rtol=1e-12)
    assert jaw.explained['jawOpen'] > .8


def test_a_jaw_that_does_not_move_sideways():
    points, weights = patch(np.random.default_rng(5))
    opening = weights[:, None] * (turn(points, [.3, 0, 0], HINGE) - points)
    still = np.zeros_like(points)
    jaw = fit_jaw(points, np.arange(399).reshape(-1, 3),
                  fit_hinge(points, opening, LANDMARKS / 1000),
                  (opening, still, still), np.zeros(400, bool), [])
    assert (jaw.left_pose == 0).all() and (jaw.rest == 0).all()
    np.testing.assert_allclose(skinned(points, jaw, jaw.open_pose),
                               points + opening, atol=1e-12)


def sphere_points(rng, count=300):
    unit = rng.normal(size=(count, 3))
    return unit / np.linalg.norm(unit, axis=1, keepdims=True)


def test_sphere_without_cornea_and_iris():
    rng = np.random.default_rng(6)
    unit = sphere_points(rng)
    radius = np.where(unit[:, 2] > .85, rng.uniform(.8, 1.1, 300), 1)
    center = np.array([.032, .004, -.008])
    found = fit_sphere(center + .012 * radius[:, None] * unit)
    np.testing.assert_allclose(found.center, center, atol=1e-9)
    assert found.radius == pytest.approx(.012)


def test_flat_points_are_no_sphere():
    flat = sphere_points(np.random.default_rng(7)) * [1, 1, 0]
    with pytest.raises(ValueError, match='do not lie on a sphere'):
        fit_sphere(flat)


def test_gaze_is_split_from_the_eyelids():
    rng = np.random.default_rng(8)
    centers = {'left_eye': np.array([.03, 0, 0]),
               'right_eye': np.array([-.03, 0, 0])}
    points = np.concatenate([
        centers['left_eye'] + .01 * sphere_points(rng, 50),
        centers['right_eye'] + .01 * sphere_points(rng, 50),
        rng.normal(size=(20, 3))])
    balls = {'left_eye': np.arange(120) < 50,
             'right_eye': (np.arange(120) >= 50) & (np.arange(120) < 100)}
    offsets = np.zeros_like(points)
    offsets[:50] = turn(points[:50], [-.4, .1, 0],
                        centers['left_eye']) - points[:50]
    offsets[100:] = .01
    gaze = split_gaze(points, offsets, balls, centers)
    assert list(gaze.poses) == ['left_eye']
    np.testing.assert_allclose(gaze.poses['left_eye'], [-.4, .1, 0],
                               atol=1e-9)
    np.testing.assert_allclose(gaze.offsets[:100], 0, atol=1e-12)
    np.testing.assert_array_equal(gaze.offsets[100:], offsets[100:])


def test_values_are_smoothed_along_edges():
    faces = np.array([[0, 1, 2], [2, 1, 3]])
    fixed = np.array([False, False, False, True])
    # vertex 0 has the neighbours 1 and 2, vertex 1 has 0, 2 and 3
    once = smooth_values(np.array([1., 0, 0, 4]), faces, fixed, 1)
    np.testing.assert_allclose(once, [.5, 5 / 6, 5 / 6, 4])


def test_connected_pieces():
    faces = np.array([[0, 1, 2], [2, 1, 3], [6, 5, 4], [3, 4, 7]])
    members = np.array([1, 1, 1, 1, 1, 1, 1, 0], dtype=bool)
    found = pieces(faces, members)
    assert [piece.tolist() for piece in found] == [[0, 1, 2, 3], [4, 5, 6]]
    assert pieces(faces, np.zeros(8, dtype=bool)) == []


def test_warp_meets_the_landmarks_and_is_a_similarity_far_away():
    bent = LANDMARKS.copy()
    bent[:, 2] += .003 * LANDMARKS[:, 0]**2 - .05 * LANDMARKS[:, 1]
    target = 1.1 * bent + [5, 0, 3]
    warp = Warp(LANDMARKS, target)
    before = apply_similarity(LANDMARKS, warp.similarity) - target
    after = warp(LANDMARKS) - target
    assert np.linalg.norm(before, axis=1).mean() > 2
    assert np.linalg.norm(after, axis=1).max() < .5
    far = np.array([[0., 0, -400], [0, 10, -400]])
    assert np.linalg.norm(np.diff(warp(far), axis=0)) == pytest.approx(
        10 * float(warp.similarity.scale))
