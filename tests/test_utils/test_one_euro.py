# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import numpy as np
import pytest

from mmtvface.utils import one_euro


def test_hand_computed_step():
    # Cutoff and speed chosen so that all weights are one half.
    half = 25 / (2 * math.pi)
    out = one_euro(np.array([0., 8., 8.]), 25., half, 0., half)
    assert out.tolist() == pytest.approx([0, 4, 6])
    # The speed 200 per second enters by half: weight of twice the cutoff.
    quick = one_euro(np.array([0., 8.]), 25., half, half / 100, half)
    assert quick[1] == pytest.approx(8 * 2 / 3)


def test_equals_a_plain_loop_channel_by_channel():
    values = np.random.default_rng(0).normal(size=(9, 2, 3)).cumsum(0)

    def slow(series, fps, low, beta):
        smooth, speed, done = series[0], 0., [series[0]]
        for before, now in zip(series[:-1], series[1:], strict=True):
            a = 1 / (1 + fps / (2 * math.pi))
            speed = a * (now - before) * fps + (1 - a) * speed
            tau = 1 / (2 * math.pi * (low + beta * abs(speed)))
            a = 1 / (1 + tau * fps)
            smooth = a * now + (1 - a) * smooth
            done.append(smooth)
        return done

    out = one_euro(values, 30., .7, .2)
    assert out.dtype == np.float64
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(
            out[(slice(None), *index)],
            slow(values[(slice(None), *index)], 30., .7, .2))


def test_steadies_noise_and_follows_motion():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(400, 1))
    assert one_euro(noise, 25., .5)[50:].std() < .35 * noise.std()
    ramp = np.arange(50.)[:, None]
    late = ramp - one_euro(ramp, 25., .5)
    quick = ramp - one_euro(ramp, 25., .5, beta=1.)
    assert late[-1] > 5 > 1 > quick[-1] > 0
    assert one_euro(np.zeros((0, 3))).shape == (0, 3)


def test_causal_and_without_side_effects():
    values = np.random.default_rng(2).normal(size=(10, 3))
    kept = values.copy()
    np.testing.assert_array_equal(one_euro(values)[:6], one_euro(values[:6]))
    np.testing.assert_array_equal(values, kept)


@pytest.mark.parametrize('bad', [dict(min_cutoff=0), dict(beta=-1),
                                 dict(speed_cutoff=0), dict(fps=0)])
def test_bad_settings(bad):
    with pytest.raises(ValueError, match='cutoffs and fps above 0'):
        one_euro(np.zeros((3, 1)), **bad)
