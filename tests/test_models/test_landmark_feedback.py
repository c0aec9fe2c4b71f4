# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Landmarks that the encoder locates, and codes corrected by them."""

import math

import pytest
import torch
from helpers.given import given
from helpers.toy_reconstructor import toy_batch, toy_config

from mmtvface.heads import FLAME
from mmtvface.models.encoders import LandmarkLocator
from mmtvface.models.losses import LocatedLandmarkLoss
from mmtvface.models.regressors.flame_head import FLAMEHead
from mmtvface.registry import MODELS
from mmtvface.structures import FlameCodeLayout

SIZES = dict(shape=8, tex=2, exp=6)


class Given(torch.nn.Module):
    """Votes from outside, whatever the maps are."""

    def __init__(self, votes):
        super().__init__()
        self.given = votes

    def forward(self, _):
        return self.given


@pytest.fixture(scope='module')
def flame():
    return FLAME('procedural', None, SIZES['shape'], SIZES['exp']).double()


@pytest.fixture
def head(flame):
    torch.manual_seed(0)
    head = FLAMEHead(5 + LandmarkLocator.out_channels, SIZES,
                     hidden_channels=6, feedback=2).double()
    head.watch(flame)
    return head


def people(count, seed=0):
    """Random codes, flat, of people who look around."""
    layout = FlameCodeLayout(**SIZES)
    flat = torch.zeros(count, layout.total, dtype=torch.float64)
    codes, random = layout.split(flat), torch.manual_seed(seed)
    for name, spread in (('shape', 1.), ('exp', .5), ('pose', .4)):
        codes[name].copy_(spread * torch.randn(
            codes[name].shape, generator=random, dtype=torch.float64))
    codes['cam'][:, 0] = 8 + torch.randn(count, generator=random)
    return layout, flat


def features_of(points):
    """What a locator that sees these (B, 68, 2) says, in frames of clips."""
    values = torch.nn.functional.pad(points, (0, 1)) / .1
    values = torch.cat([values + 3, values], 1)  # before and after looks
    return torch.cat([values.new_zeros(len(points), 5), values.flatten(1)], 1)


def project(head, layout, flat):
    codes = layout.split(flat)
    state = head.landmark_head.state(codes)
    return head.landmark_head.points(
        state, head.landmark_head.contour_rows(state))


def test_votes_by_hand():
    """Two cells side by side; one landmark told by both."""
    locator = LandmarkLocator([4], 4).eval()
    votes = torch.zeros(1, 3, 68, 1, 2)
    votes[0, 0, 7, 0] = torch.tensor([0., math.log(3.)])  # weights 1/4, 3/4
    votes[0, 1, 7, 0] = torch.tensor([1., .5])  # x in cells, 1 NDC each
    votes[0, 2, 7, 0] = torch.tensor([0., -.25])  # y in cells, 2 NDC
    locator.votes = Given(votes.flatten(1, 2))
    found = LandmarkLocator.read(torch.cat([
        torch.rand(1, 9), locator([torch.rand(1, 4, 1, 2)])], 1))
    # votes at (0.5, 0) and (1, -0.5)
    spread = (3 / 16 * (.25 + .25))**.5
    torch.testing.assert_close(found[0, 7],
                               torch.tensor([.875, -.375, spread]))
    # without votes: the middle of the cells, half a crop away on average
    torch.testing.assert_close(found[0, 8], torch.tensor([0., 0., .5]))


def test_coarse_maps_reach_the_landmarks():
    encoder = MODELS.build(dict(
        type='LiteTemporalEncoder', depth=18, base_channels=4,
        propagation_channels=4, with_landmarks=True)).eval()
    assert encoder.out_channels == 32 + 2 * 3 * 68
    clip = torch.rand(1, 2, 3, 40, 48)
    features = encoder(clip)
    assert features.shape == (1, 2, encoder.out_channels)
    LandmarkLocator.read(features)[..., :2].sum().backward()
    for part in (encoder.layer4, encoder.layer3, encoder.layer2):
        assert part[-1].bn2.weight.grad.abs().sum() > 0
    plain = MODELS.build(dict(
        type='LiteTemporalEncoder', depth=18, base_channels=4,
        propagation_channels=4)).eval()
    plain.load_state_dict(encoder.state_dict(), strict=False)
    torch.testing.assert_close(features[..., :32], plain(clip))


def test_loss_of_votes():
    loss = LocatedLandmarkLoss(loss_weight=2.)
    located = torch.zeros(1, 68, 3)
    target = torch.zeros(1, 68, 3)
    target[0, :2, 2] = 1  # two are seen
    located[0, 0] = torch.tensor([.3, 0., .4])
    located[0, 1] = torch.tensor([.06, .08, 0.])
    target[0, 2:, :2] = math.nan
    located.requires_grad_()
    value = loss(given(located_landmarks=located), given(landmarks=target))
    assert value.item() == pytest.approx(2 * (.5 + .1) / 2, rel=1e-4)
    value.backward()
    assert located.grad.isfinite().all()
    assert not located.grad[0, 2:].any()
    # The gap of one pair of eyelids is told too small; no other is seen.
    eyelids = torch.zeros(1, 68, 3)
    eyelids[0, [37, 41], 1] = torch.tensor([-.05, .05])
    eyelids[0, [37, 41], 2] = 1
    told = eyelids * torch.tensor([1., .4, 0.])
    gaps = LocatedLandmarkLoss(gap_weight=3.)
    value = gaps(given(located_landmarks=told), given(landmarks=eyelids))
    assert value.item() == pytest.approx(.03 + 3 * .06, rel=1e-3)
    # upper eyelids taken for lower ones and the other way round
    swapped = eyelids * torch.tensor([1., -1., 0.])
    value = gaps(given(located_landmarks=swapped), given(landmarks=eyelids))
    assert value.item() == pytest.approx(.1 + 3 * .2, rel=1e-3)
    unseen = eyelids * torch.tensor([math.nan, 1., 0.])
    assert gaps(given(located_landmarks=told), given(landmarks=unseen)) == 0


def test_what_is_missed_is_told_in_the_axes_of_the_head(head):
    """The same mistake looks the same for any turn of the picture."""
    step, seen = head.feedback[0], []
    step.layers.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0]))
    layout, flat = people(1)
    codes = layout.split(flat)
    unit = head.code_scale
    for roll in (0., 1.2):
        codes['pose'][:, :3] = torch.tensor([0., 0., roll])
        wrong = flat.clone()
        layout.split(wrong)['shape'].add_(.02)
        step(head.landmark_head, wrong, features_of(
            project(head, layout, flat)), unit)
    # The joint that heads turn about moves, too: a shift of all.
    missed = [inputs[0, :3 * 68].unflatten(0, (68, 3)) for inputs in seen]
    missed = [points - points.mean(0) for points in missed]
    assert missed[0].abs().max() > .02
    torch.testing.assert_close(*missed, atol=1e-4, rtol=0)
    # Codes that are right miss nothing
    step(head.landmark_head, flat,
         features_of(project(head, layout, flat)), unit)
    assert seen[2][:, :4 * 68].abs().max() < 1e-9


def test_a_new_feedback_changes_next_to_nothing(head):
    plain = FLAMEHead(5, SIZES, hidden_channels=6).double()
    plain.layers.load_state_dict(head.layers.state_dict())
    features = torch.randn(2, 3, head.in_channels, dtype=torch.float64)
    difference = (head(features) - plain(features[..., :5])).abs()
    assert 0 < difference.max() < .3
    with torch.no_grad():
        for step in head.feedback:
            step.layers[2].weight.zero_()
    torch.testing.assert_close(head(features), plain(features[..., :5]))


def test_who_somebody_is_follows_from_what_is_missed(head):
    """Linear in the misses of the mean head, not in the landmarks."""
    layout, flat = people(900)
    points = project(head, layout, flat)
    points = points + .005 * torch.randn_like(points)
    start = flat.clone()
    layout.split(start)['shape'].zero_()
    seen = []
    head.feedback[0].layers.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0]))
    head.feedback[0](head.landmark_head, start, features_of(points),
                     head.code_scale)
    wanted = layout.split(flat)['shape']

    def r2(inputs):
        inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
        fit, test = inputs[:600], inputs[600:]
        gram = fit.T @ fit + 1e-2 * torch.eye(
            fit.shape[1], dtype=torch.float64)
        found = test @ torch.linalg.solve(gram, fit.T @ wanted[:600])
        return 1 - float((found - wanted[600:]).square().mean()
                         / wanted[600:].var())

    told, looked_at = r2(seen[0]), r2(points.flatten(1) * 30)
    assert told > .4 > .2 > looked_at


def test_streams_are_corrected_frame_by_frame(head):
    with torch.no_grad():
        for step in head.feedback:
            torch.nn.init.normal_(step.layers[2].weight, std=.02)
    features, past, seen = torch.randn(
        2, 5, head.in_channels, dtype=torch.float64), None, []
    for frame in features.split(1, 1):
        codes, past = head.advance(frame, past)
        seen.append(codes)
    torch.testing.assert_close(torch.cat(seen, 1), head(features))


def test_the_parts_together():
    """A model of a phase without landmarks goes on with them."""
    def build(**losses):
        torch.manual_seed(0)
        return MODELS.build(toy_config(
            encoder=dict(type='LiteTemporalEncoder', depth=18,
                         base_channels=4, propagation_channels=4,
                         with_landmarks=bool(losses)),
            head=dict(type='FLAMEHead', layout=SIZES, hidden_channels=6,
                      feedback=2 if losses else 0, shape_mode='confidence'),
            flame=dict(type='FLAME', model_path='procedural',
                       num_shape=SIZES['shape'],
                       num_expression=SIZES['exp']),
            losses=losses or dict(landmark=dict(type='LandmarkLoss'))))

    before = build()
    model = build(landmark=dict(type='LandmarkLoss'),
                  located=dict(type='LocatedLandmarkLoss'))
    found = model.load_state_dict(before.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert {key.split('.')[1] for key in found.missing_keys} == {
        'locator', 'feedback'}
    batch = model.data_preprocessor(toy_batch(0))
    clips = batch['inputs']
    with torch.no_grad():
        difference = model.eval().encode(clips) - before.eval().encode(clips)
    assert 0 < difference.abs().max() < .3
    with torch.autocast('cpu', torch.bfloat16):
        assert model.encoder(clips).dtype == torch.float32
    losses = model.train()(**batch, mode='loss')
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    for part in (model.encoder.locator.votes,
                 *(step.layers[2] for step in model.head.feedback)):
        assert part.weight.grad.any()


def test_weights_with_more_feedback_are_refused(head):
    fewer = FLAMEHead(head.in_channels, SIZES, hidden_channels=6, feedback=1)
    none = FLAMEHead(5, SIZES, hidden_channels=6)
    for other, count in ((fewer, 1), (none, 0)):
        with pytest.raises(ValueError, match=f'feedback={count}'):
            other.load_state_dict(head.state_dict(), strict=False)
    head.load_state_dict(fewer.state_dict(), strict=False)


def test_head_models_that_do_not_fit(flame):
    head = FLAMEHead(5 + LandmarkLocator.out_channels, SIZES | dict(shape=7),
                     feedback=1)
    with pytest.raises(RuntimeError, match='call watch'):
        head(torch.zeros(1, 1, head.in_channels))
    with pytest.raises(ValueError, match='7 identity and 6 expression'):
        head.watch(flame)
    with pytest.raises(ValueError, match='feedback must be'):
        FLAMEHead(5, SIZES, feedback=-1)


def test_feedback_needs_landmarks():
    config = toy_config()
    config['head']['feedback'] = 1
    with pytest.raises(ValueError, match=r'feedback.*with_landmarks=True'):
        MODELS.build(config)
    config['encoder'] = dict(type='LiteTemporalEncoder', depth=18,
                             base_channels=4, with_landmarks=True)
    config['head']['layout'] = SIZES
    config['flame'] = dict(type='FLAME', model_path='procedural',
                           num_shape=8, num_expression=6)
    with pytest.raises(ValueError, match=r"no loss trains \['located"):
        MODELS.build(config)
    losses = dict(located=dict(type='LocatedLandmarkLoss'))
    with pytest.raises(ValueError, match=r'located.*with_landmarks=True'):
        model = MODELS.build(toy_config(losses=losses))
        model(**model.data_preprocessor(toy_batch(0)), mode='loss')
