# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Smoothing of series over time."""

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
