# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""SPyNet, BasicVSR++ and VGGFace2's ResNet-50."""
import pickle

import numpy as np
import pytest
import torch
from helpers.toy_reconstructor import toy_config
from mmengine.config import Config
from published_networks import (
    propagate,
    propagation_shapes,
    random_state,
    resnet_shapes,
    spynet,
    spynet_shapes,
)

from mmtvface.converters import ConversionError
from mmtvface.converters.basicvsrpp import (
    encoder_options,
    inspect_basicvsrpp,
)
from mmtvface.converters.jobs import (
    convert_basicvsrpp_file,
    convert_spynet_file,
    convert_vggface2_file,
)
from mmtvface.converters.spynet import convert_spynet, spynet_tensors
from mmtvface.converters.vggface2 import convert_vggface2
from mmtvface.models.encoders import TemporalResNet
from mmtvface.models.encoders.flow import estimate_flows
from mmtvface.models.losses.vggface2_resnet import load_vggface2_weights

TINY = dict(type='TemporalResNet', mid_channels=8, depth=18, base_channels=4,
            num_blocks=2, num_extra_blocks=5, deform_groups=16)


def basicvsrpp_state(seed=0, prefix='generator.'):
    """mid_channels 8, two blocks; beside it what a real file also has."""
    shapes = propagation_shapes('', 'reconstruction', 8, 2, norm=False)
    shapes |= spynet_shapes('spynet.')
    shapes |= {'feat_extract.main.0.weight': (8, 3, 3, 3),
               'upsample1.upsample_conv.weight': (32, 8, 3, 3),
               'upsample2.upsample_conv.bias': (256, ),
               'conv_hr.weight': (64, 64, 3, 3), 'conv_last.bias': (3, )}
    return {f'{prefix}{key}': value
            for key, value in random_state(shapes, seed).items()}


def config(**changes):
    return Config(dict(model=toy_config(encoder=TINY | changes)))


def save(path, **content):
    torch.save(content, path)
    return path


# SPyNet -------------------------------------------------------------------

def test_spynet_tensors_are_those_of_mmagic():
    model = TemporalResNet(**{k: v for k, v in TINY.items() if k != 'type'})
    own = {k: v.shape for k, v in model.spynet.state_dict().items()}
    assert {k: v.shape for k, v in spynet_tensors().items()} == own


def test_spynet_becomes_a_part_file_that_gives_the_same_flow(tmp_path):
    state = random_state(spynet_shapes('', constants=False))
    source = save(tmp_path / 'spynet_2021.pth', state_dict=state, meta={})
    job = convert_spynet_file(source)
    assert job.report.count('mapped') == 60
    job.save(tmp_path / 'spynet.pth')
    encoder = TemporalResNet(
        **{k: v for k, v in TINY.items() if k != 'type'},
        spynet_pretrained=str(tmp_path / 'spynet.pth'))
    encoder.init_weights()
    state |= {k: v for k, v in random_state(spynet_shapes('spynet.')).items()
              if k.endswith(('mean', 'std'))}
    state = {k.removeprefix('spynet.'): v for k, v in state.items()}
    first, second = torch.rand(2, 2, 3, 24, 32)
    expected = spynet(state, first, second, prefix='')
    with torch.no_grad():
        flow = encoder.spynet(first, second)
    assert flow.abs().mean() > .5
    torch.testing.assert_close(flow, expected, rtol=0, atol=1e-5)


def test_spynet_inside_of_other_checkpoints():
    state = random_state(spynet_shapes('encoder.spynet.'))
    whole = dict(E_flame=state | {'layers.0.bias': torch.zeros(3)},
                 E_detail=dict(state))
    result, report = convert_spynet(whole)
    assert len(result) == 62 and report.facts == dict(
        prefix='E_flame.encoder.spynet.')
    notes = {r.source: r.note for r in report.records if r.status == 'unused'}
    assert notes.pop('E_flame.layers.0.bias') == 'no part of SPyNet'
    assert len(notes) == 62
    whole['E_detail'] = random_state(spynet_shapes('encoder.spynet.'), 1)
    with pytest.raises(ConversionError, match='different SPyNets at .*'
                       'E_detail.encoder.spynet.*--prefix'):
        convert_spynet(whole)
    result, _ = convert_spynet(whole, 'E_detail.encoder.spynet')
    key = 'basic_module.3.basic_module.1.conv.weight'
    assert torch.equal(result[key],
                       whole['E_detail'][f'encoder.spynet.{key}'])
    with pytest.raises(ConversionError, match="no SPyNet at 'a.'"):
        convert_spynet(whole, 'a')


def test_spynet_errors():
    with pytest.raises(ConversionError, match='x.pth holds no SPyNet'):
        convert_spynet({'a': torch.zeros(1)}, name='x.pth')
    state = random_state(spynet_shapes('', constants=False))
    with pytest.raises(ConversionError, match='unknown names .extra'):
        convert_spynet(state | {'extra': torch.zeros(1)})
    with pytest.raises(ConversionError, match='unknown names .extra'):
        convert_spynet(state | {'extra': np.zeros(1)})
    with pytest.raises(ConversionError, match='x.pth .* nor known: extra'):
        convert_spynet(state | {'extra': 1.}, name='x.pth')
    key = 'basic_module.0.basic_module.1.conv.bias'
    with pytest.raises(ConversionError, match=f'nor known: {key}'):
        convert_spynet(state | {key: 1.})
    convert_spynet(dict(state_dict=state, meta=dict(epoch=3)))
    del state['basic_module.5.basic_module.4.conv.bias']
    with pytest.raises(ConversionError, match='missing.*5.basic_module.4'):
        convert_spynet(state)


# BasicVSR++ ---------------------------------------------------------------

def test_propagation_and_fusion_are_those_of_basicvsrpp(tmp_path):
    state = basicvsrpp_state()
    path = save(tmp_path / 'vsr.pth', state_dict=state
                | {'step_counter': torch.zeros(1)}, meta=dict(a='b'))
    job = convert_basicvsrpp_file(path, config(norm_cfg=None))
    report = job.report
    assert report.facts['num_blocks'] == 2
    assert report.facts['mid_channels'] == 8
    assert report.facts['deform_groups'] == 16
    assert report.facts['low_resolution_input']
    unused = {r.source.split('.')[-3]: r.note for r in report.records
              if r.status == 'unused' and '.main.' not in r.source
              and 'step' not in r.source}
    assert all('up-sampling' in note for note in unused.values())
    assert report.count('unused') == 6
    missing = {r.target.split('.')[1] for r in report.records
               if r.status == 'missing'}
    assert missing >= {'head', 'down1', 'down2', 'layer1', 'layer4', 'bn1'}
    assert not missing & {'rnn', 'spynet'}

    job.save(tmp_path / 'init.pth')
    frames = torch.randn(4, 2, 8, 32, 32)
    images = torch.rand(2, 4, 3, 32, 32)
    encoder = job.model.encoder.eval()
    with torch.no_grad():
        flows = estimate_flows(encoder.spynet, images)
        ours = encoder.rnn(frames.transpose(0, 1), flows)
    earlier, later = (list(flow.unbind(1)) for flow in flows)
    expected = propagate(
        {k.removeprefix('generator.'): v for k, v in state.items()},
        list(frames), [None, *earlier], [*later, None], '', 'reconstruction')
    expected = torch.stack(expected, 1)
    error = (ours - expected).abs().max() / expected.abs().max()
    assert error < 1e-5


def test_moving_averages(tmp_path):
    plain, average = basicvsrpp_state(), basicvsrpp_state(
        1, 'generator_ema.module.')
    average['generator_ema.steps'] = torch.tensor(3)
    path = save(tmp_path / 'vsr.pth', state_dict=plain | average)
    key = 'backbone.forward_2.main.0.weight'
    for weights, expected in (
            (None, average[f'generator_ema.module.{key}']),
            ('generator_ema', average[f'generator_ema.module.{key}']),
            ('generator', plain[f'generator.{key}'])):
        job = convert_basicvsrpp_file(path, config(norm_cfg=None),
                                      weights=weights)
        assert torch.equal(job.state[f'encoder.rnn.{key}'], expected)
        other = [r for r in job.report.records if 'not the chosen' in r.note]
        assert len(other) == len(plain)
    with pytest.raises(ConversionError, match="no generator_ema, but .'gen"):
        inspect_basicvsrpp(dict(state_dict=plain), 'generator_ema')
    bare = {k.removeprefix('generator.'): v for k, v in plain.items()}
    assert inspect_basicvsrpp(bare).weights == 'network'


def test_another_propagation_is_refused_or_adapted_to(tmp_path):
    path = save(tmp_path / 'vsr.pth', state_dict=basicvsrpp_state())
    with pytest.raises(ConversionError, match='num_blocks is 3 instead of 2.*'
                       "norm_cfg is {'type': 'BN'} instead of None.*"
                       'model.encoder.num_blocks=2 '
                       'model.encoder.norm_cfg=None'):
        convert_basicvsrpp_file(path, config(num_blocks=3))
    job = convert_basicvsrpp_file(path, config(num_blocks=3), adapt=True)
    assert job.report.overrides == {'model.encoder.num_blocks': 2,
                                    'model.encoder.norm_cfg': None}
    assert job.config.model.encoder.norm_cfg is None
    job = convert_basicvsrpp_file(
        path, config(norm_cfg=None, spynet_pretrained='a.pth'), adapt=True)
    assert job.report.overrides == {'model.encoder.spynet_pretrained': None}
    # An option: the alignment without flow.
    job = convert_basicvsrpp_file(
        path, config(norm_cfg=None), {'model.encoder.with_flow': False})
    assert not any('spynet' in key for key in job.state)
    assert any('no SPyNet' in r.note for r in job.report.records)
    facts = inspect_basicvsrpp(basicvsrpp_state())
    with pytest.raises(ConversionError, match='ResNetEncoder.*no propagat'):
        encoder_options(facts, dict(type='ResNetEncoder'))


def test_basicvsrpp_errors(tmp_path):
    with pytest.raises(ConversionError, match='no checkpoint of BasicVSR'):
        inspect_basicvsrpp(dict(state_dict={'generator.fusion.weight':
                                            torch.zeros(1)}))
    state = basicvsrpp_state()
    target = config(norm_cfg=None)
    path = save(tmp_path / 'vsr.pth',
                state_dict=state | {'generator.odd.weight': torch.zeros(1)})
    with pytest.raises(ConversionError, match='generator.odd.weight'):
        convert_basicvsrpp_file(path, target)
    path = save(tmp_path / 'vsr.pth',
                state_dict=state | {'generator.spynet.odd': 1.})
    with pytest.raises(ConversionError, match='known: .*.spynet.odd'):
        convert_basicvsrpp_file(path, target)
    del state['generator.reconstruction.main.2.4.conv2.bias']
    path = save(tmp_path / 'vsr.pth', state_dict=state)
    with pytest.raises(ConversionError, match='missing in it .encoder.rnn.'
                       'fusion.main.2.4.conv2.bias'):
        convert_basicvsrpp_file(path, target)


# VGGFace2 -----------------------------------------------------------------

def test_vggface2_file_for_the_identity_loss(tmp_path):
    arrays = {name: value.numpy()
              for name, value in random_state(resnet_shapes()).items()
              if not name.endswith('num_batches_tracked')}
    whole = arrays | {'fc.weight': np.zeros((5, 2048), np.float32),
                      'fc.bias': np.zeros(5, np.float32)}
    source = tmp_path / 'resnet50_ft_weight.pkl'
    source.write_bytes(pickle.dumps(whole, protocol=2))
    job = convert_vggface2_file(source)
    assert [r.source for r in job.report.records if r.status == 'unused'] == [
        'fc.weight', 'fc.bias']
    own = job.model.state_dict()
    assert all(np.array_equal(own[name], arrays[name]) for name in arrays)

    job.save(tmp_path / 'resnet50_ft.pth')
    loaded = load_vggface2_weights(tmp_path / 'resnet50_ft.pth')
    assert loaded.keys() == own.keys()
    assert all(np.array_equal(loaded[name], arrays[name]) for name in arrays)
    with pytest.raises(ConversionError, match='layer5.weight'):
        convert_vggface2(whole | {'layer5.weight': np.zeros(1)}, own)
    torch.save([1], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='dictionary of arrays'):
        load_vggface2_weights(tmp_path / 'list.pth')
