# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from helpers.given import given
from mmengine.runner.checkpoint import load_state_dict
from torch import nn
from torchvision.models import vgg

from mmtvface.models.losses import mrf
from mmtvface.models.losses.mrf import (
    IDMRFLoss,
    patch_distance,
    unit_vectors,
)
from mmtvface.models.losses.photo_detail import uv_patch
from mmtvface.models.losses.vgg_features import (
    VGG19Features,
    load_vgg19_weights,
)
from mmtvface.registry import MODELS


def naive_distance(pred, target):
    """The published formulas for one item, position by position."""
    center = target.mean(0, keepdim=True)
    gen = (pred - center).flatten(1).unbind(1)
    goals = (target - center).flatten(1).unbind(1)
    rows = []
    for g in gen:
        cosines = torch.stack(
            [g @ t / (g.norm() * t.norm()) for t in goals])
        distance = (1 - cosines) / 2
        relative = distance / (distance.min() + 1e-5)
        similarity = torch.exp((1 - relative) / 0.5)
        rows.append(similarity / similarity.sum())
    return -torch.log(torch.stack(rows).amax(0).mean())


def features(*shape, seed=0, **kwargs):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, **kwargs)


@pytest.fixture
def small_blocks(monkeypatch):
    """Similarity matrices of 4 x 4 positions come in blocks of 3 rows."""
    monkeypatch.setattr(mrf, '_CPU_ENTRIES', 3 * 2 * 16)


@pytest.mark.parametrize('noise', [2., 0.4])
def test_value_and_gradient_against_loop(small_blocks, noise):
    target = features(2, 5, 4, 4, dtype=torch.float64)
    pred = target + noise * features(2, 5, 4, 4, seed=1, dtype=torch.float64)
    pred.requires_grad_()
    weights = torch.tensor([1., -3.], dtype=torch.float64)
    values = patch_distance(pred, target)
    gradient, = torch.autograd.grad((values * weights).sum(), pred)
    naive = torch.stack([naive_distance(p, t)
                         for p, t in zip(pred, target, strict=True)])
    expected, = torch.autograd.grad((naive * weights).sum(), pred)
    assert torch.allclose(values, naive, rtol=1e-10)
    assert torch.allclose(gradient, expected, rtol=1e-8, atol=1e-10)
    assert expected.abs().amax((1, 2, 3)).min() > 1e-2
    with torch.no_grad():
        assert torch.allclose(patch_distance(pred, target), naive)


def test_float32_is_as_good_as_the_plain_formula():
    target = features(1, 64, 6, 6)
    pred = (target + features(1, 64, 6, 6, seed=1)).requires_grad_()
    value = patch_distance(pred, target)
    gradient, = torch.autograd.grad(value.sum(), pred)
    naive = naive_distance(pred[0].double(), target[0].double())
    expected, = torch.autograd.grad(naive, pred)
    assert value.item() == pytest.approx(naive.item(), rel=1e-4)
    assert (gradient - expected).norm() < 1e-3 * expected.norm()


def test_distance_gradcheck(small_blocks):
    target = features(2, 5, 4, 4, dtype=torch.float64)
    pred = features(2, 5, 4, 4, seed=1, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: patch_distance(x, target),
                                    (pred, ))


def test_distance_hand_computed():
    """Two positions, two channels: vectors along (1, -1) or against it."""
    target = torch.tensor([[1., 0.], [0., 1.]]).reshape(1, 2, 1, 2)
    same = patch_distance(target, target)
    # Both generated patches are the first target: d = 0 and 1.
    flat = patch_distance(target[..., :1].expand(-1, -1, -1, 2), target)
    share = math.exp((1 - 1 / 1e-5) / 0.5)
    assert same.item() == pytest.approx(0, abs=1e-6)
    assert flat.item() == pytest.approx(-math.log((1 + share) / 2), rel=1e-5)


def test_variety_is_asked_for():
    target = features(1, 8, 6, 6)
    shuffled = target.flatten(2)[..., torch.randperm(36)].reshape(1, 8, 6, 6)
    blurred = target.mean((2, 3), keepdim=True).expand_as(target)
    # The centre is that of the target position by position, so even a
    # permutation differs a little; a constant lacks the variety.
    assert patch_distance(shuffled, target) < 0.5 * patch_distance(
        blurred, target)


@pytest.mark.parametrize('pred_value, target_value', [
    (0., 0.), (1., 1.), (0., 1.), (1., 0.)])
def test_vectors_without_length_are_finite(pred_value, target_value):
    """The published code divides by their norm, 0."""
    pred = torch.full((2, 4, 3, 3), pred_value, requires_grad=True)
    target = torch.full((2, 4, 3, 3), target_value)
    value = patch_distance(pred, target)
    value.sum().backward()
    assert value.tolist() == pytest.approx([math.log(9)] * 2)
    assert torch.equal(pred.grad, torch.zeros_like(pred))
    some = target.clone()
    some[0, 0, 0, 0] = 3.
    mixed = pred.detach().clone()
    mixed[:, :, 1] = features(2, 4, 3)
    mixed.requires_grad_()
    value = patch_distance(mixed, some)
    value.sum().backward()
    assert value.isfinite().all() and mixed.grad.isfinite().all()
    assert mixed.grad.abs().max() < 1e6


def test_identical_features_are_finite():
    """Every minimum of a row is 0 and may be negative by rounding."""
    target = features(3, 32, 8, 8)
    pred = target.clone().requires_grad_()
    value = patch_distance(pred, target)
    value.sum().backward()
    assert value.abs().max() < 1e-3 and pred.grad.isfinite().all()
    huge = patch_distance(1e4 * (1 - target), target)
    assert huge.isfinite().all()


def test_unit_vectors_by_position():
    maps = features(2, 3, 4, 5) - 0.5
    assert torch.allclose(
        unit_vectors(maps),
        F.normalize(maps, dim=1).permute(0, 2, 3, 1).reshape(2, 20, 3))


LAYERS = dict(relu1_2=1.0, relu2_1=2.0)


@pytest.fixture(scope='module')
def loss():
    """On early layers, which small patches are enough for."""
    return IDMRFLoss('random', 0.5, patch_size=16, layer_weights=LAYERS,
                     chunk_size=2)


def batch(frames, copies=1, size=32, seed=0, **kwargs):
    goal = features(frames, 3, size, size, seed=seed, **kwargs)
    seen = (features(frames, 1, size, size, seed=seed + 1, **kwargs) >
            0.2).to(goal.dtype)
    pred = features(copies * frames, 3, size, size, seed=seed + 2, **kwargs)
    outputs = given(uv_images=pred.requires_grad_(), num_copies=copies)
    return outputs, given(uv_images=goal.repeat(copies, 1, 1, 1),
                         uv_visibility=seen.repeat(copies, 1, 1, 1))


def repeated(properties, times):
    return given(**{
        name: value.repeat(times, 1, 1, 1)
        for name, value in vars(properties).items()
        if isinstance(value, torch.Tensor)})


def direct_loss(loss, outputs, targets):
    """Without chunks and shared features, with autograd throughout."""
    pred, goal, seen = (
        uv_patch(maps, loss.box, loss.patch_size)
        for maps in (outputs.uv_images, targets.uv_images,
                     targets.uv_visibility))
    pred, goal = loss.network(pred * seen), loss.network(goal * seen)
    total = sum(
        weight * patch_distance(pred[name], goal[name]).sum()
        for name, weight in LAYERS.items())
    return loss.loss_weight * 20 * total / len(seen)


@pytest.mark.parametrize('frames, copies', [(3, 1), (3, 2)])
def test_loss_against_definition(loss, frames, copies):
    outputs, targets = batch(frames, copies)
    value = loss(outputs, targets)
    gradient, = torch.autograd.grad(value, outputs.uv_images)
    expected = direct_loss(loss, outputs, targets)
    wanted, = torch.autograd.grad(expected, outputs.uv_images)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(gradient, wanted, rtol=1e-3,
                          atol=1e-4 * wanted.abs().max().item())
    with torch.no_grad():
        assert loss(outputs, targets).item() == pytest.approx(value.item())


def test_published_scale():
    """At 20 frames it is the published sum times 2 * 0.05."""
    loss = IDMRFLoss('random', patch_size=16, layer_weights=LAYERS)
    outputs, targets = batch(4)
    with torch.no_grad():
        outputs, targets = repeated(outputs, 5), repeated(targets, 5)
        goal, pred, seen = (
            uv_patch(maps, patch_size=16)
            for maps in (targets.uv_images, outputs.uv_images,
                         targets.uv_visibility))
        expected = 2.0 * 0.05 * loss.distances((pred * seen)[None],
                                               goal * seen).sum()
        value = loss(outputs, targets)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_weight_does_not_depend_on_the_batch(loss):
    outputs, targets = batch(3)
    value = loss(outputs, targets)
    twice = loss(repeated(outputs, 2), repeated(targets, 2))
    assert twice.item() == pytest.approx(value.item(), rel=1e-5)


def test_gradient_of_the_loss_numerically():
    loss = IDMRFLoss('random', patch_size=8,
                     layer_weights=dict(relu1_1=1.)).double()
    outputs, targets = batch(2, 2, size=10, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: loss(given(uv_images=x, num_copies=2), targets),
        (outputs.uv_images, ), fast_mode=True)


def test_nothing_visible_is_finite(loss):
    outputs, targets = batch(2)
    targets.uv_visibility.zero_()
    value = loss(outputs, targets)
    value.backward()
    assert value.isfinite()
    assert torch.equal(outputs.uv_images.grad,
                       torch.zeros_like(outputs.uv_images))


def test_defaults():
    loss = MODELS.build(dict(type='mmtvface.IDMRFLoss', weights='random'))
    assert loss.loss_weight == pytest.approx(2.0 * 0.05)
    assert loss.layer_weights == dict(relu3_2=1., relu4_2=2.)
    assert len(loss.network.layers) == 23  # ends with relu4_2
    outputs, targets = batch(1)
    loss.patch_size = 32
    assert loss(outputs, targets).isfinite()


def test_network_stays_frozen_and_out_of_checkpoints(loss):
    model = nn.Module()
    model.layer = nn.Linear(2, 2)
    model.losses = nn.ModuleDict(dict(mrf=loss))
    model.train()
    assert loss.training and not loss.network.training
    assert not any(p.requires_grad for p in loss.parameters())
    state = model.state_dict()
    assert sorted(state) == ['layer.bias', 'layer.weight']
    model.load_state_dict(state, strict=True)
    load_state_dict(model, state, strict=True)


@pytest.fixture(scope='module')
def torchvision_layers():
    torch.manual_seed(0)
    return vgg.make_layers(vgg.cfgs['E'][:8])  # down to relu3_2


def test_features_are_those_of_torchvision(torchvision_layers):
    network = VGG19Features(['relu1_1', 'relu3_2'])
    network.load_weights(torchvision_layers.state_dict())
    images = features(2, 3, 32, 32)
    normal = (images - torch.tensor([.485, .456, .406])[:, None, None]
              ) / torch.tensor([.229, .224, .225])[:, None, None]
    found = network(images)
    assert list(found) == ['relu1_1', 'relu3_2']
    with torch.no_grad():
        # Rectified in place: the features must not be overwritten later.
        first = torchvision_layers[:2](normal)
        last = torchvision_layers[:14](normal)
    assert torch.allclose(found['relu1_1'], first, atol=1e-5)
    assert torch.allclose(found['relu3_2'], last, atol=1e-5)
    assert last.std() > 1e-3


def test_random_weights_leave_the_random_state_alone():
    before = torch.get_rng_state()
    first = VGG19Features(['relu2_1']).randomize()
    assert torch.equal(torch.get_rng_state(), before)
    again = VGG19Features(['relu2_1']).randomize()
    for one, other in zip(first.parameters(), again.parameters(),
                          strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize('prefix, wrap', [
    ('features.', False), ('vgg_layers.', False),
    ('perceptual_loss.vgg.vgg_layers.', True)])
def test_names_of_weight_files(tmp_path, torchvision_layers, prefix, wrap):
    state = torchvision_layers.state_dict(prefix=prefix)
    state['classifier.0.weight'] = torch.zeros(2, 2)
    state['features.30.weight'] = torch.zeros(1)  # deeper than wanted
    path = tmp_path / 'vgg19.pth'
    torch.save(dict(meta={}, state_dict=state) if wrap else state, path)
    loss = IDMRFLoss(path, patch_size=16, layer_weights=dict(relu3_2=1.))
    assert torch.equal(loss.network.layers[12].weight,
                       torchvision_layers[12].weight)


def save(path, content):
    torch.save(content, path)
    return path


def test_unusable_weights(tmp_path, torchvision_layers):
    with pytest.raises(ValueError, match='weights=None'):
        IDMRFLoss(None)
    with pytest.raises(FileNotFoundError, match='vgg19-dcbb9e9d.pth'):
        IDMRFLoss(tmp_path / 'absent.pth')
    state = torchvision_layers.state_dict(prefix='features.')
    path = save(tmp_path / 'short.pth', state)
    with pytest.raises(ValueError, match='8 of 20 .* missing .*short.pth'):
        IDMRFLoss(path)
    path = save(tmp_path / 'shape.pth',
                dict(state, **{'features.0.weight': torch.zeros(3)}))
    with pytest.raises(ValueError, match=r"'0.weight' is \(3,\), .*64, 3, "):
        IDMRFLoss(path, layer_weights=LAYERS)
    path = save(tmp_path / 'norm.pth',
                dict(state, **{'features.1.weight': torch.zeros(64)}))
    with pytest.raises(ValueError, match='no such entry'):
        IDMRFLoss(path, layer_weights=LAYERS)
    path = save(tmp_path / 'two.pth',
                dict(state, **{'b.features.0.weight': torch.zeros(3)}))
    with pytest.raises(ValueError, match='several networks'):
        load_vgg19_weights(path)
    with pytest.raises(ValueError, match='list'):
        load_vgg19_weights(save(tmp_path / 'list.pth', [1, 2]))
    evil = tmp_path / 'evil.pth'
    evil.write_bytes(pickle.dumps(IDMRFLoss, protocol=2))
    with pytest.raises(ValueError, match='refused'):
        load_vgg19_weights(evil)


def test_wrong_options():
    with pytest.raises(ValueError, match='relu9_9.*relu3_2'):
        VGG19Features(['relu9_9'])
    with pytest.raises(ValueError, match='choose from'):
        IDMRFLoss('random', layer_weights={})
    with pytest.raises(ValueError, match='chunk_size=0'):
        IDMRFLoss('random', chunk_size=0)
    with pytest.raises(ValueError, match=r'box.*\(5, 4, 0, 9\)'):
        IDMRFLoss('random', layer_weights=LAYERS, box=(5, 4, 0, 9))
