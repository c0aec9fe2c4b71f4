# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How certain the difference of two methods on the same clips is."""

from typing import NamedTuple

import numpy as np


class Difference(NamedTuple):
    """A relative difference and its confidence interval, fractions.

    Attributes:
        value: -0.15 is 15 % less than the baseline.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def paired_difference(base: np.ndarray, other: np.ndarray,
                      num_samples: int = 2000, level: float = .95,
                      seed: int = 0) -> Difference:
    """Relative difference of means, with a paired bootstrap interval.

    Clips are drawn with replacement, for both methods the same ones, so that
    what is hard for both cancels out (percentile interval; Efron and
    Tibshirani, "An introduction to the bootstrap", 1993).

    Args:
        base: (N,) errors of the baseline, clip by clip.
        other: (N,) errors of the other method on the same clips. Clips with
            a NaN in either are left out.
        num_samples: Resamplings.
        level: Of confidence.
        seed: Of the resampling.

    Returns:
        NaN throughout if no clip is left.

    Raises:
        ValueError: If the numbers of clips differ.
    """
    base, other = np.asarray(base, float), np.asarray(other, float)
    if base.shape != other.shape or base.ndim != 1:
        raise ValueError('Both methods need one error for each of the same '
                         f'clips, but there are {base.shape} and '
                         f'{other.shape}.')
    good = np.isfinite(base) & np.isfinite(other)
    base, other = base[good], other[good]
    if not len(base):
        return Difference(*[float('nan')] * 3)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(base), size=(num_samples, len(base)))
    with np.errstate(divide='ignore', invalid='ignore'):
        value = other.mean() / base.mean() - 1
        spread = other[drawn].mean(1) / base[drawn].mean(1) - 1
    low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2])
    return Difference(float(value), float(low), float(high))
