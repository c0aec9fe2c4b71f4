# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch

from mmtvface.evaluation.functional import lag_terms, paired_difference


def test_lag_of_a_late_motion():
    time = torch.arange(40, dtype=torch.float64)

    def path(time):
        wave = torch.stack([(.2 * time).sin(), (.15 * time).cos()], -1)
        return wave[:, None] * torch.tensor([1., 2., 3.])[None, :, None]

    for delay in (-1., .5, 2.):
        # A constant offset is no lag.
        delayed, motion = lag_terms(path(time - delay) + 7, path(time))
        assert delayed / motion == pytest.approx(delay, abs=.06)
    # A part of a wave, and steady motion besides: still the whole lag
    delayed, motion = lag_terms(
        *(path(t) + 3 * t[:, None, None] for t in (time[:8] - 1, time[:8])))
    assert delayed / motion == pytest.approx(1, abs=.1)
    # By hand: velocities 2 t of t ** 2, t = 1, 2, 3, less their mean
    square = time[:5, None, None]**2
    assert lag_terms(square, square) == (0, 8)
    # Uniform motion cannot be told from a constant error.
    line = time[:, None, None].expand(-1, 2, 3)
    assert lag_terms(line - 1, line) == (0, 0)
    assert lag_terms(line[:2], line[:2]) == (0, 0)
    with pytest.raises(ValueError, match='pred'):
        lag_terms(line[:3], line)


def test_difference_of_means():
    base = np.array([1., 2., 3., np.nan])
    value, low, high = paired_difference(base, base * .8)
    assert (value, low, high) == pytest.approx((-.2, -.2, -.2))
    change = paired_difference(np.array([1., 3.]), np.array([2., 2.]))
    assert change.value == 0
    # Both ends are reached: one of the two clips is drawn twice.
    assert change.low == pytest.approx(2 / 3 - 1)
    assert change.high == pytest.approx(1)
    assert np.isnan(paired_difference(base[3:], base[3:])).all()
    with pytest.raises(ValueError, match=r'\(4,\) and \(3,\)'):
        paired_difference(base, base[:3])


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(100):
        base = rng.gamma(4, size=60)
        other = base * .9 + rng.normal(0, .3, 60)
        low, high = paired_difference(base, other, 300, seed=seed)[1:]
        hits += low <= -.1 <= high
    assert 86 <= hits <= 100


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(1)
    base = rng.gamma(2, size=100)
    other = .9 * base
    paired = paired_difference(base, other + rng.normal(0, .01, 100))
    loose = paired_difference(base, rng.permutation(other))
    assert paired.high - paired.low < .1 * (loose.high - loose.low)
