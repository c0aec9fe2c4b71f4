# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.given import given
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from mmtvface.models.losses import IdentityLoss
from mmtvface.models.losses.vggface2_resnet import (
    VGGFace2ResNet50,
    load_vggface2_weights,
    vggface2_input,
)


@pytest.fixture(scope='module')
def weights_file(tmp_path_factory):
    """Random weights in the published format."""
    torch.manual_seed(0)
    arrays = {
        name: value.numpy()
        for name, value in VGGFace2ResNet50().state_dict().items()
        if not name.endswith('num_batches_tracked')
    }
    arrays['fc.weight'] = np.zeros((8631, 2), np.float32)
    path = tmp_path_factory.mktemp('vggface2') / 'resnet50_ft_weight.pkl'
    path.write_bytes(pickle.dumps(arrays, protocol=2))
    return path


@pytest.fixture(scope='module')
def loss(weights_file):
    return IdentityLoss(weights_file, loss_weight=0.5)


def test_caffe_strides_and_rounding_up():
    network = VGGFace2ResNet50().eval()
    assert network.layer2[0].conv1.stride == (2, 2)
    assert network.layer2[0].conv2.stride == (1, 1)
    assert network.layer1[0].conv1.stride == (1, 1)
    sizes = []
    network.layer1.register_forward_pre_hook(
        lambda _, inputs: sizes.append(tuple(inputs[0].shape[-2:])))
    with torch.no_grad():
        network(torch.zeros(1, 3, 224, 224))
    assert sizes == [(56, 56)]  # (112 - 3) / 2 + 1 rounded up


def test_input_hand_computed():
    images = torch.zeros(1, 3, 224, 224)
    images[:, 0] = 1.  # red comes last
    out = vggface2_input(images)
    assert out.shape == (1, 3, 224, 224)
    expected = torch.tensor([
        2 * (0 - 91.4953) - 1, 2 * (0 - 103.8827) - 1,
        2 * (255 - 131.0912) - 1
    ])
    assert torch.allclose(out[0, :, 100, 100], expected, atol=1e-3)


def test_margin_is_cropped():
    images = torch.rand(1, 3, 224, 224)
    framed = images.clone()
    framed[..., :10, :] = 0
    framed[..., -10:] = 1
    assert torch.equal(vggface2_input(images), vggface2_input(framed))


def test_value_against_definition(loss):
    images = torch.rand(2, 3, 64, 64)
    overlay = torch.rand(4, 3, 64, 64)
    outputs = given(overlay_images=overlay, num_copies=2)
    value = loss(outputs, given(images=torch.cat([images, images])))
    with torch.no_grad():
        a = loss.network(vggface2_input(overlay))
        b = loss.network(vggface2_input(torch.cat([images, images])))
    expected = 0.5 * (1 - F.cosine_similarity(a, b)).mean()
    assert a.shape == (4, 2048)
    assert value.item() == pytest.approx(expected.item(), abs=1e-6)
    same = loss(given(overlay_images=images), given(images=images))
    assert same.item() == pytest.approx(0, abs=1e-6)


def test_network_stays_frozen(loss):
    parent = nn.Sequential(loss).train()
    assert parent.training and not loss.network.training
    assert not any(p.requires_grad for p in loss.parameters())
    running = loss.network.bn1.running_mean.clone()
    overlay = torch.rand(1, 3, 32, 32, requires_grad=True)
    loss(given(overlay_images=overlay),
         given(images=torch.rand(1, 3, 32, 32))).backward()
    assert overlay.grad.abs().sum() > 0
    assert torch.equal(loss.network.bn1.running_mean, running)


def test_checkpoints_leave_the_network_out(loss, capfd):
    model = nn.Module()
    model.layer = nn.Linear(2, 2)
    model.losses = nn.ModuleDict(dict(identity=loss))
    state = model.state_dict()
    assert sorted(state) == ['layer.bias', 'layer.weight']
    model.load_state_dict(state, strict=True)
    load_state_dict(model, state, strict=True)
    loss.load_state_dict({}, strict=True)
    with pytest.raises(RuntimeError, match='layer.bias'):
        model.load_state_dict({'layer.weight': state['layer.weight']})


def test_unusable_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='leave IdentityLoss out'):
        IdentityLoss(tmp_path / 'absent.pkl')
    bad = tmp_path / 'bad.pkl'
    bad.write_bytes(pickle.dumps({'conv1.weight': np.zeros(3)}))
    with pytest.raises(ValueError, match='missing in the weights'):
        IdentityLoss(bad)
    bad.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match='dictionary of arrays'):
        load_vggface2_weights(bad)
