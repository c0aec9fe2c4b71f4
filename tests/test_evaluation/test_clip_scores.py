# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import pytest
import torch

from mmtvface.evaluation.functional import (
    SIGNALS,
    box_size,
    face_region,
    identity_drift,
    neutral_heads,
    score_clip,
)
from mmtvface.geometry.camera import project
from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.heads import FLAME

FRAMES = 6


@pytest.fixture(scope='module')
def flame():
    return FLAME('procedural', 6, 5).requires_grad_(False)


@pytest.fixture(scope='module')
def truth(flame):
    generator = torch.Generator().manual_seed(0)

    def draw(*size):
        return torch.randn(*size, generator=generator)

    codes = dict(shape=draw(1, 6).repeat(FRAMES, 1), exp=draw(FRAMES, 5),
                 pose=.1 * draw(FRAMES, 6),
                 cam=torch.tensor([8., .01, .02]).repeat(FRAMES, 1))
    points = flame(codes['shape'], codes['exp'], codes['pose']).landmarks2d
    points = project(points, codes['cam'])
    points[..., 2] = 1
    return codes, points


def test_perfect_codes_have_no_error(flame, truth):
    codes, points = truth
    scores = score_clip(flame, codes, codes, points)
    moving = {'jitter_pred_mm', 'jitter_true_mm', 'lag_motion',
              'neutral_mean_mm'}
    for name, value in scores.items():
        assert value == pytest.approx(0, abs=1e-4) or name in moving or (
            name.startswith('motion_'))
    assert scores['jitter_pred_mm'] == scores['jitter_true_mm'] > 1
    assert scores['lag_motion'] > 0


def test_region_is_the_face(flame):
    region = face_region(flame, torch.zeros(6))
    vertices, landmarks = neutral_heads(flame, torch.zeros(1, 6))
    inside = vertices[0][region]
    assert .1 < region.float().mean() < .9
    # The front half, with eyes and mouth
    assert inside[:, 2].mean() > vertices[0, :, 2].mean()
    for point in landmarks[0]:
        assert (inside - point).norm(dim=1).min() < .005


def test_rotation_counts_in_pose_only(flame, truth):
    codes, points = truth
    angle = .05
    turned = dict(codes, pose=codes['pose'].clone())
    turned['pose'][:, :3] = torch.tensor([0., angle, 0.])
    straight = dict(codes, pose=codes['pose'].clone())
    straight['pose'][:, :3] = 0
    scores = score_clip(flame, turned, straight, points)
    assert max(scores['neutral_mm'], scores['drift_mm']) < 1e-4
    assert scores['posed_rigid_mm'] == pytest.approx(0, abs=1e-3)
    # By hand: the chord of every vertex about the face's middle
    region = face_region(flame, codes['shape'][0])
    head = flame(straight['shape'], straight['exp'],
                 straight['pose']).vertices[:, region]
    head = head - head.mean(1, keepdim=True)
    moved = head @ axis_angle_to_matrix(
        torch.tensor([[0., angle, 0.]])).mT - head
    assert scores['posed_mm'] == pytest.approx(
        1000 * moved.norm(dim=-1).mean().item(), rel=1e-3)


def test_shaking_camera_is_an_error_of_landmarks_only(flame, truth):
    codes, points = truth
    shaken = dict(codes, cam=codes['cam'].clone())
    # NDC: an alternating shift of 0.08 * 8 / 2 = 0.32 in x
    shaken['cam'][::2, 1] += .04
    scores = score_clip(flame, shaken, codes, points)
    assert scores['posed_mm'] == scores['jitter_mm'] == 0
    size = box_size(points[..., :2])
    shift = (project(torch.zeros(1, 1, 3), shaken['cam'][:1]) - project(
        torch.zeros(1, 1, 3), codes['cam'][:1])).norm().item()
    assert scores['nme'] == pytest.approx(
        (100 * shift / size)[::2].sum().item() / FRAMES, rel=1e-4)
    # Accelerations of an alternating shift are twice as large as it.
    assert scores['jitter_landmarks'] == pytest.approx(
        200 * shift / size.mean().item(), rel=1e-4)


def test_jitter_drift_and_shape(flame, truth):
    codes, points = truth
    mean_head = dict(codes, shape=0 * codes['shape'])
    scores = score_clip(flame, mean_head, codes, points)
    assert scores['neutral_mm'] == pytest.approx(
        scores['neutral_mean_mm']) and scores['neutral_mm'] > 1
    wavering = dict(codes, shape=codes['shape'].clone())
    wavering['shape'][::2, 0] += .5
    scores = score_clip(flame, wavering, codes, points)
    assert scores['neutral_mm'] > .05
    assert scores['drift_mm'] == pytest.approx(
        identity_drift(flame, wavering['shape']).mean().item(), rel=1e-4)
    assert scores['jitter_mm'] > scores['posed_mm']
    short = {name: value[:2] for name, value in codes.items()}
    scores = score_clip(flame, short, short, points[:2])
    assert math.isnan(scores['jitter_mm']) and scores['posed_mm'] == 0
    hidden = points.clone()
    hidden[..., 2] = 0
    assert math.isnan(score_clip(flame, codes, codes, hidden)['nme'])


def test_motion_of_a_mannequin(flame, truth):
    """The mean codes of a clip: small errors, no motion."""
    codes, points = truth
    scores = score_clip(flame, codes, codes, points)
    for name in SIGNALS:
        terms = [scores[f'motion_{name}_{term}'] for term in (
            'frames', 'covariance', 'pred', 'true')]
        assert terms[0] == FRAMES and terms[3] > 1e-4
        assert terms[1:3] == pytest.approx([terms[3]] * 2, rel=1e-4)
    still = {name: code.mean(0, keepdim=True).repeat(FRAMES, 1)
             for name, code in codes.items()}
    scores = score_clip(flame, still, codes, points)
    for name in SIGNALS:
        assert scores[f'motion_{name}_pred'] < 1e-9
    # A jaw that opens half as far; degrees by hand
    half = dict(codes, pose=codes['pose'].clone())
    half['pose'][:, 3:] = torch.tensor([[0., 0, 0]] * 3 + [[.1, 0, 0]] * 3)
    full = dict(half, pose=half['pose'] * torch.tensor([1.] * 3 + [2.] * 3))
    scores = score_clip(flame, half, full, points)
    assert scores['motion_jaw_true'] == pytest.approx(
        6 * math.degrees(.1)**2, rel=1e-4)
    assert scores['motion_jaw_covariance'] == pytest.approx(
        3 * math.degrees(.1)**2, rel=1e-4)
    points = points.clone()
    points[2, 40, 2] = 0  # an eyelid is hidden
    points[3, 0, 2] = 0  # the contour does not matter
    scores = score_clip(flame, codes, codes, points)
    assert scores['motion_mouth_open_frames'] == FRAMES - 1
    assert scores['motion_yaw_frames'] == FRAMES
    points[..., 2] = 0
    scores = score_clip(flame, codes, codes, points)
    assert scores['motion_mouth_open_frames'] == 0
