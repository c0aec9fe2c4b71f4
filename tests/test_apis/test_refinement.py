# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Refinement of codes on landmarks, with the built-in head."""

import pytest
import torch

from mmtvface.apis.refinement import RefineSettings, refine_track
from mmtvface.apis.refinement.landmark_head import LandmarkHead
from mmtvface.apis.refinement.refine import _cosines
from mmtvface.evaluation.functional import score_clip
from mmtvface.geometry.camera import project
from mmtvface.head_models import FLAME

FRAMES = 14


@pytest.fixture(scope='module')
def flame():
    return FLAME('procedural', None, 8, 6).requires_grad_(False)


def draw(seed, *size):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope='module')
def truth(flame):
    """Codes of a person who moves, and its landmarks (T, 68, 3)."""
    time = torch.linspace(0, 3, FRAMES)[:, None]
    codes = dict(
        shape=draw(0, 1, 8).repeat(FRAMES, 1),
        exp=.7 * (time + draw(1, 1, 6)).sin(),
        pose=.2 * (time * .7 + draw(2, 1, 6)).sin(),
        cam=torch.tensor([8., .01, .02]).repeat(FRAMES, 1))
    head = flame(codes['shape'], codes['exp'], codes['pose'])
    points = project(head.landmarks2d, codes['cam'])
    points[..., 2] = 1
    return codes, points


@pytest.fixture(scope='module')
def regressed(truth):
    """Codes that are wrong by something constant, something slow, noise."""
    time = torch.linspace(0, 1, FRAMES)[:, None]
    codes = dict(truth[0], light=draw(8, FRAMES, 9, 3))
    for seed, (name, size) in enumerate(dict(
            shape=1., exp=.4, pose=.08, cam=.01).items()):
        width = codes[name].shape[1]
        slow = 0 if name == 'shape' else time
        codes[name] = codes[name] + size * (
            draw(10 + seed, 1, width) + slow * draw(20 + seed, 1, width))
    codes['pose'] = codes['pose'] + .003 * draw(9, FRAMES, 6)
    return codes


def test_landmarks_and_derivatives_are_those_of_the_head(flame, truth):
    codes, points = truth
    head = LandmarkHead(flame)
    state = head.state(codes)
    for name, value in head.codes(state).items():
        assert torch.allclose(value, codes[name])
    rows = head.contour_rows(state)
    assert torch.allclose(head.points(state, rows), points[..., :2],
                          atol=1e-6)
    found, slopes = head.linearise(state[:2], rows[:2])
    assert slopes.shape == (2, 68, 2, head.size)
    precise = LandmarkHead(FLAME('procedural', None, 8, 6).double())
    near = state[:2].double()
    for index in range(0, head.size, 3):
        step = torch.zeros(head.size, dtype=torch.float64)
        step[index] = 1e-5
        expected = (precise.points(near + step, rows[:2])
                    - precise.points(near - step, rows[:2])) / 2e-5
        assert torch.allclose(slopes[..., index].double(), expected,
                              atol=1e-4)


def test_errors_fall_and_calm_stays(flame, truth, regressed):
    codes, points = truth
    noisy = points[..., :2] + .01 * draw(5, FRAMES, 68, 2)
    refined = refine_track(flame, regressed, noisy, 25.)
    before, after = (score_clip(flame, dict(one), codes, points)
                     for one in (regressed, refined))
    assert after['nme'] < .5 * before['nme']
    assert after['posed_mm'] < .6 * before['posed_mm']
    assert after['neutral_mm'] < .8 * before['neutral_mm']
    assert after['jitter_mm'] < 1.1 * before['jitter_mm']
    # One person, and nothing is changed in place or that is not its business
    assert (refined['shape'] == refined['shape'][0]).all()
    assert torch.equal(refined['light'], regressed['light'])
    exact = refine_track(flame, codes, points[..., :2], 25.)
    assert score_clip(flame, exact, codes, points)['posed_mm'] < .05


def test_windows_join_without_a_jump(flame, truth, regressed):
    codes, points = truth
    whole, parts = (refine_track(
        flame, regressed, points[..., :2], 25., RefineSettings(window=window))
        for window in (50, 6))
    scores = [score_clip(flame, one, codes, points)
              for one in (whole, parts)]
    assert scores[1]['jitter_mm'] < scores[0]['jitter_mm'] + .3


def test_unknown_and_wild_landmarks(flame, truth, regressed):
    _, points = truth
    hidden = points[..., :2].clone()
    hidden[:] = torch.nan
    same = refine_track(flame, regressed, hidden, 25.)
    for name in ('exp', 'pose', 'cam'):
        assert torch.allclose(same[name], regressed[name], atol=1e-6)
    wild = points[..., :2].clone()
    wild[3, 40] = 5.
    wild[7, 30:36] = torch.nan
    good, robust = (refine_track(flame, regressed, one, 25.)
                    for one in (points[..., :2], wild))
    assert (robust['pose'] - good['pose']).abs().max() < .05
    one = {name: value[:1] for name, value in regressed.items()}
    alone = refine_track(flame, one, points[:1, :, :2], 25.)
    assert alone['pose'].isfinite().all()
    # A camera that looks backwards spoils its own frame only.
    broken = {name: value.clone() for name, value in regressed.items()}
    broken['cam'][4, 0] = -1
    some = refine_track(flame, broken, points[..., :2], 25.)
    assert torch.equal(some['pose'][4], broken['pose'][4])
    assert (some['shape'] == some['shape'][0]).all()
    kept = torch.arange(FRAMES) != 4
    assert (some['pose'] - good['pose'])[kept].abs().max() < .02
    broken['cam'][:, 0] = 0
    assert refine_track(flame, broken, points[..., :2], 25.) is broken
    with pytest.raises(ValueError, match='positive scale'):
        LandmarkHead(flame).state(broken)


def test_time_goes_on_in_gaps():
    steady, gap = (_cosines(numbers, 5., 25.) for numbers in (
        torch.arange(10), torch.tensor([0, 1, 2, 7, 8, 9])))
    assert torch.allclose(steady.T @ steady, torch.eye(
        steady.shape[1], dtype=torch.float64), atol=1e-12)
    rows = steady[[0, 1, 2, 7, 8, 9]][:, :gap.shape[1]]
    assert torch.allclose(gap, rows / rows.norm(dim=0))
