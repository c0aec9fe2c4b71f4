# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A training step asks a GPU nothing and waits for none of its answers."""

import copy
import pickle

import pytest
import torch
from helpers.toy_reconstructor import (
    toy_batch,
    toy_config,
    toy_detail,
    toy_rendering,
)
from mmengine.logging import MMLogger
from no_questions import NoQuestions
from torch._subclasses.fake_tensor import FakeTensorMode

from mmtvface.models.reconstructors import loss_guard
from mmtvface.models.reconstructors.loss_guard import LossGuard
from mmtvface.registry import MODELS
from mmtvface.renderers import auto_rasterizer, base
from mmtvface.renderers.numba_rasterizer import NumbaRasterizer
from mmtvface.structures import FaceClipSample
from mmtvface.utils import host_sync


def toy_model(stage, rasterizer):
    torch.manual_seed(0)
    if stage == 'coarse':
        parts = toy_rendering()
        config = toy_config(
            **parts, shape_consistency=True,
            losses=dict(landmark=dict(type='LandmarkLoss'),
                        photometric=dict(type='PhotometricLoss')))
    else:
        config = toy_config(**toy_detail(detail_consistency=True))
        config['detail']['surface']['rasterizer'] = rasterizer
    config['renderer']['rasterizer'] = rasterizer
    config['data_preprocessor'] = dict(
        type='FaceClipDataPreprocessor', non_blocking=True)
    return MODELS.build(config).train()


def step(model, batch):
    """Losses of a step, and the gradients by name."""
    torch.manual_seed(1)
    model.zero_grad()
    losses = model(**model.data_preprocessor(batch), mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    return ({name: value.detach() for name, value in losses.items()},
            {name: parameter.grad.clone()
             for name, parameter in model.named_parameters()
             if parameter.grad is not None})


@pytest.mark.parametrize('stage', ['coarse', 'detail'])
def test_a_step_that_asks_nothing_gives_the_same(stage):
    pytest.importorskip('numba')
    model, batch = toy_model(stage, 'numba'), toy_batch(0, 1)
    expected = step(model, batch)
    with host_sync.asynchronous():
        step(model, batch)  # constants and the check of the faces
        with NoQuestions():
            found = step(model, batch)
    assert len(found[1]) >= 4
    torch.testing.assert_close(found, expected)


@pytest.fixture
def fake_gpu(monkeypatch):
    """CUDA tensors without values; whatever needs a value is an error."""
    for device in ('cpu', 'cuda'):
        monkeypatch.setitem(auto_rasterizer.PREFERENCE, device, ('numba', ))
    monkeypatch.setattr(NumbaRasterizer, 'find_fragments', empty_fragments)
    monkeypatch.setattr(base, 'index_range', lambda faces: (0, 0))
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda self: self)

    class Answer(host_sync.HostCopy):
        def __init__(self, values):
            assert values.device.type == 'cuda'

        def tolist(self):
            return [True]

    monkeypatch.setattr(loss_guard, 'HostCopy', Answer)
    host_sync._constant.cache_clear()
    yield FakeTensorMode()
    host_sync._constant.cache_clear()


def empty_fragments(self, vertices, faces, height, width):
    shape = len(vertices), height, width
    return (faces.new_full(shape, -1), vertices.new_zeros(*shape, 3),
            vertices.new_full(shape, torch.inf))


def to_fake(mode, value, device):
    """Tensors, and what holds some, without values on a device."""
    if isinstance(value, torch.Tensor):
        fake = mode.from_tensor(value.detach())
        with mode:
            return fake.to(device).requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {key: to_fake(mode, x, device) for key, x in value.items()}
    if isinstance(value, list):
        return [to_fake(mode, x, device) for x in value]
    result = value.new()
    for key, x in value.items():
        result.set_data({key: to_fake(mode, x, device)})
    return result


@pytest.mark.parametrize('stage', ['coarse', 'detail'])
def test_no_tensor_of_a_gpu_is_read_and_none_comes_from_the_host(
        stage, fake_gpu):
    model = toy_model(stage, 'auto')
    for module in model.modules():
        for name, value in module._parameters.items():
            module._parameters[name] = value if value is None else (
                torch.nn.Parameter(to_fake(fake_gpu, value.data, 'cuda')))
        for name, value in module._buffers.items():
            module._buffers[name] = value if value is None else to_fake(
                fake_gpu, value, 'cuda')
    model.data_preprocessor._device = torch.device('cuda')
    batch = to_fake(fake_gpu, toy_batch(0, 1), 'cpu')
    # (Autograd on CUDA needs a driver, so the backward pass is left to the
    # test above.)
    with fake_gpu:
        model(**model.data_preprocessor(batch), mode='loss')
        with NoQuestions():
            losses = model(**model.data_preprocessor(batch), mode='loss')
    assert {x.device.type for x in losses.values()} == {'cuda'}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('stage', ['coarse', 'detail'])
def test_a_step_on_a_gpu_waits_for_nothing(stage):
    model = toy_model(stage, 'auto').cuda()
    batch = toy_batch(0, 1)
    pinned = dict(inputs=[x.pin_memory() for x in batch['inputs']],
                  data_samples=[x.pin_memory()
                                for x in batch['data_samples']])
    step(model, pinned)
    torch.cuda.set_sync_debug_mode('error')
    try:
        found = step(model, pinned)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    assert all(value.isfinite() for value in found[0].values())


def test_questions_are_found():
    x = torch.ones(3)
    for ask in (lambda: x[0].item(), lambda: x[x > 0], lambda: bool(x[0]),
                lambda: torch.equal(x, x), lambda: torch.tensor([1.])):
        with pytest.raises(AssertionError), NoQuestions():
            ask()


class Guarded:
    """A weight, a loss and a guard that must not wait."""

    def __init__(self, skip=True):
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.guard, self.skip = LossGuard(), skip

    def __call__(self, factor, clip='a', code=0.):
        losses = dict(loss_a=(self.weight * factor).sum())
        codes = [torch.full((1, 2, 3), code)]
        sample = FaceClipSample(metainfo=dict(clip_id=clip))
        with host_sync.asynchronous():
            losses = self.guard(losses, codes, [sample], [self.weight],
                                self.skip)
        self.weight.grad = None
        losses['loss_a'].backward()
        return losses['loss_a'].item(), self.weight.grad.tolist()


def test_guard_keeps_the_weights_at_once_and_warns_a_step_later(monkeypatch):
    warnings = []
    monkeypatch.setattr(
        MMLogger.get_current_instance(), 'warning', warnings.append)
    guarded = Guarded()
    assert guarded(3.) == (6., [3., 3.])
    assert guarded(torch.nan, 'bad') == (0., [0., 0.])
    assert not warnings
    assert guarded(2.) == (4., [2., 2.])
    warning, = warnings
    assert "['bad'] of the step before; the codes are finite" in warning
    assert guarded(5.) == (10., [5., 5.]) and len(warnings) == 1
    assert len(guarded.weight._backward_hooks) == 1


def test_guard_raises_a_step_later():
    guarded = Guarded(skip=False)
    assert guarded(torch.inf, 'bad') == (0., [0., 0.])
    with pytest.raises(FloatingPointError, match=(
            r"\['loss_a'\] are not finite for the batch of clips \['bad'\] "
            'of the step before; the codes are finite')):
        guarded(1.)
    guarded = Guarded(skip=True)
    guarded(1., 'worse', torch.nan)
    with pytest.raises(FloatingPointError, match="codes of \\['worse'\\]"):
        guarded(1.)


def test_guard_is_not_copied_with_the_model():
    guarded = Guarded()
    guarded(torch.nan)
    for other in (copy.deepcopy(guarded.guard),
                  pickle.loads(pickle.dumps(guarded.guard))):
        assert isinstance(other, LossGuard) and other._last is None


def test_range_of_faces_is_looked_at_again_only_if_they_change():
    faces = torch.tensor([[0, 1, 2], [2, 1, 7]])
    with host_sync.asynchronous():
        assert base.index_range(faces) == (0, 7)
        with NoQuestions():
            assert base.index_range(faces) == (0, 7)
        faces[0, 0] = -1
        assert base.index_range(faces) == (-1, 7)
    assert base.index_range(faces[1:]) == (1, 7)


def test_constants_are_made_once_and_serve_training():
    like = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    values = [(1, 2.5), (3, 4)]
    expected = like.new_tensor(values)
    assert torch.equal(host_sync.constant(values, like), expected)
    host_sync._constant.cache_clear()
    with host_sync.asynchronous():
        with torch.inference_mode():
            first = host_sync.constant(values, like)
        assert host_sync.constant(values, like) is first
    assert torch.equal(first, expected) and first.dtype == torch.float64
    (like * first).sum().backward()
    assert like.grad.item() == 10.5
