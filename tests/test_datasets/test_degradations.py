# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import numpy as np
import pytest

from mmtvface.datasets.synthetic.degradations import (
    DEFAULT_DEGRADATIONS,
    Degradation,
    adjust_color,
    apply_degradation,
    check_degradations,
    draw_degradation,
    motion_kernel,
)
from mmtvface.datasets.transforms import ClipColorJitter, ClipDegradation


@pytest.fixture
def clip():
    return np.random.default_rng(0).integers(
        0, 256, (3, 32, 48, 3)).astype(np.uint8)


def test_nothing_drawn_changes_nothing(clip):
    off = check_degradations({name: dict(prob=0)
                              for name in DEFAULT_DEGRADATIONS})
    drawn = draw_degradation(np.random.default_rng(0), off)
    assert drawn == Degradation()
    out = apply_degradation(clip, drawn, np.random.default_rng(0))
    np.testing.assert_array_equal(out, clip)
    assert out is not clip


def test_draws_stay_in_their_ranges():
    config = check_degradations({name: dict(prob=1)
                                 for name in DEFAULT_DEGRADATIONS})
    drawn = [draw_degradation(np.random.default_rng(i), config)
             for i in range(200)]
    quality = [d.jpeg for d in drawn]
    assert min(quality) >= 35 and max(quality) <= 95
    assert np.ptp(quality) > 50
    assert all(1 <= d.noise <= 8 and 0 <= d.motion[1] < math.pi and
               abs(np.array(d.gains) - 1).max() <= .1201 for d in drawn)


def test_steps_are_drawn_independently():
    on = check_degradations({'noise': dict(prob=1)})
    off = check_degradations({'noise': dict(prob=0)})
    for seed in range(20):
        a = draw_degradation(np.random.default_rng(seed), on)
        b = draw_degradation(np.random.default_rng(seed), off)
        assert b.noise is None and a.noise is not None
        assert (a.gains, a.motion, a.defocus) == (b.gains, b.motion,
                                                  b.defocus)


def test_color_by_hand():
    image = np.array([[[[100, 0, 200]]]], np.uint8)
    out = adjust_color(image, (1.5, 1., 1.), 1., 1.)
    assert out.ravel().tolist() == [150, 0, 200]
    out = adjust_color(image, (1., 1., 1.), 2., 1.)
    assert out.ravel().tolist() == [39, 0, 157]  # 255 * (v / 255)^2
    out = adjust_color(image, (1., 1., 1.), 1., 0.)
    assert out.ravel().tolist() == [53] * 3  # .299 * 100 + .114 * 200


def test_motion_kernels():
    kernel = motion_kernel(5., 0.)
    assert kernel.sum() == pytest.approx(1)
    rows = kernel.sum(1)
    assert rows[len(rows) // 2] > .95
    upright = motion_kernel(5., math.pi / 2)
    np.testing.assert_allclose(upright, kernel.T, atol=.02)
    assert motion_kernel(1., .3).sum() == pytest.approx(1)


@pytest.mark.parametrize('step', [
    dict(defocus=.05), dict(motion=(.1, 0.)), dict(low_resolution=2.)])
def test_blurs_lower_contrast_and_keep_the_mean(clip, step):
    out = apply_degradation(clip, Degradation(**step),
                            np.random.default_rng(0))
    assert out.shape == clip.shape and out.dtype == np.uint8
    assert out.std() < .6 * clip.std()
    assert abs(out.mean() - clip.mean()) < 2


def test_noise_has_its_strength_and_differs_between_frames():
    gray = np.full((3, 64, 64, 3), 128, np.uint8)
    out = apply_degradation(gray, Degradation(noise=6.),
                            np.random.default_rng(0)).astype(float) - 128
    assert out.std() == pytest.approx(6, rel=.05)
    assert abs(np.corrcoef(out[0].ravel(), out[1].ravel())[0, 1]) < .05


def test_jpeg_keeps_channels_in_order():
    red = np.zeros((1, 16, 16, 3), np.uint8)
    red[..., 0] = 200
    out = apply_degradation(red, Degradation(jpeg=90),
                            np.random.default_rng(0))[0, 8, 8]
    assert abs(int(out[0]) - 200) < 8 and out[1] < 8 and out[2] < 8


def test_unknown_options():
    with pytest.raises(ValueError, match='rain'):
        check_degradations({'rain': {}})
    with pytest.raises(ValueError, match='strength'):
        check_degradations({'noise': {'strength': 3}})


def test_transforms_do_not_change_their_input(clip):
    before = clip.copy()
    for transform in (ClipColorJitter(), ClipDegradation(
            {'noise': {'prob': 1}})):
        results = dict(images=clip, rng=np.random.default_rng(5))
        out = transform(results)['images']
        assert out.dtype == np.uint8 and (out != clip).any()
        np.testing.assert_array_equal(clip, before)
        again = transform(dict(images=clip, rng=np.random.default_rng(5)))
        np.testing.assert_array_equal(again['images'], out)
