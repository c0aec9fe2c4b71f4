# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Smoothing of series over time."""

import math

import numpy as np
from scipy.ndimage import gaussian_filter1d


def steady(values: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a series over time by a Gaussian, without lag.

    At the ends the series is continued by its point reflection, so that a
    constant velocity is kept exactly everywhere.

    Args:
        values: (T, C).
        sigma: Standard deviation in frames, 0 for none.

    Returns:
        (T, C) float64.
    """
    values = np.asarray(values, np.float64)
    reach = int(np.ceil(4 * sigma))
    if len(values) < 2 or reach == 0:
        return values.copy()
    longer = np.pad(values, ((reach, reach), (0, 0)), 'reflect',
                    reflect_type='odd')
    return gaussian_filter1d(longer, sigma, axis=0,
                             truncate=4.)[reach:-reach]


def _weight(cutoff: np.ndarray | float, fps: float) -> np.ndarray | float:
    """Weight of a new value in a low-pass filter of a cutoff in Hz."""
    step = 2 * math.pi * cutoff / fps
    return step / (step + 1)


def one_euro(values: np.ndarray, fps: float = 25., min_cutoff: float = 1.,
             beta: float = 0., speed_cutoff: float = 1.) -> np.ndarray:
    """Smooth a series over time without looking ahead.

    An exponential filter whose cutoff frequency grows with the smoothed speed
    of the signal, channel by channel (Casiez, Roussel and Vogel, "1 Euro
    filter: a simple speed-based low-pass filter for noisy input in
    interactive systems", CHI 2012). The speed is that of the raw values.

    Args:
        values: (T, ...).
        fps: Frames per second.
        min_cutoff: Cutoff in Hz at rest: lower is steadier.
        beta: Hz of cutoff per unit and second of speed: higher lags less.
        speed_cutoff: Cutoff in Hz of the speed's own filter.

    Returns:
        (T, ...) float64.

    Raises:
        ValueError: If a cutoff is not positive or ``beta`` negative.
    """
    if min_cutoff <= 0 or speed_cutoff <= 0 or beta < 0 or fps <= 0:
        raise ValueError(
            'The One-Euro filter needs cutoffs and fps above 0 and beta of '
            f'at least 0, but min_cutoff is {min_cutoff}, speed_cutoff '
            f'{speed_cutoff}, fps {fps} and beta {beta}.')
    values = np.asarray(values, np.float64)
    out = values.copy()
    if not len(out):
        return out
    speed = np.zeros_like(out[0])
    slow = _weight(speed_cutoff, fps)
    for frame in range(1, len(out)):
        raw = (values[frame] - values[frame - 1]) * fps
        speed = speed + slow * (raw - speed)
        weight = _weight(min_cutoff + beta * np.abs(speed), fps)
        out[frame] = out[frame - 1] + weight * (
            values[frame] - out[frame - 1])
    return out
