# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How far results run behind what they follow."""

from typing import NamedTuple

import torch

from mmtvface.utils.checks import check_shape


class LagTerms(NamedTuple):
    """Sums whose quotient is the lag; those of several clips add up.

    Attributes:
        delay: Sum of the products of delay and squared speed.
        motion: Sum of the squared speeds; 0 without motion.
    """

    delay: float
    motion: float


def lag_terms(pred: torch.Tensor, target: torch.Tensor) -> LagTerms:
    """Terms of the lag of predicted points behind the true ones.

    A result that is late by ``d`` frames is, to first order, wrong by ``-d``
    times the true velocity. ``d`` is the least-squares fit of that to the
    errors, from which each point's mean over the clip is taken away: a
    constant error is no lag.

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
    error = error - error.mean(0)
    return LagTerms(-(error * speed).sum().item(),
                    speed.square().sum().item())
