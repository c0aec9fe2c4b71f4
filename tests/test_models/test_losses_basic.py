# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import pytest
import torch
from helpers.given import given

from mmtvface.models.losses import (
    CodeLoss,
    CodePriorLoss,
    ExpressionLoss,
    EyeClosureLoss,
    FaceLoss,
    LandmarkLoss,
    LightPriorLoss,
    LipClosureLoss,
    NeutralLandmarkLoss,
    PhotometricLoss,
    TemporalSmoothnessLoss,
    VertexLoss,
)
from mmtvface.models.losses.landmark import (
    landmark_weights,
    pair_distance_error,
    weighted_landmark_error,
)
from mmtvface.models.losses.photometric import photometric_error
from mmtvface.registry import MODELS


def visible(batch=2, **kwargs):
    points = torch.rand(batch, 68, 3, **kwargs) * 2 - 1
    points[..., 2] = 1
    return points


def test_landmark_weights_by_name():
    weights = landmark_weights()
    expected = {0: 1, 4: 1, 5: 2, 6: 2, 7: 1, 10: 2, 11: 2, 12: 1, 26: 1,
                27: 1.5, 29: 1.5, 30: 3, 31: 3, 32: 1.5, 34: 1.5, 35: 3,
                36: 1, 47: 1, 48: 3, 49: 1.5, 53: 1.5, 54: 3, 55: 1.5,
                59: 1.5, 60: 1.5, 64: 1.5, 67: 1.5}
    for index, weight in expected.items():
        assert weights[index] == weight, index
    assert weights.sum() == 68 + 4 + (9 + 9) * 0.5 + 20 * 0.5 + 2 * 1.5


def test_landmark_loss_hand_computed():
    target = visible(1)
    target[..., 2] = 0
    target[0, [0, 30], 2] = 1
    pred = target[..., :2].clone()
    pred[0, 0] += torch.tensor([0.1, -0.2])  # weight 1
    pred[0, 30] += torch.tensor([0.0, 0.4])  # weight 3
    pred[0, 1] += 7.  # invisible
    loss = LandmarkLoss(loss_weight=2.)
    before = target.clone()
    value = loss(given(landmarks2d=pred), given(landmarks=target))
    again = loss(given(landmarks2d=pred), given(landmarks=target))
    assert value.item() == pytest.approx(2 * (0.3 + 3 * 0.4) / (2 * 4))
    assert torch.equal(value, again)
    assert torch.equal(target, before)


def test_landmark_loss_ignores_invisible_nan_and_empty_frames():
    target = visible(2, dtype=torch.float64)
    target[0, 5] = torch.tensor([math.nan, math.nan, 0.])
    pred = torch.rand(2, 68, 2, dtype=torch.float64, requires_grad=True)
    weighted_landmark_error(pred, target,
                            landmark_weights().double()).backward()
    assert pred.grad.isfinite().all() and (pred.grad[0, 5] == 0).all()
    target[..., 2] = 0
    pred.grad = None
    value = weighted_landmark_error(pred, target, landmark_weights().double())
    value.backward()
    assert value == 0 and (pred.grad == 0).all()


def test_uncertain_landmarks_hand_computed():
    """Two seen landmarks: d = 0.2 and 0.4 at sigma = 0.1 and 0.5."""
    loss = MODELS.build(dict(type='UncertainLandmarkLoss', loss_weight=2.))
    target = torch.zeros(1, 68, 3)
    target[:, :2, 2] = 1
    target[:, 5] = torch.tensor([float('nan'), 0., 0.])
    pred = torch.zeros(1, 68, 2)
    pred[0, 0, 0], pred[0, 1, 1] = .2, -.4
    log_sigma = torch.full((1, 68), -7.)
    log_sigma[0, :2] = torch.tensor([.1, .5]).log()
    log_sigma.requires_grad_()
    value = loss(given(landmarks2d=pred, landmark_log_sigma=log_sigma),
                 given(landmarks=target))
    expected = (1. + math.log(.1) + .4 + math.log(.5)) / 2
    assert value.item() == pytest.approx(2 * expected, rel=1e-5)
    value.backward()
    # at sigma = |d| / 2 there is nothing to gain
    assert log_sigma.grad[0, 0].item() == pytest.approx(0, abs=1e-6)
    assert log_sigma.grad[0, 1] > 0 and not log_sigma.grad[0, 2:].any()


def test_landmark_loss_rejects_wrong_options():
    with pytest.raises(ValueError, match=r'weights.*\(68\).*\(3,\)'):
        LandmarkLoss(weights=[1, 2, 3])
    with pytest.raises(ValueError, match='landmarks4d'):
        LandmarkLoss(source='landmarks4d')


@pytest.mark.parametrize('loss, pairs', [
    (EyeClosureLoss(), ((37, 41), (38, 40), (43, 47), (44, 46))),
    (LipClosureLoss(), ((61, 67), (62, 66), (63, 65)))])
def test_closure_against_loop(loss, pairs):
    pred, target = visible(3), visible(3)
    expected = 0.
    for frame in range(3):
        for a, b in pairs:
            gap = math.dist(pred[frame, a, :2], pred[frame, b, :2])
            goal = math.dist(target[frame, a, :2], target[frame, b, :2])
            expected += abs(gap - goal)
    expected *= loss.loss_weight / (3 * len(pairs))
    value = loss(given(landmarks2d=pred[..., :2]), given(landmarks=target))
    assert value.item() == pytest.approx(expected, rel=1e-4)


def test_closure_gradient_at_a_closed_mouth_is_zero_not_nan():
    pred = torch.zeros(1, 68, 2, requires_grad=True)
    pairs = torch.tensor([[61, 67]])
    pair_distance_error(pred, visible(1), pairs).backward()
    assert torch.equal(pred.grad, torch.zeros_like(pred))


def test_closure_gradcheck():
    pred = torch.rand(1, 68, 2, dtype=torch.float64, requires_grad=True)
    target = visible(1, dtype=torch.float64)
    pairs = torch.tensor([[61, 67], [62, 66]])
    assert torch.autograd.gradcheck(
        lambda x: pair_distance_error(x, target, pairs), (pred, ))


def test_photometric_hand_computed():
    images = torch.zeros(2, 3, 4, 5)
    rendered = torch.full_like(images, 0.5)
    mask = torch.zeros(2, 1, 4, 5)
    mask[0, :, :2] = 1  # 10 pixels, the second frame is empty
    for _ in range(2):
        assert photometric_error(rendered, images, mask, 'mask').item() == (
            pytest.approx(0.5 / 2))
        assert photometric_error(rendered, images, mask).item() == (
            pytest.approx(0.5 * 10 / 20 / 2))
        images[0, :, 2:] = 9.  # outside the mask


def test_photometric_masks():
    outputs = given(
        rendered_images=torch.ones(1, 3, 4, 4), face_mask=torch.ones(1, 1, 4,
                                                                     4))
    images = torch.ones(1, 3, 4, 4)
    images[..., 0] = 0  # a hand
    skin = torch.ones(1, 1, 4, 4)
    skin[..., 0] = 0
    targets = given(images=images, masks=skin)
    assert PhotometricLoss(1.)(outputs, targets) == 0
    assert PhotometricLoss(1., mask='rendered')(outputs, targets) == 0.25
    assert PhotometricLoss(1.)(outputs, given(
        images=images, masks=None)) == 0.25
    with pytest.raises(ValueError, match='divide_by'):
        PhotometricLoss(divide_by='area')


def test_photometric_gradcheck_and_no_gradient_through_the_mask():
    rendered = torch.rand(
        1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    images = torch.rand(1, 3, 3, 3, dtype=torch.float64)
    mask = torch.rand(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: photometric_error(x, images, mask), (rendered, ))
    photometric_error(rendered, images, mask).backward()
    assert mask.grad is None


def test_code_prior_is_the_published_sum_at_twenty_frames():
    shape = torch.randn(20, 100)
    value = CodePriorLoss('shape', loss_weight=1e-4)(
        given(codes=dict(shape=shape)), given())
    assert value.item() == pytest.approx(
        1e-4 * shape.square().sum().item() / 2, rel=1e-5)
    # The same frames twice are the same loss, not twice the loss.
    twice = CodePriorLoss('shape')(
        given(codes=dict(shape=torch.cat([shape, shape]))), given())
    assert twice.item() == pytest.approx(value.item(), rel=1e-5)
    with pytest.raises(ValueError, match='no code'):
        CodePriorLoss('form')


def test_light_prior():
    light = torch.zeros(1, 9, 3)
    light[0, 0] = torch.tensor([1., 2., 3.])  # grey 2, differences 1, 0, 1
    outputs = given(codes=dict(light=light))
    assert LightPriorLoss()(outputs, given()).item() == pytest.approx(2 / 27)
    outputs = given(codes=dict(light=torch.ones(2, 9, 3)))
    assert LightPriorLoss()(outputs, given()) == 0


def test_temporal_smoothness():
    time = torch.arange(4.)[:, None, None]
    steady = (time * torch.tensor([1., 2., 3.])).expand(4, 7, 3)
    loss = TemporalSmoothnessLoss()
    assert loss(given(vertices=steady, num_frames=4), given()) == 0
    jerky = steady.clone()
    jerky[1, :, 0] += 0.001  # 1 mm: accelerations -2 and 1
    value = loss(given(vertices=jerky, num_frames=4), given())
    assert value.item() == pytest.approx((4 + 1) / 2 / 3, rel=1e-3)
    assert loss(given(vertices=jerky[:2], num_frames=2), given()) == 0
    relative = TemporalSmoothnessLoss(relative_to_target=True)
    assert relative(
        given(vertices=jerky + steady, num_frames=4),
        given(vertices=jerky)).item() < 1e-6
    with pytest.raises(ValueError, match='landmarks3d'):
        TemporalSmoothnessLoss(source='landmarks3d', relative_to_target=True)


def test_supervised_losses():
    target = torch.zeros(2, 3, 3)
    pred = target + torch.tensor([0.003, 0., 0.004])
    outputs, targets = given(vertices=pred), given(vertices=target)
    assert VertexLoss()(outputs, targets).item() == pytest.approx(7 / 3)
    assert VertexLoss(norm='l2')(outputs, targets).item() == pytest.approx(5.)
    with pytest.raises(ValueError, match='another head model'):
        VertexLoss()(outputs, given(vertices=target[:, :2]))
    codes = dict(shape=torch.full((2, 4), 0.05), pose=torch.ones(2, 6))
    truth = dict(shape=torch.zeros(2, 4), pose=torch.zeros(2, 6))
    loss = CodeLoss(weights=dict(shape=2., pose=1.), beta=0.1)
    value = loss(given(codes=codes), given(codes=truth))
    assert value.item() == pytest.approx(2 * 0.05**2 / 0.2 + (1 - 0.05))
    with pytest.raises(ValueError, match=r"'shape'.*\(2, 4\).*\(2, 3\)"):
        loss(given(codes=codes), given(codes=dict(shape=torch.zeros(2, 3))))
    with pytest.raises(ValueError, match='jaw'):
        CodeLoss(weights=dict(jaw=1.))
    # Squares in units of each entry's spread
    loss = CodeLoss(weights=dict(shape=2., pose=1.), norm='l2',
                    spread=dict(pose=(1., 2., 1., 1., 1., 1.)))
    assert loss(given(codes=codes), given(codes=truth)).item() == (
        pytest.approx(2 * .05**2 + (5 + .25) / 6))
    with pytest.raises(ValueError, match="norm must be.*'l1'"):
        CodeLoss(norm='l1')
    with pytest.raises(ValueError, match="spread has no effect"):
        CodeLoss(spread=dict(pose=1.))
    with pytest.raises(ValueError, match="'pose' must be positive"):
        CodeLoss(norm='l2', spread=dict(pose=0.))


def test_expression_loss_counts_motion_in_its_own_units():
    still = torch.zeros(2, 68, 3)
    loss = ExpressionLoss(loss_weight=2.)

    def cost(points):
        return loss(given(expression_landmarks=still),
                    given(expression_landmarks=points)).item()

    assert cost(still) == pytest.approx(0, abs=1e-12)
    # A brow landmark moves by 3 mm, twice its unit: no gap changes.
    brow = still.clone()
    brow[:, 20, 1] = .003
    assert cost(brow) == pytest.approx(2 * 4 / 68, rel=1e-5)
    # An upper eyelid by 3 mm: a landmark and one of the eight gaps.
    eyelid = still.clone()
    eyelid[:, 37, 1] = -.003
    assert cost(eyelid) == pytest.approx(
        2 * (4 / 68 + 1.2**2 / 8), rel=1e-4)
    alone = ExpressionLoss(gap_weight=0.)
    assert alone(given(expression_landmarks=still),
                 given(expression_landmarks=eyelid)).item() == pytest.approx(
                     4 / 68, rel=1e-5)
    # A corner of the mouth, away from the other: 3 mm, all of the gap's unit.
    apart, wide = still.clone(), still.clone()
    apart[:, 54, 0], wide[:, 54, 0] = .05, .053
    corners = ExpressionLoss(gap_weight=2., corner_weight=9.)
    assert corners(given(expression_landmarks=apart),
                   given(expression_landmarks=wide)).item() == pytest.approx(
                       (3 / 3.5)**2 / 68 + 2 * 9 / 2 / 8, rel=1e-4)
    with pytest.raises(ValueError, match='corner_weight'):
        ExpressionLoss(corner_weight=-7.)


def test_neutral_landmark_loss_ignores_the_place():
    still, moved = torch.zeros(1, 68, 3), torch.full((1, 68, 3), .05)
    loss = NeutralLandmarkLoss(loss_weight=3., spread=2.)
    truth = given(neutral_landmarks=still)
    assert loss(given(neutral_landmarks=moved), truth).item() == (
        pytest.approx(0, abs=1e-6))
    moved[:, :34] += .004  # 2 mm about the centre of all, along three axes
    assert loss(given(neutral_landmarks=moved), truth).item() == (
        pytest.approx(3 * 3, rel=1e-4))


def test_every_loss_is_registered_and_has_no_state():
    configs = [
        dict(type='LandmarkLoss'), dict(type='EyeClosureLoss'),
        dict(type='LipClosureLoss'), dict(type='PhotometricLoss'),
        dict(type='CodePriorLoss', name='exp'), dict(type='LightPriorLoss'),
        dict(type='TemporalSmoothnessLoss'), dict(type='VertexLoss'),
        dict(type='CodeLoss'), dict(type='ExpressionLoss'),
        dict(type='NeutralLandmarkLoss')
    ]
    for config in configs:
        loss = MODELS.build(config)
        assert isinstance(loss, FaceLoss), config
        assert not list(loss.parameters()) and not loss.state_dict(), config
    with pytest.raises(ValueError, match='loss_weight'):
        MODELS.build(dict(type='LandmarkLoss', loss_weight=-1))
