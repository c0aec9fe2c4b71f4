# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mmtvface.geometry.head_pose import (
    HEAD_POINTS,
    RIGID,
    STABLE,
    fit_head,
    head_pose,
)
from mmtvface.geometry.landmarks import MIRROR, mirror_landmarks
from mmtvface.heads import FLAME


def project(rotation, scale=100., shift=(300., 200.)):
    """Landmarks of the generic head as pixels, y down."""
    points = HEAD_POINTS @ np.swapaxes(rotation, -1, -2)
    return points[..., :2] * [scale, -scale] + shift


def turned(yaw=0., pitch=0., roll=0.):
    # Lower-case letters would turn about fixed axes, z first.
    return Rotation.from_euler('ZYX', [roll, yaw, pitch],
                               degrees=True).as_matrix()


def test_points_are_those_of_the_built_in_head():
    with torch.no_grad():
        head = FLAME('procedural')(torch.zeros(1, 100), torch.zeros(1, 50),
                                   torch.zeros(1, 6))
    points = head.landmarks3d[0].double().numpy()
    points = points - points[[36, 45]].mean(0)
    points /= np.linalg.norm(points[36] - points[45])
    np.testing.assert_allclose(HEAD_POINTS, points, atol=2e-3)
    np.testing.assert_allclose(HEAD_POINTS[list(MIRROR)] * [-1, 1, 1],
                               HEAD_POINTS, atol=1e-9)


def test_angles_of_a_projected_head_come_back():
    angles = np.array([[0., 0., 0.], [30., 0., 0.], [0., 20., 0.],
                       [0., 0., -40.], [-70., 15., 25.], [85., -30., 170.]])
    rotations = np.stack([turned(*row) for row in angles])
    np.testing.assert_allclose(head_pose(project(rotations)), angles,
                               atol=1e-6)
    fit = fit_head(project(rotations, 37.))
    np.testing.assert_allclose(fit.rotation, rotations, atol=1e-9)
    np.testing.assert_allclose(fit.scale, 37.)
    np.testing.assert_allclose(fit.residual, 0., atol=1e-9)


@pytest.mark.parametrize(('axis', 'column'), [(1, 0), (0, 1), (2, 2)])
def test_angles_have_the_signs_of_flame(axis, column):
    pose = torch.zeros(1, 6)
    pose[0, axis] = np.deg2rad(25.)
    with torch.no_grad():
        head = FLAME('procedural')(torch.zeros(1, 100), torch.zeros(1, 50),
                                   pose)
    points = head.landmarks3d[0, :, :2].double().numpy() * [900., -900.]
    expected = np.zeros(3)
    expected[column] = 25.
    np.testing.assert_allclose(head_pose(points), expected, atol=0.5)


def test_signs_by_what_is_seen():
    nose, eyes = 30, [36, 45]
    right = project(turned(yaw=20.))  # the nose goes to the right
    assert right[nose, 0] > right[eyes].mean(0)[0] + 5
    assert head_pose(right)[0] == pytest.approx(20.)
    straight, down = project(np.eye(3)), project(turned(pitch=20.))
    assert (down[nose, 1] - down[eyes, 1].mean() >
            straight[nose, 1] - straight[eyes, 1].mean() + 5)
    assert head_pose(down)[1] == pytest.approx(20.)
    tilted = project(turned(roll=20.))  # the person's left eye goes up
    assert tilted[45, 1] < tilted[36, 1]
    assert head_pose(tilted)[2] == pytest.approx(20.)


def test_mirrored_faces_look_to_the_other_side():
    points = project(turned(25., 10., -15.))
    noisy = points + np.random.default_rng(0).normal(0, 2., (5, 68, 2))
    mirrored = mirror_landmarks(noisy, 640.)
    np.testing.assert_allclose(head_pose(mirrored),
                               head_pose(noisy) * [-1, 1, -1], atol=1e-6)


def test_noise_moves_angles_little_and_shows_in_the_residual():
    rng = np.random.default_rng(1)
    points = project(turned(20., 5., 3.)) + rng.normal(0, 1., (200, 68, 2))
    error = head_pose(points) - [20., 5., 3.]
    assert np.abs(error).max() < 6 and np.abs(error.mean(0)).max() < 0.5
    residual = fit_head(points).residual
    # 2 coordinates of sigma 1 on a scale of 100, less what the fit takes.
    assert residual.mean() == pytest.approx(np.sqrt(2) / 100, rel=0.1)
    shuffled = points[0, rng.permutation(68)]
    assert fit_head(shuffled).residual > 0.3


def test_only_rigid_landmarks_count():
    points = project(turned(10., 0., 0.))
    moved = points.copy()
    others = [i for i in range(68) if i not in RIGID]
    moved[others] += 50.
    np.testing.assert_allclose(head_pose(moved), head_pose(points))


def test_brows_and_lips_do_not_turn_a_head():
    points = project(turned(10., 0., 0.))
    points[17:27, 1] -= 8.  # raised brows
    points[48:, 1] += 12.
    points[1:16] += 3.
    np.testing.assert_allclose(head_pose(points, STABLE), [10., 0., 0.],
                               atol=1e-6)
    assert abs(head_pose(points)[1]) > 3


def test_what_is_no_face_is_nan_and_alone_in_it():
    good = project(turned(10., 20., 30.))
    broken = good.copy()
    broken[40] = np.inf
    line = np.stack([np.arange(68.), np.arange(68.)], 1)
    poses = head_pose(np.stack([good, broken, line, np.full((68, 2), 7.)]))
    assert np.isnan(poses[1:]).all()
    np.testing.assert_allclose(poses[0], [10., 20., 30.], atol=1e-6)


def test_shapes_are_checked():
    assert head_pose(np.zeros((0, 68, 2))).shape == (0, 3)
    with pytest.raises(ValueError, match=r'68, 2.*\(5, 2\)'):
        head_pose(np.zeros((5, 2)))
