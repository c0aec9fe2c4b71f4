# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Acceleration, lag, and means over time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from mmtvface.utils.checks import check_shape


def accelerations(points: torch.Tensor) -> torch.Tensor:
    """Second differences over time.

    Args:
        points: (t, N, D).

    Returns:
        (t - 2, N, D) units per frame squared; empty if t < 3.
    """
    if len(points) < 3:
        return points[:0]
    return points[2:] - 2 * points[1:-1] + points[:-2]


def seen_in_triples(visible: torch.Tensor) -> torch.Tensor:
    """Whether points are visible in three consecutive frames.

    Args:
        visible: (t, N) bool.

    Returns:
        (t - 2, N) bool; empty if t < 3.
    """
    if len(visible) < 3:
        return visible[:0]
    return visible[2:] & visible[1:-1] & visible[:-2]


def jitter(points: torch.Tensor,
           visible: torch.Tensor | None = None) -> torch.Tensor:
    """Mean length of the accelerations, frame by frame.

    Args:
        points: (t, N, D).
        visible: (t, N) bool; a point counts where it is visible in all three
            frames. Default: all.

    Returns:
        (t - 2,) units per frame squared; NaN where no point counts.
    """
    length = accelerations(points).norm(dim=-1)
    if visible is None:
        return length.mean(1)
    seen = seen_in_triples(visible)
    return length.masked_fill(~seen, 0).sum(1) / seen.sum(1)


def acceleration_error(pred: torch.Tensor,
                       target: torch.Tensor,
                       visible: torch.Tensor | None = None) -> torch.Tensor:
    """Mean distance of the accelerations from the true ones.

    Unlike :func:`jitter` it does not reward frozen results.

    Args:
        pred: (t, N, D).
        target: (t, N, D).
        visible: (t, N) bool, see :func:`jitter`.

    Returns:
        (t - 2,) units per frame squared; NaN where no point counts.

    Raises:
        ValueError: If the shapes differ.
    """
    check_shape('pred', pred, target.shape)
    # The second difference is linear.
    return jitter(pred - target, visible)


class LagTerms(NamedTuple):
    """Sums whose quotient is the lag; those of several clips add up.

    Attributes:
        delay: Sum of the products of delay and that squared speed.
        motion: Sum of the squared speeds, each point's mean velocity taken
            away; 0 if nothing changes its speed.
    """

    delay: float
    motion: float


def lag_terms(pred: torch.Tensor, target: torch.Tensor) -> LagTerms:
    """Terms of the lag of predicted points behind the true ones.

    A result that is late by ``d`` frames is, to first order, wrong by ``-d``
    times the true velocity. ``d`` is the least-squares fit of that and a
    constant error of each point, which is no lag: errors and velocities have
    their means over the clip taken away. Uniform motion therefore tells
    nothing.

    Args:
        pred: (t, N, D).
        target: (t, N, D), same unit.

    Returns:
        Terms over the frames that have both neighbours; zeros if t < 3.

    Raises:
        ValueError: If the shapes differ.
    """
    check_shape('pred', pred, target.shape)
    if len(target) < 3:
        return LagTerms(0., 0.)
    pred, target = pred.double(), target.double()
    speed = (target[2:] - target[:-2]) / 2
    error = (pred - target)[1:-1]
    # Of both: a lag of steady motion goes away with the constant error.
    speed, error = (part - part.mean(0) for part in (speed, error))
    return LagTerms(-(error * speed).sum().item(),
                    speed.square().sum().item())


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
