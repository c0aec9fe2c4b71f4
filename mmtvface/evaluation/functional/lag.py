# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How far results run behind what they follow."""

from typing import NamedTuple

import torch

from mmtvface.utils.checks import check_shape


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
