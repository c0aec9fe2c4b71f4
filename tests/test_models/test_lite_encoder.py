# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import pytest
import torch

from mmtvface.models.encoders.gated_propagation import (
    GatedBranch,
    GatedPropagation,
    Memory,
)
from mmtvface.registry import MODELS

SMALL = dict(depth=18, base_channels=8)


def lite(**options):
    torch.manual_seed(0)
    settings = dict(type='LiteTemporalEncoder', propagation_channels=8)
    return MODELS.build({**settings, **SMALL, **options}).eval()


def wake(encoder):
    """Give the adapter something to do."""
    torch.nn.init.normal_(encoder.temporal.expand.weight, std=.5)
    return encoder


def clip(frames=4, seed=0):
    return torch.rand(2, frames, 3, 32, 32,
                      generator=torch.manual_seed(seed))


def test_a_new_encoder_is_the_single_frame_encoder(tmp_path):
    single = MODELS.build(dict(type='ResNetEncoder', **SMALL)).eval()
    for part in single.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(part.running_mean)
    torch.save(single.state_dict(), tmp_path / 'single.pth')
    encoder = lite(pretrained=str(tmp_path / 'single.pth'))
    encoder.init_weights()
    with torch.no_grad():
        assert torch.equal(encoder(clip()), single(clip()))
        moved = wake(encoder)(clip())
    assert not torch.allclose(moved, single(clip()), atol=1e-3)


def test_generic_initialisation_keeps_the_start():
    encoder = lite(init_cfg=dict(type='Kaiming', layer='Conv2d'))
    encoder.init_weights()
    assert not encoder.temporal.expand.weight.any()


def test_branch_by_hand():
    """One channel, one pixel: the equations with numbers."""
    branch = GatedBranch(1)
    with torch.no_grad():
        branch.mix.weight[:] = torch.tensor(
            [[.5, -1.], [2., .25]])[..., None, None]

    def one(value):
        return torch.full((1, 1, 1, 1), value)

    def silu(value):
        return value / (1 + torch.tensor(-value).exp().item())

    def sigmoid(value):
        return 1 / (1 + torch.tensor(-value).exp().item())

    memory = branch.step(one(7.), one(.4), Memory())
    first = silu(.4)
    assert memory.last.item() == pytest.approx(first)
    memory = branch.step(one(.1), one(.3), memory)
    keep = sigmoid(.1 + .5 * first)
    second = keep * first + (1 - keep) * silu(
        .3 + math.tanh(2 * first))
    assert memory.last.item() == pytest.approx(second)
    memory = branch.step(one(.2), one(-.5), memory)
    keep = sigmoid(.2 + .5 * second - first)
    third = keep * second + (1 - keep) * silu(
        -.5 + math.tanh(2 * second + .25 * first))
    assert memory.last.item() == pytest.approx(third)


def test_frame_by_frame_equals_the_whole_clip():
    encoder = wake(lite(branches=('forward', ) * 2))
    assert encoder.causal
    state, features = None, []
    with torch.no_grad():
        whole = encoder(clip())
        for frame in clip().unbind(1):
            feature, state = encoder.step(frame, state)
            features.append(feature)
    assert torch.allclose(torch.stack(features, 1), whole, atol=1e-5)


@pytest.mark.parametrize('branches, seen', [
    (('forward', ), [False, False, True, True]),
    (('backward', ), [True, True, True, False]),
    (('backward', 'forward'), [True] * 4)])
def test_directions(branches, seen):
    """Which frames change when the third one does."""
    encoder = wake(lite(branches=branches))
    changed = clip()
    changed[:, 2] = clip(seed=1)[:, 2]
    with torch.no_grad():
        same = (encoder(clip()) - encoder(changed)).abs().amax((0, 2)) < 1e-6
    assert [not s for s in same.tolist()] == seen


def test_memory_stays_bounded_on_long_clips():
    torch.manual_seed(0)
    branch = GatedBranch(4)
    torch.nn.init.normal_(branch.mix.weight, std=20.)
    memory, inputs = Memory(), torch.randn(2, 1, 4, 3, 3)
    for _ in range(100):
        memory = branch.step(inputs[0], inputs[1], memory)
    limit = torch.nn.functional.silu(inputs[1] + 1).abs().max()
    assert memory.last.abs().max() <= max(limit, .279)


def test_first_order_reads_one_frame():
    torch.manual_seed(0)
    module = GatedPropagation(4, 4, ('forward', ), order=1)
    assert module.branches[0].mix.in_channels == 4
    assert module(torch.rand(1, 3, 4, 5, 5)).shape == (1, 3, 4, 5, 5)


def test_gradients():
    torch.manual_seed(0)
    module = GatedPropagation(2, 2).double()
    torch.nn.init.normal_(module.expand.weight)
    maps = torch.rand(1, 3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (maps, ))


def test_recomputation_changes_nothing():
    plain, again = (wake(lite(with_cp=cp)).train() for cp in (False, True))
    again.load_state_dict(plain.state_dict())
    for encoder in (plain, again):
        encoder(clip()).square().mean().backward()
    for (name, one), two in zip(plain.named_parameters(),
                                again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, msg=name)
    for (name, one), two in zip(plain.named_buffers(), again.buffers(),
                                strict=True):
        assert torch.equal(one, two), name


def test_options_that_are_not_possible():
    with pytest.raises(ValueError, match='propagation_stage must be 1 to 4'):
        lite(propagation_stage=5)
    with pytest.raises(ValueError, match='branches must be a list'):
        lite(branches=('sideways', ))
    with pytest.raises(ValueError, match='order must be 1 or 2'):
        lite(order=3)
    with pytest.raises(RuntimeError, match='causal'):
        lite().step(clip()[:, 0])


@pytest.mark.parametrize('depth, stage, channels, side', [
    (18, 1, 8, 8), (18, 4, 64, 1), (50, 2, 64, 4)])
def test_maps_for_a_detail_branch(depth, stage, channels, side):
    encoder = lite(depth=depth, propagation_stage=stage)
    with torch.no_grad():
        maps = encoder.trunk(clip())
    assert encoder.trunk_channels == channels
    assert maps.shape == (8, channels, side, side)
