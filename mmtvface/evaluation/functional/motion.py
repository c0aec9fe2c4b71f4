# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Jitter: acceleration of points over the frames of a clip."""

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
