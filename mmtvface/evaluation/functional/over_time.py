# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Values of frames along clips."""

from collections.abc import Sequence

import numpy as np

Line = tuple[np.ndarray, np.ndarray]


def mean_by_position(positions: Sequence[np.ndarray],
                     values: Sequence[np.ndarray]) -> Line:
    """Mean over clips of the values at each position.

    Args:
        positions: Of every clip, (t,) each, for example frame numbers.
        values: Of every clip, (t,) each; NaN does not count.

    Returns:
        The positions (P,) that have a value, in order, and the means (P,).
    """
    if not positions:
        return np.zeros(0), np.zeros(0)
    where = np.concatenate(positions)
    what = np.concatenate(values)
    good = np.isfinite(what)
    places, index = np.unique(where[good], return_inverse=True)
    sums = np.bincount(index, what[good], len(places))
    return places, sums / np.bincount(index, minlength=len(places))


def join_windows(names: Sequence[str], positions: Sequence[np.ndarray],
                 values: Sequence[np.ndarray]) -> dict[str, Line]:
    """Windows of clips to whole clips.

    Args:
        names: Clip of every window.
        positions: Frame numbers of every window, (t,) each.
        values: (t,) each.

    Returns:
        Clip -> frame numbers and values in order; the mean where windows
        overlap, NaN where no window has a value.
    """
    clips: dict[str, tuple[list, list]] = {}
    for name, where, what in zip(names, positions, values, strict=True):
        for part, array in zip(clips.setdefault(name, ([], [])),
                               (where, what), strict=True):
            part.append(array)
    joined = {}
    for name, parts in clips.items():
        places, means = mean_by_position(*parts)
        every = np.unique(np.concatenate(parts[0]))
        line = np.full(len(every), np.nan)
        line[np.searchsorted(every, places)] = means
        joined[name] = (every, line)
    return joined
