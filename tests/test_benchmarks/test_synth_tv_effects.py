# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest

from mmtvface.benchmarks.synthtv import LEVELS
from mmtvface.benchmarks.synthtv.degradation_levels import (
    CAPTION,
    ClipPlan,
    Occlusion,
    draw_plan,
    head_motion,
)
from mmtvface.benchmarks.synthtv.effects import (
    blur_frame,
    code_frames,
    degrade_clip,
    draw_caption,
    expose,
    finer_quality,
)

T, S = 6, 48


@pytest.fixture
def clip():
    """A smooth moving picture and a mask of its middle."""
    y, x = np.mgrid[:S, :S] / S
    frames = [np.stack([.5 + .4 * np.sin(6 * x + .2 * i), y,
                        .5 + .3 * np.cos(5 * (x - y))], -1)
              for i in range(T)]
    mask = np.zeros((T, S, S), np.uint8)
    mask[:, 8:40, 8:40] = 255
    return np.rint(255 * np.stack(frames)).astype(np.uint8), mask


def no_plan(**changes):
    """Nothing happens."""
    return replace(ClipPlan(
        resolution=1., blur=np.zeros(T), smear=np.zeros((T, 2)),
        gains=np.ones((T, 3)), gamma=1., saturation=1., noise=0.,
        quality=np.full(T, 100), key=np.ones(T, bool),
        frozen=np.zeros(T, bool), lost=np.full((T, 6), np.nan),
        occlusion=None), **changes)


def degrade(clip, **changes):
    return degrade_clip(*clip, no_plan(**changes), np.random.default_rng(0))


def landmarks(seed=0):
    return np.random.default_rng(seed).uniform(-.5, .5, (T, 68, 2))


def test_nothing_changes_nothing(clip):
    images, masks = degrade(clip)
    # Up to the rounding and the chroma of a JPEG of quality 100
    assert np.abs(images.astype(int) - clip[0]).mean() < 1.5
    assert np.array_equal(masks, clip[1])
    assert images.dtype == masks.dtype == np.uint8


def test_frozen_and_lost(clip):
    frozen = np.arange(T) == 2
    images, _ = degrade(clip, frozen=frozen)
    assert np.array_equal(images[2], images[1])
    assert not np.array_equal(images[3], images[2])
    lost = np.full((T, 6), np.nan)
    lost[1] = .1, .2, .5, .4, .25, 0  # 4.8, 9.6, 24, 19.2 pixels
    key = np.array([1, 0, 0, 1, 0, 0], bool)
    clean, _ = degrade(clip, key=key)
    images, masks = degrade(clip, key=key, lost=lost)
    wrong = (images != clean).any(-1)
    # Whole macro-blocks, until the next key frame
    for frame, there in enumerate([0, 1, 1, 0, 0, 0]):
        assert wrong[frame].any() == there
        assert (masks[frame, 8:24, 8:24] == 0).all() == there
        wrong[frame, 8:24, 0:24] = False
    assert not wrong.any()


def test_occluder_hides_skin_while_it_is_there(clip):
    path = np.full((T, 3), np.nan)
    path[2:4] = .5, .5, 0
    for kind in ('hand', CAPTION):
        images, masks = degrade(clip, occlusion=Occlusion(kind, path, 3))
        hidden = masks.sum((1, 2)) < .9 * clip[1].sum((1, 2))
        assert hidden.tolist() == [False, False, True, True, False, False]
        plain, _ = degrade(clip)
        changed = (images != plain).any((1, 2, 3))
        assert changed.tolist() == hidden.tolist()
    assert clip[1][2, 24, 24] == 255


def test_caption_is_a_bar_with_letters():
    canvas = draw_caption(np.random.default_rng(0), S)
    rows = np.flatnonzero(canvas[..., 3].any(1))
    assert 4 <= len(rows) <= 14 and rows.mean() == pytest.approx(S - .5)
    assert canvas[rows][..., 3].min() == 255
    assert len(np.unique(canvas[rows].reshape(-1, 4), axis=0)) > 2


def test_blur_along_the_motion():
    dot = np.zeros((S, S, 3), np.uint8)
    dot[24, 24] = 255
    assert blur_frame(dot, 0, np.array([.5, 0])) is dot
    smeared = blur_frame(dot, 0, np.array([8., 0.]))[..., 0]
    assert np.flatnonzero(smeared.any(0)).ptp() in (8, 9, 10)
    assert np.flatnonzero(smeared.any(1)).ptp() <= 2
    soft = blur_frame(dot, 2., np.zeros(2))[..., 0].astype(float)
    place = np.arange(S) - 24
    assert np.sqrt((soft.sum(0) * place**2).sum() / soft.sum()) == (
        pytest.approx(2, rel=.15))


def test_exposure_clips_and_noise_is_new():
    gray = np.full((S, S, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    assert (expose(gray, np.array([.5, 1., 3.]), 1., 0., rng)[0, 0]
            == [50, 100, 255]).all()
    first, second = (expose(gray, np.ones(3), 1., 8., rng).astype(float)
                     for _ in range(2))
    assert first.std() == pytest.approx(8, rel=.05)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < .05


def test_codec_keeps_old_details_until_the_key_frame():
    """A still picture gets better; what moves trails behind."""
    rng = np.random.default_rng(0)
    still = cv2.GaussianBlur(rng.integers(
        0, 255, (S, S, 3)).astype(np.uint8), (0, 0), 2)
    key = np.array([1, 0, 0, 0, 1, 0], bool)
    plan = no_plan(key=key, quality=np.array([10, 60, 60, 60, 10, 60]))
    frames, wrong = code_frames([still] * T, plan)
    error = [np.abs(frame.astype(float) - still).mean() for frame in frames]
    assert error[1] < .8 * error[0] and error[4] == error[0]
    assert wrong == [[]] * T
    # A faint old detail is not worth a bit.
    flat = np.full((S, S, 3), 128, np.uint8)
    faint = flat + (6 * (np.arange(S) // 2 % 2)).astype(np.uint8)[:, None]
    frames, _ = code_frames([faint, *[flat] * 5], no_plan(
        key=key, quality=np.array([98, 8, 8, 8, 98, 8])))
    assert [frame.std() > 2 for frame in frames] == [1, 1, 1, 1, 0, 0]


def test_finer_quality_halves_the_quantizer():
    for quality, finer in ((10, 20), (25, 50), (50, 75), (90, 95)):
        assert finer_quality(quality) == finer


def test_motion_of_the_head():
    points = np.zeros((4, 68, 2)) + np.arange(4)[:, None, None] * .1
    np.testing.assert_allclose(head_motion(points), .05)
    assert head_motion(points[:1]).tolist() == [[0, 0]]


def test_plans_are_repeatable_and_grow_with_the_level():
    plans = {name: [draw_plan(np.random.default_rng(seed), level,
                              landmarks()) for seed in range(60)]
             for name, level in LEVELS.items()}
    again = draw_plan(np.random.default_rng(7), LEVELS['hard'], landmarks())
    for field in fields(ClipPlan):
        if field.name != 'occlusion':
            np.testing.assert_array_equal(
                getattr(again, field.name),
                getattr(plans['hard'][7], field.name))
    for name in ('blur', 'noise', 'resolution'):
        easy, medium, hard = (
            np.array([np.mean(getattr(plan, name)) for plan in part])
            for part in plans.values())
        assert (easy <= medium + 1e-9).all() and (medium <= hard).all()
    quality = [np.mean([plan.quality.mean() for plan in part])
               for part in plans.values()]
    assert quality[0] > quality[1] + 20 > quality[2] + 40
    hidden = [{i for i, plan in enumerate(part) if plan.occlusion}
              for part in plans.values()]
    # What hides a face at one level hides it at the next, too.
    assert hidden[0] < hidden[1] < hidden[2]
    assert not any(plan.frozen.any() for plan in plans['easy'])
    assert all(plan.key[0] and not plan.frozen[0]
               for part in plans.values() for plan in part)


def test_much_changes_from_frame_to_frame_when_it_is_hard():
    plans = [draw_plan(np.random.default_rng(seed), LEVELS['hard'],
                       landmarks()) for seed in range(40)]
    for name in ('blur', 'gains', 'quality'):
        moves = [np.ptp(getattr(plan, name), axis=0).max() for plan in plans]
        assert np.mean(np.array(moves) > 0) > .5
    passing = [plan.occlusion.path for plan in plans if plan.occlusion]
    shown = np.array([(~np.isnan(path[:, 0])).mean() for path in passing])
    assert (shown < 1).any() and (shown > 0).mean() > .8
