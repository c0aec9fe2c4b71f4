# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator

from mmtvface.evaluation.functional import (
    SIGNALS,
    MotionTerms,
    RunningMotion,
    code_signals,
    face_scale,
    landmark_signals,
    motion_terms,
    pooled,
)
from mmtvface.geometry.head_pose import HEAD_POINTS
from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.heads import FLAME
from mmtvface.registry import METRICS
from mmtvface.structures import FaceClipSample

FACE = HEAD_POINTS * [100., -100., 100.]  # pixels, y down


def turned(vector):
    """The face (68, 2) turned about x, y, z by radians."""
    rotation = axis_angle_to_matrix(torch.tensor(vector).double()).numpy()
    return (HEAD_POINTS @ rotation.T)[:, :2] * [100., -100.]


def speaking(gaps, face=FACE):
    """Faces (t, 68, ...) with the inner lips at these distances, pixels."""
    points = np.repeat(face[None], len(gaps), 0)
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        points[:, lower] = points[:, upper]
        points[:, lower, 1] += gaps
    return points


def test_signals_of_landmarks():
    points = np.zeros((1, 68, 2))
    points[0, 27:36] = [0, 1]
    points[0, [36, 39, 42, 45]] = [[-4, -2], [-1, -2], [1, -2], [4, -2]]
    # 13 points, mean y (9 - 8) / 13: their squared distances from it
    square = (9 + 34 + 4 * 4) / 13 - (1 / 13)**2
    assert face_scale(points) == pytest.approx(math.sqrt(square))
    points[0, [61, 62, 63], 1], points[0, [67, 66, 65], 1] = [2, 3, 4], 0
    points[0, 54] = [3, 4]
    points[0, [37, 38], 1], points[0, [43, 44], 1] = [1, 2], [.6, 0]
    found = landmark_signals(points)
    scale = math.sqrt(square)
    assert {name: value.item() for name, value in found.items()} == (
        pytest.approx(dict(mouth_open=3 / scale, mouth_width=5 / scale,
                           eye_right=.5, eye_left=.1)))
    with pytest.raises(ValueError, match=r'68, 2 or 3.*\(1, 67, 2\)'):
        face_scale(points[:, 1:])


def test_the_scale_is_that_of_the_head():
    """Neither what moves in a face nor its yaw changes it much."""
    scale = face_scale(FACE[:, :2])
    assert face_scale(speaking([30.])[0, :, :2]) == scale
    for yaw in (-.7, .35, .7):
        assert face_scale(turned([0., yaw, 0.])) == pytest.approx(
            scale, rel=.06)
    for pitch in (-.35, .35):
        assert face_scale(turned([pitch, 0., 0.])) == pytest.approx(
            scale, rel=.15)


def test_signals_of_codes():
    pose = torch.zeros(4, 6)
    pose[0, 1], pose[1, 0], pose[2, 2] = .5, .25, -.125
    pose[3, 3] = .2
    found = code_signals(pose)
    degrees = {name: np.deg2rad(value).round(6).tolist()
               for name, value in found.items()}
    assert degrees == dict(jaw=[0, 0, 0, .2], yaw=[.5, 0, 0, 0],
                           pitch=[0, .25, 0, 0], roll=[0, 0, -.125, 0])


def test_a_clip_by_hand():
    terms = motion_terms(
        dict(yaw=np.array([1., 2., 3.]), jaw=np.array([1., np.nan, 1.])),
        dict(yaw=np.array([2., 8., 5.]), roll=np.zeros(3),
             jaw=np.array([1., 2., 3.])))
    assert set(terms) == {'yaw', 'jaw'}
    # From the means: -1, 0, 1 and -3, 3, 0
    assert vars(terms['yaw']) == pytest.approx(
        dict(frames=3, covariance=3, pred=2, true=18))
    assert terms['yaw'].amplitude() == pytest.approx(1 / 3)
    assert terms['yaw'].correlation() == pytest.approx(.5)
    assert terms['jaw'].frames == 2  # one of them is not finite
    # The true standard deviation is the root of 6.
    assert terms['yaw'].amplitude(2.4) == pytest.approx(1 / 3)
    assert math.isnan(terms['yaw'].amplitude(2.5))
    assert math.isnan(terms['yaw'].correlation(2.5))


def test_a_constant_answer_fails_and_a_constant_truth_does_not_count():
    wave = dict(mouth_open=np.sin(np.arange(9.)))
    still = dict(mouth_open=np.full(9, .1) + 1e-9 * np.cos(np.arange(9.)**2))
    frozen = motion_terms(still, wave)['mouth_open']
    assert frozen.amplitude() < 1e-6 and frozen.correlation() == 0
    exact = motion_terms(dict(mouth_open=np.ones(9)), wave)['mouth_open']
    assert exact.amplitude() == exact.correlation() == 0
    quiet = motion_terms(wave, dict(mouth_open=np.ones(9)))['mouth_open']
    assert math.isnan(quiet.amplitude()) and math.isnan(quiet.correlation())
    assert math.isnan(MotionTerms().amplitude())
    assert motion_terms(dict(jaw=[]), dict(jaw=[])) == {}


def test_what_sets_clips_apart_is_no_motion():
    """Each clip has its own mean: who guesses that, has no amplitude."""
    true = [np.array([0., 1.]), np.array([10., 13.])]
    means = pooled(motion_terms(dict(jaw=np.full(2, clip.mean())),
                                dict(jaw=clip)) for clip in true)
    assert means['jaw'].amplitude() == 0
    double = pooled(motion_terms(dict(jaw=2 * clip - 7), dict(jaw=clip))
                    for clip in true)
    assert double['jaw'].frames == 4
    assert double['jaw'].true == pytest.approx(.5 + 4.5)
    assert double['jaw'].amplitude() == pytest.approx(2)
    assert double['jaw'].correlation() == pytest.approx(1)
    parts = pooled([dict(roll=MotionTerms(2, 1, 1, 4)),
                    dict(jaw=MotionTerms(), roll=MotionTerms(3, 2, 8, 0))])
    assert parts == dict(jaw=MotionTerms(), roll=MotionTerms(5, 3, 9, 4))
    assert list(parts) == ['jaw', 'roll']


def test_running_sums_are_exact():
    rng = np.random.default_rng(0)
    pred, true = 1e4 + rng.normal(size=(2, 200))
    running = RunningMotion()
    for x, y in zip(pred, true, strict=True):
        running.add(dict(mouth_open=x), dict(mouth_open=y))
    terms = running.terms['mouth_open']
    assert terms.amplitude() == pytest.approx(pred.std() / true.std())
    assert terms.correlation() == pytest.approx(
        np.corrcoef(pred, true)[0, 1])


def test_angles_have_no_jump_at_half_a_turn():
    found = motion_terms(dict(roll=np.array([178., -178, 180])),
                         dict(roll=np.array([-179., 177, -178])))['roll']
    # 178, 182, 180 and -179, -183, -178
    assert found.pred == pytest.approx(8)
    assert found.true == pytest.approx(14)


def sample(true, pred, poses=None, **meta):
    """Frames of 200 x 100 pixels with landmarks in pixels."""
    result = FaceClipSample(metainfo=dict(image_size=(100, 200)) | meta)
    for name, points in (('gt_landmarks', true), ('pred_landmarks2d', pred)):
        points = torch.from_numpy(points[..., :2]).float()
        ndc = (2 * points + 1) / torch.tensor([200., 100.]) - 1
        if name == 'gt_landmarks':
            ndc = torch.cat([ndc, torch.ones(len(ndc), 68, 1)], -1)
        result.set_field(ndc, name)
    if poses is not None:
        result.pred_codes, result.gt_codes = (
            dict(pose=torch.from_numpy(pose).float()) for pose in poses)
    return result


def evaluate(metric, *samples, size=None):
    evaluator = Evaluator([METRICS.build(metric)])
    for item in samples:
        evaluator.process([item])
    return evaluator.evaluate(size or len(samples))


def test_metric_of_a_mannequin():
    """A mouth that hardly opens: small errors, but no amplitude."""
    gaps = np.array([0., 10, 20, 10])
    result = evaluate(dict(type='MotionFidelity'), sample(
        speaking(gaps), speaking(.02 * gaps + 1)))
    assert result['motion/mouth_open_amplitude'] == pytest.approx(
        .02, rel=1e-3)
    assert result['motion/mouth_open_corr'] == pytest.approx(1, rel=1e-3)
    frozen = evaluate(dict(type='MotionFidelity'), sample(
        speaking(gaps), speaking(0 * gaps + 5)))
    assert frozen['motion/mouth_open_amplitude'] == pytest.approx(
        0, abs=1e-4)
    assert frozen['motion/mouth_open_corr'] == 0
    # Nothing else moves.
    assert math.isnan(frozen['motion/eye_left_amplitude'])
    assert set(frozen) == {
        f'motion/{name}_{what}' for name in list(SIGNALS)[:4]
        for what in ('corr', 'amplitude')}


def test_metric_of_codes_and_of_what_is_not_seen():
    poses = np.zeros((2, 4, 6))
    poses[1, :, 3] = [0, .2, 0, .2]
    poses[0, :, 3] = [.1, .2, .1, .2]
    poses[:, :, 1] = [0, .3, .6, 0]
    item = sample(speaking([0., 9, 99, 9]), speaking([1., 10, 3, 10]), poses)
    item.gt_landmarks[2, 66, 2] = 0  # a lip is hidden
    result = evaluate(dict(type='MotionFidelity'), item)
    assert result['motion/jaw_amplitude'] == pytest.approx(.5, rel=1e-5)
    assert result['motion/jaw_corr'] == pytest.approx(1)
    assert result['motion/yaw_amplitude'] == pytest.approx(1)
    assert math.isnan(result['motion/roll_corr'])
    assert result['motion/mouth_open_amplitude'] == pytest.approx(1, rel=1e-3)
    nothing = evaluate(dict(type='MotionFidelity'), FaceClipSample(
        pred_landmarks2d=torch.zeros(2, 68, 2)))
    assert nothing == {}


def test_metric_pools_clips_and_drops_padding():
    """Sums of clips: 50 + 2 of the truth, 200 + 8 of the prediction."""
    gaps = np.array([0., 10.])
    clips = [sample(speaking(gaps), speaking(2 * gaps)),
             sample(speaking(gaps / 5), speaking(30 - 2 * gaps / 5))]
    evaluator = Evaluator([METRICS.build(dict(type='MotionFidelity'))])
    evaluator.process(clips)
    evaluator.process([sample(speaking(9 * gaps), speaking(0 * gaps))])
    result = evaluator.evaluate(2)
    assert result['motion/mouth_open_amplitude'] == pytest.approx(2, rel=1e-3)
    assert result['motion/mouth_open_corr'] == pytest.approx(
        (100 - 4) / math.sqrt(52 * 208), rel=1e-3)


def test_the_crop_does_not_change_the_motion():
    """Pixels of the frames: a crop that zooms opens no mouth."""
    zoom = np.zeros((3, 3, 3))
    zoom[:, [0, 1, 2], [0, 1, 2]] = np.array([[1, 1, 1], [2, 2, 1],
                                              [1, 1, 1.]])
    gaps = np.array([8., 8, 16])
    factor = zoom[:, 0, 0, None, None]
    item = sample(speaking(gaps) * factor, speaking(gaps) * factor,
                  crop_matrices=zoom)
    result = evaluate(dict(type='MotionFidelity'), item)
    assert result['motion/mouth_open_amplitude'] == pytest.approx(1)


@pytest.fixture(scope='module')
def flame():
    return FLAME('procedural', 6, 5).requires_grad_(False)


def person(flame, shape, pred, frames=2):
    """A true shape code (6,) and predicted ones (t, 6)."""
    true = dict(shape=shape.repeat(frames, 1), exp=torch.zeros(frames, 5),
                pose=torch.zeros(frames, 6))
    return FaceClipSample(
        gt_codes=true, pred_codes=dict(true, shape=pred),
        gt_vertices=flame(**dict(shape=true['shape'], pose=true['pose'],
                                 expression=true['exp'])).vertices)


def test_gain_over_the_mean_head(flame):
    metric = dict(type='IdentityGain', flame=flame)
    shape = torch.tensor([1., -1, .5, 2, 0, 1])
    mean_head = evaluate(metric, person(flame, shape, torch.zeros(2, 6)))
    assert mean_head['identity/gain'] == pytest.approx(0, abs=1e-6)
    whole = mean_head['identity/neutral_mm']
    assert whole > .5
    # One of two frames is right: half of the error is gone.
    half = evaluate(metric, person(flame, shape, torch.stack(
        [shape, 0 * shape])))
    assert half['identity/gain'] == pytest.approx(.5, abs=1e-4)
    assert half['identity/neutral_mm'] == pytest.approx(whole / 2, rel=1e-3)
    other = evaluate(metric, person(flame, shape, -shape.repeat(2, 1)))
    assert other['identity/gain'] == pytest.approx(-1, abs=.05)
    # Clips count by what there is to gain.
    both = evaluate(metric, person(flame, shape, torch.zeros(2, 6)),
                    person(flame, shape / 3, shape.repeat(2, 1) / 3))
    assert both['identity/gain'] == pytest.approx(.25, abs=.01)


def test_gain_needs_the_truth_of_the_same_head(flame):
    metric = dict(type='IdentityGain', flame=flame)
    shape = torch.ones(6)
    other = person(flame, shape, torch.ones(2, 6))
    other.gt_vertices = other.gt_vertices + .01
    result = evaluate(metric, other)
    assert math.isnan(result['identity/gain'])
    longer = person(flame, shape, torch.ones(2, 6))
    longer.gt_codes['shape'] = torch.ones(2, 7)
    broken = person(flame, shape, torch.full((2, 6), math.nan))
    result = evaluate(metric, longer, broken,
                      person(flame, shape, torch.ones(2, 6)))
    assert result['identity/gain'] == pytest.approx(1, abs=1e-4)
    assert result['identity/neutral_mm_skipped'] == 2
    assert evaluate(metric, FaceClipSample()) == {}
    small = person(flame, shape, torch.ones(2, 4))
    with pytest.raises(ValueError, match="IdentityGain: .* 4 entries"):
        evaluate(metric, small)
