# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Two encoders that share flows, the trunk or a restorer."""
import copy

import pytest
import torch
import torchvision
from helpers.toy_reconstructor import toy_batch, toy_config, toy_detail
from toy_encoders import TINY, randomize_alignment, tiny

from mmtvface.models.encoders import ResNetEncoder, SharedTrunkEncoder
from mmtvface.registry import MODELS

TEMPORAL = dict(type='TemporalResNet', **TINY)


def build(encoder, detail_encoder, **changes):
    torch.manual_seed(0)
    config = toy_config(**toy_detail())
    config['detail']['encoder'] = detail_encoder
    model = MODELS.build(config | dict(encoder=encoder) | changes)
    return randomize_alignment(model)


def run(model, mode):
    torch.manual_seed(1)
    data = toy_batch(0, 1)
    return model(**model.data_preprocessor(data), mode=mode)


def count(module, calls, method='forward'):
    original = getattr(module, method)

    def wrapper(*args):
        calls.append(args)
        return original(*args)

    object.__setattr__(module, method, wrapper)


def detail_codes(model):
    with torch.no_grad():
        return torch.stack([sample.pred_codes['detail']
                            for sample in run(model.eval(), 'predict')])


# ------------------------------------------------- flows
@pytest.mark.parametrize('stage', ['coarse', 'detail'])
def test_flows_are_computed_once_for_both_encoders(stage):
    losses = dict() if stage == 'detail' else dict(losses=None)
    model = build(TEMPORAL, TEMPORAL | dict(with_flow='given'), stage=stage,
                  **losses)
    calls, given = [], []
    count(model.encoder.spynet, calls)
    count(model.encoder.rnn, given)
    count(model.detail.encoder.rnn, given)
    run(model, 'predict')
    # One call for both directions of 2 clips with 2 pairs each.
    assert [len(first) for first, _ in calls] == [2 * 2 * 2]
    coarse, detail = (args[1] for args in given)
    assert coarse[0] is detail[0] and coarse[1] is detail[1]
    assert coarse[0].shape == (2, 2, 2, 8, 8)
    if stage == 'detail':
        run(model, 'loss')['loss_photo'].backward()
        assert len(calls) == 2
        aligned = model.detail.encoder.rnn.deform_align['forward_1']
        assert aligned.weight.grad.abs().sum() > 0
        assert all(p.grad is None for p in model.encoder.parameters())


def test_given_flows_are_those_of_an_equal_spynet():
    given = build(TEMPORAL, TEMPORAL | dict(with_flow='given'))
    own = build(TEMPORAL, TEMPORAL)
    state = given.state_dict()
    assert not any('detail.encoder.spynet' in name for name in state)
    torch.nn.init.normal_(
        own.detail.encoder.spynet.basic_module[5].basic_module[4].conv.bias)
    different = copy.deepcopy(own.detail.encoder.spynet.state_dict())
    own.load_state_dict(state, strict=False)
    own.detail.encoder.spynet.load_state_dict(given.encoder.spynet
                                              .state_dict())
    calls = []
    count(own.encoder.spynet, calls)
    count(own.detail.encoder.spynet, calls)
    torch.testing.assert_close(detail_codes(own), detail_codes(given))
    assert len(calls) == 2
    # Each uses its own: published checkpoints have two.
    own.detail.encoder.spynet.load_state_dict(different)
    assert not torch.allclose(detail_codes(own), detail_codes(given))


def test_names_with_given_flows():
    names = set(tiny().state_dict())
    given = set(tiny(with_flow='given').state_dict())
    assert given == {n for n in names if not n.startswith('spynet.')}


def test_given_flows_are_needed_and_checked():
    encoder = tiny(with_flow='given').eval()
    clips = torch.rand(2, 3, 3, 32, 64)
    with pytest.raises(ValueError, match="with_flow='given' needs the flows"):
        encoder(clips)
    assert encoder(clips[:, :1]).shape == (2, 1, 32)
    assert encoder.compute_flows(clips) is None
    flows = tiny().compute_flows(clips)
    assert encoder(clips, flows).shape == (2, 3, 32)
    with pytest.raises(ValueError, match=r'forward flows .*stride=4.*'
                       r'\(2, 2, 2, 8, 16\), but it is \(2, 2, 2, 16, 32\)'):
        encoder(clips, tiny(propagation_stride=2).compute_flows(clips))
    with pytest.raises(ValueError, match="with_flow must be.*'gave'"):
        tiny(with_flow='gave')
    # Without alignment no flow is needed.
    assert tiny(with_flow='given', with_alignment=False).with_flow is False


def test_an_encoder_takes_flows_instead_of_its_own():
    encoder = randomize_alignment(tiny()).eval()
    clips = torch.rand(1, 3, 3, 32, 32)
    with torch.no_grad():
        flows = encoder.compute_flows(clips)
        torch.testing.assert_close(encoder(clips, flows), encoder(clips))
        moved = tuple(flow + 1 for flow in flows)
        assert not torch.allclose(encoder(clips, moved), encoder(clips))
        still = tiny(with_flow=False).eval()
        assert torch.equal(still(clips, flows), still(clips))


def test_nobody_gives_flows():
    with pytest.raises(ValueError, match='takes the flows of the coarse '
                       'encoder.*with_flow=False'):
        build(TEMPORAL | dict(with_flow=False),
              TEMPORAL | dict(with_flow='given'))


# ------------------------------------------------- the trunk
@pytest.mark.parametrize('coarse', [
    TEMPORAL, dict(type='ResNetEncoder', depth=18, base_channels=4)],
    ids=lambda c: c['type'])
def test_the_trunk_is_computed_once(coarse):
    model = build(coarse, dict(type='SharedTrunkEncoder', depth=18,
                               base_channels=4))
    assert model.detail.encoder.in_channels == 4
    trunks, maps, coarse_maps = [], [], []
    count(model.encoder, trunks, 'trunk')
    count(model.encoder, coarse_maps, 'stages')
    count(model.detail.encoder, maps)
    codes = detail_codes(model)
    assert len(trunks) == len(maps) == len(coarse_maps) == 1
    # The very same numbers, not equal ones
    assert maps[0][0].data_ptr() == coarse_maps[0][0].data_ptr()
    assert maps[0][0].shape == (6, 4, 8, 8)
    # With the weights of the coarse stages it gives the coarse features.
    layers = {name: value for name, value in
              model.encoder.state_dict().items()
              if name.startswith('layer')}
    model.detail.encoder.load_state_dict(layers)
    assert not torch.equal(detail_codes(model), codes)
    inputs = model.data_preprocessor(toy_batch(0, 1))['inputs']
    with torch.no_grad():
        expected = model.detail.regressor(model.encoder(inputs))
    torch.testing.assert_close(detail_codes(model), expected)


def test_four_steps_are_the_whole_encoder():
    clips = torch.rand(2, 3, 3, 32, 64)
    for encoder in (randomize_alignment(tiny()), ResNetEncoder(18, 4)):
        encoder.eval()
        with torch.no_grad():
            maps = encoder.trunk(clips, encoder.compute_flows(clips))
            assert maps.shape == (6, encoder.trunk_channels, 8, 16)
            before = maps.clone()
            features = encoder.stages(maps)
            assert torch.equal(maps, before)
            assert torch.equal(features.unflatten(0, (2, 3)), encoder(clips))


def test_shared_trunk_encoder(tmp_path):
    torch.manual_seed(0)
    reference = torchvision.models.resnet18().eval()
    path = tmp_path / 'resnet18.pth'
    torch.save(reference.state_dict(), path)
    encoder = SharedTrunkEncoder(
        64, depth=18, pool_size=2, resnet_pretrained=str(path)).eval()
    encoder.init_weights()
    assert encoder.out_channels == 4 * 512
    maps = torch.rand(2, 64, 16, 16)
    before = maps.clone()
    with torch.no_grad():
        features = encoder(maps).view(2, 512, 4).mean(-1)
        x = maps
        for layer in (reference.layer1, reference.layer2, reference.layer3,
                      reference.layer4):
            x = layer(x)
    torch.testing.assert_close(features, x.mean((-2, -1)))
    assert torch.equal(maps, before)
    with pytest.raises(ValueError, match=r'\(B, 64, h, w\).*\(2, 3, 16, 16'):
        encoder(torch.rand(2, 3, 16, 16))
    with pytest.raises(ValueError, match='pool_size.*0'):
        SharedTrunkEncoder(4, pool_size=0)


# ------------------------------------------------- a restorer in front
class Halving(torch.nn.Module):
    """Darkens, doubles the size, counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, clips):
        self.calls += 1
        return clips.repeat_interleave(2, -1).repeat_interleave(2, -2) / 2


@pytest.mark.parametrize('shared', [False, True])
def test_restored_clips_feed_both_encoders(shared):
    inner = dict(type='ResNetEncoder', depth=18, base_channels=4)
    detail = dict(type='SharedTrunkEncoder', depth=18) if shared else inner
    restored = dict(type='RestoredEncoder', restorer=dict(type=Halving),
                    encoder=inner)
    model = build(restored, detail).eval()
    seen = []
    count(model.detail, seen, 'encode')
    codes = detail_codes(model)
    assert model.encoder.restorer.calls == 1
    inputs = model.data_preprocessor(toy_batch(0, 1))['inputs']
    large = inputs.repeat_interleave(2, -1).repeat_interleave(2, -2) / 2
    assert torch.equal(seen[0][0], large)
    if not shared:
        with torch.no_grad():
            expected = model.detail.regressor(model.detail.encoder(large))
        assert torch.equal(codes, expected)
    model.train()
    run(model, 'loss')['loss_photo'].backward()
    assert model.encoder.restorer.calls == 2


def test_a_detail_encoder_does_not_restore():
    restored = dict(type='RestoredEncoder', restorer=dict(type=Halving),
                    encoder=dict(type='ResNetEncoder', depth=18))
    with pytest.raises(ValueError, match='restored once'):
        build(dict(type='ToyEncoder'), restored)
