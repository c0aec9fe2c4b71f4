# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mmtvface.geometry.rotation import (
    axis_angle_to_matrix,
    euler_to_axis_angle,
    matrix_to_axis_angle,
    rotation_yaw,
)

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}


def _vectors(dtype: torch.dtype) -> torch.Tensor:
    """Random axes at angles from 0 to just below pi, series border too."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    axes = axes / axes.norm(dim=-1, keepdim=True)
    angles = torch.tensor([0, 1e-12, 1e-8, 1e-4, .0316, .0317, .1, .5, 1.5,
                           2.5, 3.1, 3.14159], dtype=torch.float64)
    return (axes * angles[:, None]).to(dtype)


def test_quarter_turns_by_hand():
    quarter = math.pi / 2
    matrices = axis_angle_to_matrix(torch.tensor(
        [[quarter, 0, 0], [0, quarter, 0], [0, 0, quarter]],
        dtype=torch.float64))
    expected = [[[1, 0, 0], [0, 0, -1], [0, 1, 0]],
                [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
                [[0, -1, 0], [1, 0, 0], [0, 0, 1]]]
    np.testing.assert_allclose(matrices, expected, atol=1e-15)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_agrees_with_scipy(dtype):
    vectors = _vectors(dtype)
    expected = Rotation.from_rotvec(vectors.double().numpy()).as_matrix()
    result = axis_angle_to_matrix(vectors)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, atol=TOLERANCE[dtype])


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_gradient_at_zero_is_that_of_the_generators(dtype):
    jacobian = torch.autograd.functional.jacobian(
        axis_angle_to_matrix, torch.zeros(3, dtype=dtype))
    expected = torch.zeros(3, 3, 3, dtype=dtype)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        expected[j, k, i], expected[k, j, i] = -1, 1
    torch.testing.assert_close(jacobian, expected, rtol=0, atol=0)


def test_gradients_of_axis_angle_to_matrix():
    vectors = _vectors(torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(axis_angle_to_matrix, vectors)
    assert torch.autograd.gradgradcheck(
        axis_angle_to_matrix, vectors[[0, 3, 7]].detach().requires_grad_())


def test_float32_gradients_agree_with_float64():
    gradients = []
    for dtype in (torch.float32, torch.float64):
        vectors = _vectors(torch.float32).to(dtype).requires_grad_()
        axis_angle_to_matrix(vectors)[..., 0, 1].sum().backward()
        gradients.append(vectors.grad.double())
    torch.testing.assert_close(*gradients, atol=2e-5, rtol=0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_matrix_to_axis_angle_inverts(dtype):
    vectors = _vectors(dtype)
    result = matrix_to_axis_angle(axis_angle_to_matrix(vectors))
    # Near pi the matrix determines the angle only to sqrt(eps) * few.
    np.testing.assert_allclose(result, vectors,
                               atol=2e-5 if dtype == torch.float32 else 1e-10)


def test_half_turns_keep_angle_and_axis():
    axes = torch.nn.functional.normalize(torch.tensor(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, -2, 3]], dtype=torch.float64))
    result = matrix_to_axis_angle(axis_angle_to_matrix(math.pi * axes))
    np.testing.assert_allclose((result * axes).sum(-1).abs(), math.pi)
    np.testing.assert_allclose(torch.linalg.cross(result, axes), 0,
                               atol=1e-9)


def test_gradients_of_matrix_to_axis_angle():
    # The angle pi has a jump; the others are checked, zero included.
    vectors = _vectors(torch.float64)[:-1].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: matrix_to_axis_angle(axis_angle_to_matrix(v)), vectors)


def test_yaw_is_the_middle_euler_angle():
    angles = np.array([[.3, .5, -.2], [-1., -1.2, .4], [2., .1, 3.]])
    matrices = Rotation.from_euler('xyz', angles).as_matrix()
    np.testing.assert_allclose(
        rotation_yaw(torch.from_numpy(matrices)), angles[:, 1], atol=1e-12)


def test_yaw_is_positive_to_the_persons_left():
    turn = axis_angle_to_matrix(torch.tensor([0., .4, 0.]))
    assert (turn @ torch.tensor([0., 0., 1.]))[0] > 0  # looks to +x
    assert rotation_yaw(turn).item() == pytest.approx(.4)


def test_yaw_has_a_finite_gradient_at_the_pole():
    vector = torch.tensor([0., math.pi / 2, 0.], dtype=torch.float64,
                          requires_grad=True)
    pole = torch.tensor([[0., 0, 1], [0, 1, 0], [-1, 0, 0]],
                        dtype=torch.float64, requires_grad=True)
    rotation_yaw(axis_angle_to_matrix(vector)).backward()
    yaw = rotation_yaw(pole)
    yaw.backward()
    assert yaw.item() == pytest.approx(math.pi / 2)
    assert torch.isfinite(vector.grad).all()
    assert torch.isfinite(pole.grad).all()


def test_yaw_pitch_roll_match_scipy():
    angles = np.random.default_rng(0).uniform(-1.2, 1.2, (200, 3))
    angles[0] = 0
    angles[1] = 1e-7
    want = Rotation.from_euler('YXZ', angles).as_rotvec()
    np.testing.assert_allclose(euler_to_axis_angle(angles), want,
                               atol=1e-9)
    # Signs as documented: yaw to the person's left (+x), pitch down (-y)
    for angle, direction in (((.3, 0, 0), (1, 0)), ((0, .3, 0), (0, -1))):
        rotation = Rotation.from_rotvec(euler_to_axis_angle(
            np.array([angle]))[0])
        forward = rotation.apply([0, 0, 1])[:2]
        np.testing.assert_allclose(
            forward / np.linalg.norm(forward), direction, atol=1e-9)
