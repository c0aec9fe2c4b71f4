# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Operators and training steps, on a GPU where there is one."""

import pytest
import torch
from helpers.toy_reconstructor import toy_batch, toy_config, toy_rendering
from mmengine.optim import build_optim_wrapper
from torch import nn

import mmtvface.engine  # noqa: F401  registers the wrapper
from mmtvface.registry import MODELS

pytestmark = pytest.mark.gpu


def test_deformable_convolution_is_that_of_numba(device, monkeypatch):
    pytest.importorskip('numba')
    from mmtvface.models.encoders import deform_conv as ops
    monkeypatch.setattr(ops, 'mmcv_has_op_for', lambda device: False)
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 6, 3, padding=1)
    conv.deform_groups = 2
    inputs = (torch.randn(2, 8, 9, 7), 2 * torch.randn(2, 36, 9, 7),
              torch.rand(2, 18, 9, 7))
    mix = torch.randn(2, 6, 9, 7)
    results = []
    for place, op in (('cpu', 'numba'), (device, 'compiled')):
        leaves = [x.detach().to(place).requires_grad_() for x in inputs]
        out = ops.deform_conv(*leaves, conv.to(place), op)
        grads = torch.autograd.grad(
            (out * mix.to(place)).sum(), [*leaves, conv.weight, conv.bias])
        results.append([out.detach(), *grads])
    for found, expected in zip(*results[::-1], strict=True):
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-4,
                                   atol=1e-4)


def train(device, steps=4, **wrapper):
    """Losses of some steps and the model."""
    torch.manual_seed(0)
    rendering = toy_rendering()
    rendering['renderer']['rasterizer'] = 'auto'
    model = MODELS.build(toy_config(
        **rendering, losses=dict(
            landmark=dict(type='LandmarkLoss'),
            photometric=dict(type='PhotometricLoss')))).to(device).train()
    optimizer = build_optim_wrapper(model, dict(
        # Adam would make steps of rounding errors.
        optimizer=dict(type='SGD', lr=1e-3), **wrapper))
    losses = []
    for step in range(steps):
        logs = model.train_step(toy_batch(step, step + 1), optimizer)
        losses.append(logs['loss'].item())
    return torch.tensor(losses), model


def test_bfloat16_trains_like_float32(device):
    expected, _ = train(device)
    found, model = train(device, type='mmtvface.BFloat16OptimWrapper')
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=.1, atol=.01)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_training_repeats_itself(device):
    # Sums by atomics may differ in their last bits.
    (first, one), (second, other) = train(device), train(device)
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)
    assert first[0] != first[-1]
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_clips_are_rendered_as_on_the_cpu(device):
    from mmtvface.datasets import SyntheticFaceClipDataset
    data = SyntheticFaceClipDataset(2, 2, 32, render=False)
    samples = [data[index]['data_samples'] for index in range(2)]
    codes = {name: torch.stack([s.gt_codes[name] for s in samples])
             for name in samples[0].gt_codes}
    renderer = MODELS.build(dict(
        type='ClipRenderer',
        texture=dict(type='FLAMETexture', size=64),
        renderer=dict(type='MeshRenderer', image_size=32)))
    expected = renderer.heads(codes)
    found = renderer.to(device).heads(
        {name: code.to(device) for name, code in codes.items()})
    assert expected.shape == (2, 2, 5, 32, 32) and expected.std() > .1
    # A pixel at an edge may belong to the other face there.
    off = (found.cpu() - expected).abs().amax(2) > .02
    assert off.float().mean() < .005
