# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Eye and lip closure: distances between upper and lower eyelids or lips.

Relative distances are blind to the position of the whole face, so they see a
blink or a closed mouth that the landmark loss drowns (DECA, Feng et al.,
SIGGRAPH 2021, section 4.1).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from mmtvface.geometry.landmarks import EYELID_PAIRS, LIP_PAIRS
from mmtvface.registry import MODELS

from .base_loss import FaceLoss


def safe_distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Euclidean distance whose gradient at coincident points is 0.

    The published losses take the plain square root, whose gradient there
    is NaN (0 times infinity).

    Args:
        first: (..., D).
        second: (..., D).

    Returns:
        (...), too large by less than 1e-6.
    """
    return ((first - second).square().sum(-1) + 1e-12).sqrt()


def pair_distance_error(pred: torch.Tensor, target: torch.Tensor,
                        pairs: torch.Tensor) -> torch.Tensor:
    """Mean difference of the distances between paired landmarks.

    Args:
        pred: (B, 68, 2) or more columns, NDC.
        target: (B, 68, 3) NDC and visibility 0..1. A pair counts by the
            product of its visibilities (the published losses ignore it).
        pairs: (P, 2) landmark indices.

    Returns:
        () NDC units; 0 if no pair is visible.
    """
    upper, lower = pairs.unbind(-1)
    weight = target[:, upper, 2] * target[:, lower, 2]
    points = torch.where(target[..., 2:] > 0, target[..., :2], 0.)
    gap = safe_distance(pred[:, upper, :2], pred[:, lower, :2])
    goal = safe_distance(points[:, upper], points[:, lower])
    return ((gap - goal).abs() * weight).sum() / weight.sum().clamp(min=1e-8)


class _ClosureLoss(FaceLoss):
    """Difference of the openings of some landmark pairs."""

    pairs: ClassVar[tuple[tuple[int, int], ...]]
    requires = ('landmarks2d', )
    requires_targets = ('landmarks', )

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.register_buffer(
            'pair_index', torch.tensor(self.pairs), persistent=False)

    def compute(self, outputs: Mapping[str, Any],
                targets: Mapping[str, Any]) -> torch.Tensor:
        """Unweighted loss, see :func:`pair_distance_error`."""
        return pair_distance_error(outputs['landmarks2d'],
                                   targets['landmarks'], self.pair_index)


@MODELS.register_module()
class EyeClosureLoss(_ClosureLoss):
    """Difference of the openings of the eyes, four eyelid pairs.

    Args:
        loss_weight: Factor of the loss, 1.0 in the published training.
    """

    pairs = EYELID_PAIRS


@MODELS.register_module()
class LipClosureLoss(_ClosureLoss):
    """Difference of the opening of the mouth, three inner lip pairs.

    Args:
        loss_weight: Factor of the loss, 0.5 in the published training.
    """

    pairs = LIP_PAIRS

    def __init__(self, loss_weight: float = 0.5) -> None:
        super().__init__(loss_weight)
