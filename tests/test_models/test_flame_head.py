# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import load_state_dict

from mmtvface.models.regressors.flame_head import FLAMEHead
from mmtvface.registry import MODELS
from mmtvface.structures import FlameCodeLayout


def small_head(**kwargs):
    layout = dict(shape=4, tex=3, exp=2)
    return FLAMEHead(5, layout, hidden_channels=6, **kwargs)


def test_published_names_and_shapes():
    head = MODELS.build(dict(type='FLAMEHead', in_channels=2048))
    assert {k: tuple(v.shape) for k, v in head.state_dict().items()} == {
        'layers.0.weight': (1024, 2048),
        'layers.0.bias': (1024, ),
        'layers.2.weight': (236, 1024),
        'layers.2.bias': (236, ),
    }
    assert head.out_channels == 236


def test_forward_is_two_matrix_products():
    head = small_head(init_std=0.5).double()
    features = torch.randn(2, 3, 5, dtype=torch.float64)
    w0, b0, w2, b2 = (p.detach().numpy() for p in head.parameters())
    hidden = (features.numpy() @ w0.T + b0).clip(0)
    expected = torch.from_numpy(hidden @ w2.T + b2)
    torch.testing.assert_close(head(features), expected)


def test_start_is_an_average_evenly_lit_head():
    head = small_head(init_cam=(8.0, 0.01, -0.02), init_light=0.9)
    torch.nn.init.zeros_(head.layers[0].bias)
    codes = head.layout.split(head(torch.zeros(1, 2, 5)))
    torch.testing.assert_close(codes['cam'][0, 1],
                               torch.tensor([8.0, 0.01, -0.02]))
    light = codes['light'][0, 0]
    assert light.shape == (9, 3)
    # shading of the constant band: L0 / sqrt(4 pi)
    torch.testing.assert_close(light[0] / math.sqrt(4 * math.pi),
                               torch.full((3, ), 0.9))
    assert light[1:].abs().max() == 0
    assert all(codes[k].abs().max() == 0
               for k in ('shape', 'tex', 'exp', 'pose'))
    assert 0 < head.layers[2].weight.std() < 2e-3


def test_published_start_leaves_the_linear_layer_alone():
    torch.manual_seed(0)
    head = small_head(init_cam=None, init_light=None, init_std=None)
    torch.manual_seed(0)
    torch.nn.Linear(5, 6)
    last = torch.nn.Linear(6, head.out_channels)
    torch.testing.assert_close(head.layers[2].weight, last.weight)
    torch.testing.assert_close(head.layers[2].bias, last.bias)


def test_init_weights_survives_a_generic_initialisation():

    class Parent(BaseModule):

        def __init__(self):
            super().__init__(dict(type='Constant', layer='Linear', val=7.0))
            self.head = small_head()

    parent = Parent()
    parent.init_weights()
    assert (parent.head.layers[0].weight == 7).all()
    assert parent.head.layers[2].weight.abs().max() < 1
    assert parent.head.layout.split(parent.head.layers[2].bias)['cam'][0] == 9


def test_clip_mode_shares_identity_and_nothing_else():
    features = torch.randn(2, 4, 5)
    frame = small_head(init_std=1.0)
    clip = small_head(shape_mode='clip')
    clip.load_state_dict(frame.state_dict())
    per_frame, shared = (h.split(h(features)) for h in (frame, clip))
    for name in ('shape', 'tex'):
        expected = per_frame[name].mean(1)
        for i in range(4):
            torch.testing.assert_close(shared[name][:, i], expected)
        assert per_frame[name].std(1).min() > 0
    for name in ('exp', 'pose', 'cam', 'light'):
        torch.testing.assert_close(shared[name], per_frame[name])


def test_confidence_weighs_the_frames():
    features = torch.randn(2, 4, 5)
    frame, clip = small_head(init_std=1.0), small_head(shape_mode='clip')
    clip.load_state_dict(frame.state_dict())
    head = small_head(shape_mode='confidence')
    head.load_state_dict(frame.state_dict(), strict=False)
    assert torch.allclose(head(features), clip(features), atol=1e-6)
    torch.nn.init.normal_(head.confidence.weight)
    weights = head.confidence(head.layers[:2](features)).exp()
    weights = weights / weights.sum(1, keepdim=True)
    codes, per_frame = (h.split(h(features)) for h in (head, frame))
    expected = sum(weights[:, i] * per_frame['shape'][:, i]
                   for i in range(4))
    assert torch.allclose(codes['shape'][:, 3], expected, atol=1e-5)
    assert torch.equal(codes['exp'], per_frame['exp'])


def test_one_frame_is_the_same_in_both_modes():
    frame, clip = small_head(), small_head(shape_mode='clip')
    clip.load_state_dict(frame.state_dict())
    features = torch.randn(3, 1, 5)
    torch.testing.assert_close(frame(features), clip(features))


@pytest.mark.parametrize('shape_mode', ['frame', 'clip', 'confidence'])
def test_streams_share_what_was_seen_so_far(shape_mode):
    torch.manual_seed(0)
    head = small_head(init_std=1.0, shape_mode=shape_mode).double()
    if head.confidence is not None:
        torch.nn.init.normal_(head.confidence.weight, std=3.)
    features, past = torch.randn(2, 9, 5, dtype=torch.float64), None
    seen = 0
    for count in (0, 4, 1, 0, 3, 1):
        codes, past = head.advance(features[:, seen:seen + count], past)
        assert codes.shape[:2] == (2, count)
        seen += count
        torch.testing.assert_close(
            codes, head(features[:, :seen])[:, seen - count:])
    assert (past is None) == (shape_mode == 'frame')


@pytest.mark.parametrize('shape_mode', ['frame', 'clip', 'confidence'])
def test_gradients(shape_mode):
    head = FLAMEHead(
        3, FlameCodeLayout(2, 1, 1, 6, 3, 0), 4, shape_mode,
        init_std=0.5).double()
    features = torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(head, features)


def test_errors():
    with pytest.raises(ValueError, match=r"shape_mode.*'video'"):
        small_head(shape_mode='video')
    with pytest.raises(ValueError, match='init_cam must have 3'):
        small_head(init_cam=(1.0, 2.0))
    with pytest.raises(ValueError, match=r'\(n, t, 5\).*\(4, 5\)'):
        small_head()(torch.zeros(4, 5))


def test_code_scale_is_the_unit_of_the_outputs():
    scales = dict(pose=0.3, cam=(0.5, 0.02, 0.02))
    head = FLAMEHead(4, hidden_channels=3, init_std=0.1, code_scale=scales)
    plain = FLAMEHead(4, hidden_channels=3)
    plain.layers.load_state_dict(head.layers.state_dict())
    features = torch.rand(2, 3, 4)
    codes, raw = (part.layout.split(part(features))
                  for part in (head, plain))
    torch.testing.assert_close(codes['shape'], raw['shape'])
    torch.testing.assert_close(codes['pose'], 0.3 * raw['pose'])
    torch.testing.assert_close(codes['cam'][..., 1], 0.02 * raw['cam'][..., 1])
    # the start is the same camera in any unit
    start = head.layout.split(head.layers[2].bias * head.code_scale)['cam']
    torch.testing.assert_close(start, torch.tensor([9., 0., 0.]))


def test_units_travel_with_the_weights():
    scaled = FLAMEHead(4, hidden_channels=3, init_std=0.1,
                       code_scale=dict(pose=0.3))
    other = FLAMEHead(4, hidden_channels=3, code_scale=dict(exp=2.0))
    other.load_state_dict(scaled.state_dict())
    features = torch.rand(1, 2, 4)
    torch.testing.assert_close(other(features), scaled(features))
    plain = FLAMEHead(4, hidden_channels=3)
    with pytest.raises(ValueError, match='trained with code_scale.*none'):
        plain.load_state_dict(scaled.state_dict())
    # mmengine's runner loads by this and would only warn
    with pytest.raises(ValueError, match='trained without code_scale.*one'):
        load_state_dict(scaled, plain.state_dict(), strict=False)
    scaled.load_state_dict({}, strict=False)  # no head to disagree with


def test_starting_twice_is_starting_once():
    head = FLAMEHead(4, hidden_channels=3, init_std=None, init_light=0.9,
                     code_scale=dict(shape=0.5, cam=0.25, light=0.1))
    before = head.layers[2].bias.clone()
    head.init_weights()
    torch.testing.assert_close(head.layers[2].bias, before)
    start = head.layout.split(before * head.code_scale)['light'][0]
    torch.testing.assert_close(start / math.sqrt(4 * math.pi),
                               torch.full((3, ), 0.9))


@pytest.mark.parametrize('scales, message', [
    (dict(nose=1.0), "no code 'nose'"),
    (dict(cam=(1.0, 2.0)), 'positive number or 3'),
    (dict(cam=0.0), 'positive'),
])
def test_code_scale_errors(scales, message):
    with pytest.raises(ValueError, match=message):
        FLAMEHead(4, code_scale=scales)
