# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Hooks and wrapper that keep a GPU busy, as far as a CPU can tell."""

from types import SimpleNamespace

import pytest
import torch
from helpers.toy_reconstructor import toy_batch, toy_config
from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import MessageHub

from mmtvface.engine import (
    BFloat16OptimWrapper,
    ChannelsLastHook,
    CompileHook,
    DeferredRuntimeInfoHook,
)
from mmtvface.models.encoders import ResNetEncoder
from mmtvface.registry import MODELS
from mmtvface.structures import FaceClipSample
from mmtvface.utils.host_sync import asynchronous


def histories(hub):
    return {key: value.data[0].tolist()
            for key, value in hub.log_scalars.items()}


def run_hook(hook, name, stop=None):
    """Histories of a training, noted after each iteration."""
    hub = MessageHub.get_instance(name)
    runner = SimpleNamespace(message_hub=hub, iter=0, max_iters=7)
    hub.update_info('loop_stage', 'train')
    seen = []
    for runner.iter in range(stop or 7):
        loss = torch.tensor(2. + runner.iter, requires_grad=True)
        outputs = dict(loss=loss * 2, spread=torch.tensor([.5]), rate=3.)
        hook.after_train_iter(runner, 0, outputs=outputs)
        seen.append(len(hub.log_scalars['train/loss'].data[0])
                    if 'train/loss' in hub.log_scalars else 0)
    hook.after_train(runner)
    return histories(hub), seen


def test_losses_are_read_together_and_none_is_lost():
    expected, _ = run_hook(RuntimeInfoHook(), 'plain')
    found, seen = run_hook(DeferredRuntimeInfoHook(3), 'deferred')
    assert seen == [0, 0, 3, 3, 3, 6, 7]
    assert found == expected
    assert found['train/loss'] == [4, 6, 8, 10, 12, 14, 16]
    found, seen = run_hook(DeferredRuntimeInfoHook(3), 'stopped', 5)
    assert seen[-1] == 3 and found['train/loss'] == [4, 6, 8, 10, 12]
    with pytest.raises(ValueError, match='at least 1, but it is 0'):
        DeferredRuntimeInfoHook(0)


def wrapper_of(model):
    return BFloat16OptimWrapper(
        torch.optim.SGD(model.parameters(), lr=1e-3),
        clip_grad=dict(max_norm=.1))


def test_wrapper_trains_under_bfloat16_and_logs_the_norm():
    torch.manual_seed(0)
    model = MODELS.build(toy_config()).train()
    wrapper = wrapper_of(model)
    dtypes = []
    model.encoder.body[2].register_forward_hook(
        lambda *args: dtypes.append(args[2].dtype))
    before = [p.detach().clone() for p in model.parameters()]
    losses = model.train_step(toy_batch(0, 1), wrapper)
    assert dtypes == [torch.bfloat16]
    assert losses['loss'].dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(
        before, model.parameters(), strict=True))


@pytest.mark.parametrize('wait', [True, False])
def test_norm_is_logged_at_once_or_a_step_later(wait):
    weight = torch.nn.Parameter(torch.tensor([3., 4.]))
    wrapper = wrapper_of(torch.nn.ParameterList([weight]))
    wrapper.message_hub = MessageHub.get_instance(f'norm{wait}')
    for factor in (1., 2.):
        loss = (weight.detach() * weight).sum() * factor
        if wait:
            wrapper.update_params(loss)
        else:
            with asynchronous():
                wrapper.update_params(loss)
    logged = histories(wrapper.message_hub)['train/grad_norm']
    assert logged[0] == pytest.approx(5)
    # The step shortens (3, 4) by 1e-3 * 0.1.
    assert logged[1:] == ([pytest.approx(2 * 4.9999)] if wait else [])


def test_channels_last_changes_the_layout_only():
    torch.manual_seed(0)
    encoder = ResNetEncoder(18, 8).eval()
    clips = torch.rand(1, 2, 3, 32, 32)
    expected = encoder(clips)
    model = torch.nn.ModuleDict(dict(encoder=encoder))
    ChannelsLastHook().before_run(SimpleNamespace(model=model))
    maps = encoder.layer1(encoder.trunk(clips))
    assert maps.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(encoder(clips), expected)
    with pytest.raises(ValueError, match=r"no part 'head'; .*\['encoder'\]"):
        ChannelsLastHook(['head']).before_run(SimpleNamespace(model=model))


def test_compiled_parts_give_the_same_under_the_same_names():
    torch.manual_seed(0)
    model = MODELS.build(toy_config()).eval()
    names, clips = model.state_dict().keys(), torch.rand(1, 2, 3, 32, 32)
    expected, graphs = model(clips), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    hook = CompileHook(['encoder'], backend=backend, fullgraph=True)
    hook.before_train(SimpleNamespace(model=model))
    torch.testing.assert_close(model(clips), expected)
    assert len(graphs) == 1 and model.state_dict().keys() == names


def test_samples_are_pinned_with_all_they_hold(monkeypatch):
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda self: self + 1)
    sample = FaceClipSample(metainfo=dict(clip_id='a'))
    sample.gt_landmarks = torch.zeros(2)
    sample.gt_codes = dict(shape=torch.zeros(3))
    pinned = sample.pin_memory()
    assert pinned.gt_landmarks.tolist() == [1, 1]
    assert pinned.gt_codes['shape'].tolist() == [1, 1, 1]
    assert pinned.clip_id == 'a' and sample.gt_landmarks.tolist() == [0, 0]
