# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import numpy as np
import pytest
import torch

from mmtvface.evaluation.functional import (
    acceleration_error,
    accelerations,
    box_size,
    code_spread,
    jitter,
    normalized_mean_error,
    vertex_error,
)


def test_box_size_of_visible_points():
    points = torch.tensor([[[0., 0.], [4., 2.], [100., 100.]]])
    visible = torch.tensor([[True, True, False]])
    assert box_size(points, visible).tolist() == [3.]
    assert box_size(points).tolist() == [100.]
    assert box_size(points, ~visible).tolist() == [0.]
    assert box_size(points, torch.zeros_like(visible)).isnan().all()


def test_nme_hand_computed():
    target = torch.tensor([[[0., 0.], [4., 2.], [math.nan, math.nan]],
                           [[0., 0.], [0., 0.], [0., 0.]]])
    visible = torch.tensor([[True, True, False], [False] * 3])
    pred = torch.tensor([[[3., 4.], [4., 2.], [0., 0.]]] * 2)
    nme = normalized_mean_error(pred, target, visible)
    assert nme[0].item() == pytest.approx((5 + 0) / 2 / 3)
    assert nme[1].isnan()


def test_nme_interocular_and_errors():
    target = torch.rand(2, 68, 2)
    target[0, 36], target[0, 45] = torch.zeros(2), torch.tensor([3., 4.])
    pred = target + torch.tensor([0.1, 0.])
    nme = normalized_mean_error(pred, target, normalizer='interocular')
    assert nme[0].item() == pytest.approx(0.1 / 5, rel=1e-4)
    hidden = torch.ones(2, 68, dtype=torch.bool)
    hidden[0, 45] = False
    nme = normalized_mean_error(pred, target, hidden, 'interocular')
    assert nme.isnan().tolist() == [True, False]
    with pytest.raises(ValueError, match="'eyes'"):
        normalized_mean_error(pred, target, normalizer='eyes')
    with pytest.raises(ValueError, match=r'target.*\(1, 68, 2\)'):
        normalized_mean_error(pred, target[:1])


def rotation(angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1.]],
                        dtype=torch.float64)


def test_vertex_error_ignores_rigid_motion_only():
    torch.manual_seed(0)
    target = torch.rand(3, 50, 3, dtype=torch.float64) * 0.2
    moved = target @ rotation(0.7).mT + torch.tensor([1., -2., 0.5])
    assert vertex_error(moved, target).max() < 1e-9
    assert vertex_error(moved, target, 'none').min() > 100
    scaled = moved * 1.1
    assert vertex_error(scaled, target, 'similarity').max() < 1e-9
    # Scaling about the centroid by 10 % moves a vertex by a tenth of its
    # distance from it.
    radius = (target - target.mean(1, keepdim=True)).norm(dim=-1).mean(1)
    assert torch.allclose(vertex_error(scaled, target), radius * 100)


def test_vertex_error_in_millimetres_and_broken_meshes():
    target = torch.zeros(2, 4, 3)
    pred = target + torch.tensor([0.003, 0., 0.004])
    pred[1, 2, 0] = math.inf
    error = vertex_error(pred, target, 'none')
    assert error[0].item() == pytest.approx(5.)
    assert error[1].isnan()
    with pytest.raises(ValueError, match='affine'):
        vertex_error(pred, target, 'affine')


def test_jitter_against_loop():
    points = torch.rand(6, 4, 3, dtype=torch.float64)
    visible = torch.rand(6, 4) > 0.3
    visible[2] = False
    expected = []
    for i in range(1, 5):
        lengths = [
            np.linalg.norm(points[i + 1, k] - 2 * points[i, k] +
                           points[i - 1, k]) for k in range(4)
            if visible[i - 1:i + 2, k].all()
        ]
        expected.append(np.mean(lengths) if lengths else np.nan)
    result = jitter(points, visible)
    assert np.allclose(result, expected, equal_nan=True)
    assert result.isnan().sum() >= 3  # those that touch frame 2


def test_jitter_of_motions():
    time = torch.arange(5.)[:, None, None]
    steady = time * torch.tensor([1., 2.]).view(1, 1, 2)
    assert jitter(steady).abs().max() == 0
    fall = 0.5 * 9.81 * time**2 * torch.tensor([0., 1.])
    assert torch.allclose(jitter(fall), torch.tensor(9.81))
    assert jitter(fall).shape == (3, ) and jitter(fall[:2]).shape == (0, )
    assert accelerations(fall[:1]).shape == (0, 1, 2)
    # A frozen result has no jitter, but it does not follow the motion.
    frozen = torch.zeros_like(fall)
    assert jitter(frozen).max() == 0
    assert torch.allclose(acceleration_error(frozen, fall),
                          torch.tensor(9.81))
    assert acceleration_error(fall + steady, fall).max() < 1e-4


def test_code_spread():
    codes = torch.tensor([[3., 4.], [3., 4.], [3., 4.]])
    assert code_spread(codes) == 0
    codes = torch.tensor([[4., 4.], [2., 4.]])
    assert code_spread(codes).item() == pytest.approx(1 / 5)
    assert code_spread(codes[:1]) == 0
    assert code_spread(torch.zeros(3, 2)) == 0
