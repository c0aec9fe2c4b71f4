# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from mmtvface.geometry.alignment import (
    align_rigid,
    align_similarity,
    apply_similarity,
    procrustes,
)


def random_case(seed, batch=(3, )):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(*batch, 9, 3))
    rotation = Rotation.random(
        int(np.prod(batch)), random_state=seed).as_matrix()
    rotation = rotation.reshape(*batch, 3, 3)
    scale = rng.uniform(.5, 2, batch)
    shift = rng.normal(size=(*batch, 3))
    return points, scale, rotation, shift


def test_recovers_a_known_similarity():
    points, scale, rotation, shift = random_case(0)
    target = scale[:, None, None] * points @ rotation.swapaxes(-1, -2)
    target = target + shift[:, None]
    found = procrustes(points, target)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-10)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-10)
    np.testing.assert_allclose(found.translation, shift, atol=1e-10)
    np.testing.assert_allclose(
        align_similarity(points, target), target, atol=1e-10)


def test_hand_computed_quarter_turn_in_the_plane():
    source = torch.tensor([[0., 0.], [1., 0.], [1., 1.]])
    target = torch.tensor([[2., 3.], [2., 4.], [1., 4.]])
    found = procrustes(source, target)
    torch.testing.assert_close(
        found.rotation, torch.tensor([[0., -1.], [1., 0.]]))
    torch.testing.assert_close(found.translation, torch.tensor([2., 3.]))
    torch.testing.assert_close(found.scale, torch.tensor(1.))


def test_rigid_agrees_with_scipy_with_weights():
    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(2, 12, 3))
    weights = rng.uniform(.1, 1, 12)
    found = procrustes(source, target, weights, with_scale=False)
    center_s = np.average(source, axis=0, weights=weights)
    center_t = np.average(target, axis=0, weights=weights)
    expected, _ = Rotation.align_vectors(
        target - center_t, source - center_s, weights)
    np.testing.assert_allclose(
        found.rotation, expected.as_matrix(), atol=1e-9)
    assert found.scale == 1


def test_mirrored_points_still_give_a_rotation():
    points, *_ = random_case(2)
    mirrored = points * [-1, 1, 1]
    found = procrustes(points, mirrored)
    np.testing.assert_allclose(np.linalg.det(found.rotation), 1, atol=1e-9)


def test_weight_zero_ignores_an_outlier():
    points, *_ = random_case(3, batch=(1, ))
    target = points.copy()
    target[0, 4] += 100
    weights = np.ones((1, 9))
    weights[0, 4] = 0
    aligned = align_rigid(points, target, weights)
    np.testing.assert_allclose(
        np.delete(aligned, 4, 1), np.delete(points, 4, 1), atol=1e-9)


def test_gradient():
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randn(
        2, 2, 6, 3, dtype=torch.float64, generator=generator)
    source.requires_grad_()
    target.requires_grad_()

    def aligned(a, b):
        return apply_similarity(a, procrustes(a, b))

    assert torch.autograd.gradcheck(aligned, (source, target))


@pytest.mark.parametrize('shapes', [((5, 3), (6, 3)), ((2, 3), (2, 3))])
def test_bad_shapes_are_named(shapes):
    with pytest.raises(ValueError, match='source and target|at least D'):
        procrustes(*(torch.zeros(shape) for shape in shapes))
