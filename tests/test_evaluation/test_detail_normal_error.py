# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import pytest
import torch
from helpers.toy_reconstructor import GRID, toy_topology

from mmtvface.evaluation import DetailNormalError
from mmtvface.evaluation.functional import angle_between, masked_mean

SIZE = 64


def patch(frames=2):
    y, x = torch.meshgrid(
        torch.linspace(.1, -.1, GRID), torch.linspace(-.1, .1, GRID),
        indexing='ij')
    points = torch.stack([x, y, torch.zeros_like(x)], -1).view(1, -1, 3)
    return points.repeat(frames, 1, 1)


def ramp(degrees, frames=2):
    """Height that tilts the patch's normals about y."""
    step = .2 / SIZE * math.tan(math.radians(degrees))
    line = (torch.arange(SIZE) - 31.5) * step
    return line.expand(frames, 1, SIZE, SIZE)


def evaluate(**sample):
    metric = DetailNormalError(toy_topology())
    metric.process(None, [sample])
    return metric.evaluate(1)


def test_angles_by_hand():
    one = torch.tensor([[1., 0, 0], [1., 0, 0], [2., 0, 0]])
    two = torch.tensor([[0., 3, 0], [1., 1, 0], [1., 0, 1e-4]])
    torch.testing.assert_close(
        angle_between(one, two), torch.tensor([90., 45., .0057296]))


def test_masked_mean():
    values = torch.tensor([[[1., 2.], [3., 8.]], [[1., 1.], [1., 1.]]])
    mask = torch.tensor([[[1, 0], [1, 0]], [[0, 0], [0, 0]]])
    result = masked_mean(values, mask)
    assert result[0] == 2 and result[1].isnan()


def test_known_tilts():
    """Truth tilted by 30 degrees, prediction by 10: 20 and 30 degrees."""
    result = evaluate(
        pred_vertices=patch(), pred_displacement=ramp(10),
        gt_vertices=patch(), gt_displacement=ramp(30))
    # At the edge of the mask the ramp ends in a cliff.
    assert result['normal/detail'] == pytest.approx(20, abs=1.5)
    assert result['normal/coarse'] == pytest.approx(30, abs=3)
    assert result['normal/gain'] == pytest.approx(1 / 3, abs=.06)
    assert result['normal/wrinkled_gain'] == pytest.approx(1 / 3, abs=.06)


def test_perfect_prediction_and_no_detail():
    same = dict(pred_vertices=patch(), gt_vertices=patch(),
                gt_displacement=ramp(20))
    perfect = evaluate(pred_displacement=ramp(20), **same)
    assert perfect['normal/detail'] < .01 and perfect['normal/gain'] > .99
    none = evaluate(pred_displacement=ramp(0), **same)
    assert none['normal/gain'] == pytest.approx(0, abs=1e-5)


def test_pose_does_not_count():
    angle = math.radians(25)
    turn = torch.tensor([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0],
                         [-math.sin(angle), 0, math.cos(angle)]])
    result = evaluate(
        pred_vertices=patch() @ turn.T + .3, pred_displacement=ramp(20),
        gt_vertices=patch(), gt_displacement=ramp(20))
    assert result['normal/detail'] < .05


def test_hidden_texels_do_not_count():
    back = patch() * torch.tensor([-1., 1., -1.])  # looks away
    result = evaluate(
        pred_vertices=torch.cat([patch(1), back[:1]]),
        pred_displacement=ramp(0), gt_vertices=torch.cat([patch(1),
                                                          back[:1]]),
        gt_displacement=ramp(20))
    assert result['normal/coarse_skipped'] == 1
    assert result['normal/coarse'] == pytest.approx(20, abs=3)


def test_maps_of_other_sizes_are_resized():
    small = torch.nn.functional.interpolate(
        ramp(20), (32, 32), mode='bicubic', align_corners=False)
    result = evaluate(
        pred_vertices=patch(), pred_displacement=small,
        gt_vertices=patch(), gt_displacement=ramp(20))
    assert result['normal/detail'] < 1


def test_clips_without_truth_are_skipped():
    result = evaluate(pred_vertices=patch(), pred_displacement=ramp(20))
    assert math.isnan(result['normal/detail'])
    assert result['normal/detail_skipped'] == 2
