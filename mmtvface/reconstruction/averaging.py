# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The codes of a person from those of many frames."""

import numpy as np

_OUTLIER = 2.


def robust_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the frames that lie near the median of all.

    A frame is left out if its distance from the median over all frames is
    more than twice the median of these distances: a code that was
    regressed from a blurred or hidden face lies far away.

    Args:
        values: (T, ...), T > 0, finite.

    Returns:
        (...), of the same type.
    """
    flat = values.reshape(len(values), -1).astype(np.float64)
    distance = np.linalg.norm(flat - np.median(flat, 0), axis=1)
    near = distance <= _OUTLIER * np.median(distance) + 1e-12
    return flat[near].mean(0).reshape(values.shape[1:]).astype(values.dtype)
