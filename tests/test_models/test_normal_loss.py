# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import pytest
import torch
from helpers.given import given
from helpers.toy_reconstructor import toy_batch
from toy_detail_stage import SIZE, batch, build, run

from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.models.losses import FaceLoss, NormalLoss
from mmtvface.models.losses.displacement import normal_difference
from mmtvface.registry import MODELS

LOSSES = dict(normal=dict(type='NormalLoss', loss_weight=2.))


@MODELS.register_module()
class CaptureNormals(FaceLoss):
    """Keeps the true normals."""

    def compute(self, outputs, targets):
        self.seen = targets.uv_normals
        return outputs.uv_normals.sum()


def fields(vector):
    return torch.tensor(vector)[None, :, None, None].expand(2, 3, 4, 4)


def test_difference_by_hand():
    up, tilted = fields([0., 0., 1.]), fields([0., 3., 3.])
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 1:3, 1:3] = 1
    expected = 2 * (1 - math.cos(math.pi / 4))
    assert normal_difference(up, tilted, mask) == pytest.approx(expected)
    assert normal_difference(up, 5 * up, mask) == 0
    half = mask.clone()
    half[..., 1, :] = 0
    mixed = torch.where(half > 0, tilted, up)
    assert normal_difference(up, mixed, mask) == pytest.approx(expected / 2)


def test_empty_mask_and_no_normals_are_safe():
    pred = torch.zeros(1, 3, 4, 4, requires_grad=True)
    for mask in (torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)):
        loss = normal_difference(pred, torch.zeros(1, 3, 4, 4), mask)
        assert loss == 0
        assert torch.autograd.grad(loss, pred)[0].isfinite().all()


def test_gradient():
    generator = torch.Generator().manual_seed(0)
    pred, target = (torch.randn(2, 3, 3, 3, generator=generator,
                                dtype=torch.float64) for _ in range(2))
    mask = torch.rand(1, 1, 3, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: normal_difference(x, target, mask), pred.requires_grad_())


def test_weight():
    outputs = given(uv_normals=fields([0., 0., 1.]),
                   face_mask_uv=torch.ones(1, 1, 4, 4))
    targets = given(uv_normals=fields([1., 0., 0.]))
    assert NormalLoss(3.)(outputs, targets) == pytest.approx(6)


def test_truth_of_the_predicted_head_is_its_own_detail():
    """The pose of the truth does not matter, its shape and detail do."""
    model = build(losses=dict(seen=dict(type='CaptureNormals'))).train()
    data = batch(0, 1)
    inputs = model.data_preprocessor(data)['inputs']
    with torch.no_grad():
        flat = model.encode(inputs).flatten(0, 1)
        vertices = model.decode(model.layout.split(flat))['vertices']
    turn = axis_angle_to_matrix(torch.tensor([.3, -.2, .5]))
    moved = vertices @ turn.T + torch.tensor([.1, 0., -.2])
    for index, sample in enumerate(data['data_samples']):
        sample.gt_vertices = moved.unflatten(0, (2, -1))[index]
    run(model, data, 'loss')
    surface = model.detail.surface
    displacement = torch.cat(
        [sample.gt_displacement for sample in data['data_samples']])
    expected = surface.normals(displacement, surface.maps(vertices))
    torch.testing.assert_close(
        model.losses['seen'].seen, expected, atol=2e-4, rtol=0)


def test_training_reaches_the_branch():
    model = build(losses=LOSSES, detail_consistency=True).train()
    losses = run(model, batch(0, 1), 'loss')
    losses['loss_normal'].backward()
    assert model.detail.decoder.l1[0].weight.grad.abs().sum() > 0
    assert model.head.layers[2].weight.grad is None


def test_data_without_truth():
    with pytest.raises(ValueError, match="'normal' needs 'gt_displacement'"):
        run(build(losses=LOSSES), toy_batch(0), 'loss')


def test_not_in_the_coarse_stage():
    with pytest.raises(ValueError, match="'normal' reads 'uv_normals', but "
                       'in this stage.*Use it in the other stage'):
        run(build(losses=LOSSES, stage='coarse'), batch(0), 'loss')
    assert SIZE == build(losses=LOSSES).detail.size
