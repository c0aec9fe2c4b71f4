# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import subprocess
import sys

import pytest
import torch
import torchvision
from mmengine.model import BaseModule

from mmtvface.models.encoders import ResNetEncoder, TemporalResNet
from mmtvface.models.encoders.pretrained import (
    load_part,
    read_state_dict,
    take_prefix,
)
from mmtvface.registry import MODELS


def test_importing_models_does_not_import_mmagic():
    code = ('import sys, mmtvface.models.encoders\n'
            'import mmtvface.models.regressors\n'
            'from mmtvface.registry import MODELS\n'
            "MODELS.build(dict(type='ResNetEncoder', depth=18,"
            ' base_channels=4))\n'
            "sys.exit('mmagic' in sys.modules)")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize('depth', [18, 50])
def test_resnet_equals_torchvision(depth, tmp_path):
    torch.manual_seed(depth)
    reference = getattr(torchvision.models, f'resnet{depth}')(num_classes=3)
    for module in reference.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    path = tmp_path / 'resnet.pth'
    torch.save(reference.state_dict(), path)
    encoder = MODELS.build(
        dict(type='ResNetEncoder', depth=depth, pretrained=str(path)))
    assert set(encoder.state_dict()) == {
        key
        for key in reference.state_dict() if not key.startswith('fc.')
    }
    encoder.init_weights()
    reference.fc = torch.nn.Identity()
    reference.eval()
    encoder.eval()
    clips = torch.rand(2, 2, 3, 48, 40)
    with torch.no_grad():
        features = encoder(clips)
        expected = reference(clips.flatten(0, 1)).unflatten(0, (2, 2))
    assert features.shape == (2, 2, encoder.out_channels)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)


def test_pretrained_is_read_in_init_weights_only():
    encoder = ResNetEncoder(18, 4, pretrained='/nowhere/resnet.pth')
    with pytest.raises(FileNotFoundError, match='/nowhere/resnet.pth'):
        encoder.init_weights()


def test_pretrained_of_another_width(tmp_path):
    path = tmp_path / 'narrow.pth'
    torch.save(ResNetEncoder(18, 4).state_dict(), path)
    encoder = ResNetEncoder(18, 8, pretrained=str(path))
    before = encoder.conv1.weight.clone()
    with pytest.raises(ValueError, match=r'bn1.bias: \(8,\) expected'):
        encoder.init_weights()
    assert torch.equal(before, encoder.conv1.weight)


def test_a_whole_checkpoint_wins_over_resnet_weights(tmp_path):
    whole, trunk = tmp_path / 'whole.pth', tmp_path / 'trunk.pth'
    torch.save(ResNetEncoder(18, 4).state_dict(), whole)
    torch.save(ResNetEncoder(18, 4).state_dict(), trunk)
    encoder = ResNetEncoder(
        18, 4, pretrained=str(trunk),
        init_cfg=dict(type='Pretrained', checkpoint=str(whole)))
    encoder.init_weights()
    assert torch.equal(encoder.conv1.weight,
                       torch.load(whole)['conv1.weight'])


def test_weights_survive_a_generic_initialisation(tmp_path):
    path = tmp_path / 'resnet.pth'
    torch.save(ResNetEncoder(18, 4).state_dict(), path)

    class Parent(BaseModule):

        def __init__(self):
            super().__init__(dict(type='Constant', layer='Conv2d', val=1.0))
            self.encoder = ResNetEncoder(18, 4, pretrained=str(path))

    parent = Parent()
    parent.init_weights()
    assert torch.equal(parent.encoder.conv1.weight,
                       torch.load(path)['conv1.weight'])


def test_input_norm():
    torch.manual_seed(0)
    clips = torch.rand(1, 2, 3, 32, 32)
    plain = ResNetEncoder(18, 4).eval()
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
    normed = ResNetEncoder(18, 4, input_norm=dict(mean=mean, std=std)).eval()
    # the constants are not in the state dict
    normed.load_state_dict(plain.state_dict(), strict=True)
    by_hand = torch.stack(
        [(clips[:, :, i] - mean[i]) / std[i] for i in range(3)], 2)
    torch.testing.assert_close(normed(clips), plain(by_hand))
    imagenet = ResNetEncoder(18, 4, input_norm='imagenet').input_norm
    torch.testing.assert_close(
        imagenet(torch.ones(1, 3, 1, 1)).flatten()[0],
        torch.tensor((1 - 0.485) / 0.229))


def test_frames_are_independent_and_float64_agrees():
    torch.manual_seed(0)
    encoder = ResNetEncoder(18, 4).eval()
    clips = torch.rand(2, 3, 3, 32, 64)
    features = encoder(clips)
    torch.testing.assert_close(features[1, 2], encoder(clips[1:, 2:])[0, 0])
    precise = encoder.double()(clips.double())
    assert precise.dtype == torch.float64
    torch.testing.assert_close(features.double(), precise, rtol=1e-3,
                               atol=1e-4)


def test_frame_errors():
    encoder = ResNetEncoder(18, 4)
    with pytest.raises(ValueError, match=r'\(n, t, 3, H, W\).*\(2, 3, 32'):
        encoder(torch.rand(2, 3, 32, 32))
    with pytest.raises(ValueError, match='32x32 pixels.*31x64'):
        encoder(torch.rand(1, 1, 3, 31, 64))


@pytest.mark.parametrize(('kwargs', 'message'), [
    (dict(depth=20), 'depth must be one of .*20'),
    (dict(base_channels=0), 'must be positive'),
    (dict(input_norm='caffe'), "input_norm must be .*'caffe'"),
    (dict(input_norm=dict(mean=(0, 0, 0), std=(1, 0, 1))), 'positive stds'),
])
def test_option_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ResNetEncoder(**kwargs)


@pytest.mark.parametrize(('kwargs', 'message'), [
    (dict(propagation_stride=3), 'propagation_stride must be 2 or 4.*3'),
    (dict(mid_channels=6), r'deform_groups must divide.*16 and 2 \* 6'),
    (dict(deform_op='cuda'), "deform_op must be one of .*'cuda'"),
    (dict(with_flow=False, spynet_pretrained='x.pth'), 'with_flow'),
])
def test_temporal_option_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TemporalResNet(**kwargs)


def test_take_prefix():
    state = {'generator.spynet.a.b': 1, 'generator.head': 2}
    assert take_prefix(state, 'spynet.') == {'a.b': 1}
    assert take_prefix(state, 'generator.') == {'spynet.a.b': 1, 'head': 2}
    assert take_prefix({'a.b': 1}, 'spynet.') == {'a.b': 1}


def test_read_state_dict_unwraps(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save(
        dict(state_dict={'module.weight': torch.ones(2)}, meta={}), path)
    assert list(read_state_dict(str(path), 'test weights')) == ['weight']
    torch.save(dict(epoch=3), path)
    with pytest.raises(ValueError, match='holds no state dict'):
        read_state_dict(str(path), 'test weights')


def test_load_part_names_what_does_not_fit():
    layer = torch.nn.Linear(2, 2)
    before = layer.weight.clone()
    state = {'weight': torch.zeros(2, 2), 'other': torch.zeros(1)}
    with pytest.raises(ValueError, match=r'missing 1 \(bias\); unknown 1 '):
        load_part(layer, state, 'x.pth')
    assert torch.equal(layer.weight, before)
    load_part(layer, state, 'x.pth', optional=('bias', ),
              ignored=('other', ))
    assert layer.weight.abs().max() == 0
