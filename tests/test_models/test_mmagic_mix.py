# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""An mmagic network inside an mmtvface config, by inheritance alone."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from mmengine.runner import load_state_dict

from mmtvface.models.encoders import RestoredEncoder
from mmtvface.registry import MODELS
from mmtvface.structures import FaceClipSample

CONFIG = (Path(__file__).resolve().parents[2] / 'configs/temporal_deca' /
          'temporal-deca_basicvsrpp-r50_1xb2-coarse_face-clips-64.py')

BASE = """
encoder = dict(
    type='TemporalResNet', mid_channels=8, depth=18, base_channels=4,
    num_blocks=1, num_extra_blocks=1, propagation_stride=4, with_flow=False)
head = dict(type='FLAMEHead', in_channels=32)
"""
LEAF = """
_base_ = ['base.py']
encoder = dict(
    _delete_=True, type='RestoredEncoder',
    restorer=dict(
        type='mmagic.BasicVSRPlusPlusNet', mid_channels=8, num_blocks=1),
    encoder={{_base_.encoder}}, image_size=64)
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('configs')
    (folder / 'base.py').write_text(BASE)
    (folder / 'leaf.py').write_text(LEAF)
    return Config.fromfile(folder / 'leaf.py')


@pytest.fixture
def encoder(config):
    torch.manual_seed(0)
    scope = DefaultScope.get_current_instance()
    encoder = MODELS.build(config.encoder)
    assert DefaultScope.get_current_instance() is scope
    encoder.init_weights()
    return encoder


def test_restorer_in_front_learns_through_a_frozen_restorer(config, encoder):
    head = MODELS.build(config.head)
    encoder.train()
    assert type(encoder.restorer).__module__.startswith('mmagic.')
    assert not any(m.training for m in encoder.restorer.modules())
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    modules = torch.nn.ModuleList([encoder, head])
    optimizer = torch.optim.SGD(modules.parameters(), 0.1, weight_decay=0.1)
    codes = head(encoder(torch.rand(1, 2, 3, 64, 64)))
    assert codes.shape == (1, 2, 236)
    codes.square().mean().backward()
    optimizer.step()
    after = encoder.state_dict()
    assert all(torch.equal(after[k], before[k]) for k in before
               if k.startswith('restorer.'))
    assert not torch.equal(after['encoder.head.weight'],
                           before['encoder.head.weight'])


def test_what_the_encoder_sees(encoder):
    encoder.eval()
    clips = torch.rand(1, 2, 3, 64, 64)
    seen = encoder.restore(clips)
    assert seen.shape == (1, 2, 3, 64, 64)
    with torch.no_grad():
        large = encoder.restorer(clips)[0]
        assert large.shape == (2, 3, 256, 256)
        expected = F.interpolate(large.clamp(0, 1), (64, 64), antialias=True,
                                 mode='bilinear')
        torch.testing.assert_close(seen[0], expected)
        torch.testing.assert_close(encoder(clips), encoder.encoder(seen))
    # an untrained restorer is close to its bilinear skip connection
    assert (seen - clips).abs().mean() < 0.2


def test_registries_stay_apart(encoder):
    mmagic_models = ROOT_MODELS.children['mmagic']
    assert 'BasicVSRPlusPlusNet' in mmagic_models.module_dict
    assert 'BasicVSRPlusPlusNet' not in MODELS.module_dict
    assert 'TemporalResNet' not in mmagic_models.module_dict
    with DefaultScope.overwrite_default_scope('mmtvface'):
        built = ROOT_MODELS.build(
            dict(type='FLAMEHead', in_channels=2, hidden_channels=2))
    assert type(built) is MODELS.get('FLAMEHead')


def test_restorer_weights_from_an_mmagic_checkpoint(config, tmp_path):
    restorer = MODELS.build(config.encoder.restorer)
    state = restorer.state_dict()
    path = tmp_path / 'restorer.pth'
    torch.save(dict(state_dict={
        f'generator.{k}': v for k, v in state.items()
    } | {'step_counter': torch.ones(1)}), path)
    encoder = MODELS.build({**config.encoder,
                            'restorer_pretrained': str(path)})
    encoder.init_weights()
    torch.testing.assert_close(encoder.restorer.state_dict(), state)


@pytest.mark.parametrize('restorer, first, last', [
    (dict(type='mmagic.BasicVSRPlusPlusNet', mid_channels=8, num_blocks=1),
     'feat_extract.', 'conv_last.'),
    (dict(type='mmagic.RealBasicVSRNet', mid_channels=8,
          num_propagation_blocks=1, num_cleaning_blocks=1),
     'image_cleaning.', 'basicvsr.conv_last.'),
], ids=['BasicVSR++', 'RealBasicVSR'])
@pytest.mark.parametrize('frozen', [True, False])
def test_frozen_or_trained_with_the_encoder(restorer, first, last, frozen):
    torch.manual_seed(0)
    if frozen and 'num_cleaning_blocks' in restorer:
        # writes into its input, and so gives no gradients
        restorer = {**restorer, 'is_sequential_cleaning': True}
    encoder = RestoredEncoder(
        restorer, dict(type='ResNetEncoder', depth=18, base_channels=4), 32,
        freeze_restorer=frozen).train()
    network = encoder.restorer
    before = {k: v.clone() for k, v in network.state_dict().items()}
    clips = torch.rand(1, 2, 3, 64, 64)
    given = clips.clone().requires_grad_()
    encoder(given).square().mean().backward()
    torch.testing.assert_close(given.detach(), clips, rtol=0, atol=0)
    torch.optim.SGD(encoder.parameters(), 1., weight_decay=.1).step()
    after = network.state_dict()
    if frozen:
        assert given.grad is None
        assert all(torch.equal(after[k], before[k]) for k in before)
        return
    assert given.grad.abs().max() > 0
    for start in (first, last):
        assert all(p.grad.abs().max() > 0
                   for name, p in network.named_parameters()
                   if name.startswith(start))
        assert not torch.equal(after[f'{last}weight'],
                               before[f'{last}weight'])
    assert all(torch.equal(after[k], before[k]) for k in before
               if k.startswith('basicvsr.spynet.'))  # kept by RealBasicVSR


class Doubling(torch.nn.Module):

    def __init__(self, gain):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain))

    def forward(self, clips):
        return self.gain * clips.repeat_interleave(2, -1).repeat_interleave(
            2, -2)


@pytest.fixture
def doubling():
    MODELS.register_module(module=Doubling)
    yield dict(type='Doubling', gain=3.0)
    MODELS._module_dict.pop('Doubling')


def test_any_restorer_clamped_and_free_to_learn(doubling):
    encoder = RestoredEncoder(
        doubling, dict(type='ResNetEncoder', depth=18, base_channels=4),
        freeze_restorer=False).train()
    clips = torch.full((1, 2, 3, 16, 16), 0.25)
    clips[:, 1] = 0.5
    seen = encoder.restore(clips)
    assert seen.shape == (1, 2, 3, 32, 32)
    torch.testing.assert_close(seen[0, :, 0, 0, 0], torch.tensor([0.75, 1]))
    (encoder(clips)**2).sum().backward()
    assert encoder.restorer.gain.grad.abs() > 0
    assert encoder.restorer.training


def test_checkpoints_of_the_encoder_alone(doubling):
    part = dict(type='ResNetEncoder', depth=18, base_channels=4)
    plain = torch.nn.ModuleDict(dict(encoder=MODELS.build(part)))
    model = torch.nn.ModuleDict(dict(
        encoder=RestoredEncoder(doubling, part)))
    state = plain.state_dict()
    load_state_dict(model, state)
    torch.testing.assert_close(
        model.encoder.encoder.state_dict(), plain.encoder.state_dict())
    assert list(state) == list(plain.state_dict())
    other = torch.nn.ModuleDict(dict(
        encoder=RestoredEncoder(doubling, part)))
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.state_dict(), model.state_dict())


def test_shape_errors(doubling):
    encoder = RestoredEncoder(
        doubling, dict(type='ResNetEncoder', depth=18, base_channels=4))
    with pytest.raises(ValueError, match=r'clips must have .*\(3, 32, 32\)'):
        encoder(torch.rand(3, 32, 32))
    encoder.restorer.forward = lambda clips: clips[:, :1]
    with pytest.raises(ValueError, match=r'restored clips.*\(1, 2, 3, H'):
        encoder(torch.rand(1, 2, 3, 32, 32))


def small(cfg):
    """The shipped config at a size for tests; only sizes change."""
    cfg = cfg.to_dict()
    model = cfg['model']
    model['encoder']['restorer'].update(mid_channels=8, num_blocks=1)
    model['encoder'].update(restorer_pretrained=None, image_size=64)
    model['encoder']['encoder'].update(
        mid_channels=8, depth=18, base_channels=4, num_blocks=1,
        num_extra_blocks=1, deform_groups=2, spynet_pretrained=None)
    model['regressor'].pop('in_channels', None)
    model['texture'].update(size=32)
    model['renderer'].update(uv_size=32)
    return model


def test_shipped_config_trains_the_reconstructor_on_low_resolution():
    cfg = Config.fromfile(CONFIG)
    model = MODELS.build(small(cfg))
    model.train()
    t = 2
    data = dict(
        inputs=[torch.randint(0, 255, (t, 3, 64, 64), dtype=torch.uint8)],
        data_samples=[FaceClipSample(
            gt_landmarks=torch.rand(t, 68, 3),
            gt_masks=torch.ones(t, 1, 64, 64))])
    optim = OptimWrapper(torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad], 1e-3))
    before = model.encoder.encoder.head.weight.clone()
    logs = model.train_step(data, optim)
    assert {'loss_landmark', 'loss_photometric'} <= set(logs)
    assert all(value.isfinite().all() for value in logs.values())
    assert not torch.equal(model.encoder.encoder.head.weight, before)
    assert all(p.grad is None
               for p in model.encoder.restorer.parameters())
