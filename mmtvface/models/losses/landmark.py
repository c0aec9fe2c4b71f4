# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Losses on the 68 projected landmarks and on the gaps between them."""

from collections.abc import Sequence
from typing import ClassVar

import torch

from mmtvface.geometry.landmarks import (
    EYELID_PAIRS,
    LIP_PAIRS,
    MOUTH_CORNERS,
)
from mmtvface.models.outputs import CoarseOutputs
from mmtvface.models.targets import Targets
from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

from .base_loss import FaceLoss

# First and last index of each group (iBUG order); later groups win.
_WEIGHT_GROUPS = (
    (5, 6, 2.0), (10, 11, 2.0),  # jaw line beside the chin
    (27, 35, 1.5),  # nose
    (30, 30, 3.0), (31, 31, 3.0), (35, 35, 3.0),  # its tip and wings
    (48, 59, 1.5), (60, 67, 1.5),  # outer and inner lips
    (48, 48, 3.0), (54, 54, 3.0),  # corners of the mouth
)

SOURCES = ('landmarks2d', 'landmarks3d')
#: What an encoder with ``with_landmarks`` located in the end, and at first.
LOCATED = ('located_landmarks', 'located_first')


def landmark_weights() -> torch.Tensor:
    """Weights of the 68 landmarks (DECA, Feng et al., SIGGRAPH 2021).

    Returns:
        (68,) in 1..3: nose, lips, mouth corners and the line beside the chin
        count more than the rest.
    """
    weights = torch.ones(68)
    for first, last, weight in _WEIGHT_GROUPS:
        weights[first:last + 1] = weight
    return weights


def _differences(pred: torch.Tensor, target: torch.Tensor,
                 weight: torch.Tensor) -> torch.Tensor:
    """(B, P, 2) in x and y, 0 where the weight is 0 (also for NaN)."""
    known = weight[..., None] > 0
    return pred[..., :2] - torch.where(known, target[..., :2],
                                       pred[..., :2].detach())


def weighted_landmark_error(pred: torch.Tensor, target: torch.Tensor,
                            weights: torch.Tensor) -> torch.Tensor:
    r"""Weighted mean of the L1 distance, halved.

    $$
    \frac{\sum_i w_i v_i\, \lVert p_i - q_i \rVert_1}{2 \sum_i w_i v_i}
    $$

    over all landmarks $i$ of all frames, with the weights $w$ and the
    visibility $v$ (the third column of the target).
    The published code multiplies the weights into the target tensor itself,
    so that a second use sees their squares; here nothing is modified, and
    coordinates of invisible landmarks may be anything, even NaN.

    Args:
        pred: (B, 68, 2) or more columns, NDC.
        target: (B, 68, 3) NDC and visibility 0..1.
        weights: (68,).

    Returns:
        () NDC units; 0 with zero gradient if nothing is visible.
    """
    weight = target[..., 2] * weights
    distance = _differences(pred, target, weight).abs().sum(-1)
    return (distance * weight).sum() / (2 * weight.sum()).clamp(min=1e-8)


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
    r"""Mean difference of the distances between paired landmarks.

    $$
    \frac{\sum_{(i, j)} v_i v_j\, \big|\, \lVert p_i - p_j \rVert
    - \lVert q_i - q_j \rVert\, \big|}{\sum_{(i, j)} v_i v_j}
    $$

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


def check_source(loss: FaceLoss, source: str,
                 sources: Sequence[str] = SOURCES) -> None:
    """Raise unless a source of landmarks is one.

    Raises:
        ValueError: Naming the loss and the source.
    """
    if source not in sources:
        raise ValueError(f'{type(loss).__name__}: source must be one of '
                         f'{sources}, but it is {source!r}.')


@MODELS.register_module()
class LandmarkLoss(FaceLoss):
    """Weighted L1 loss of the 68 projected landmarks.

    Args:
        loss_weight: Factor of the loss.
        weights: 68 landmark weights; the default is
            :func:`landmark_weights`.
        source: Which landmarks are compared: ``'landmarks2d'`` with the
            contour that follows the head's yaw (as annotators and detectors
            see it), or ``'landmarks3d'`` fixed on the surface.

    Raises:
        ValueError: If ``weights`` is not 68 long or ``source`` unknown.
    """


    def __init__(self,
                 loss_weight: float = 1.0,
                 weights: Sequence[float] | None = None,
                 source: str = 'landmarks2d') -> None:
        super().__init__(loss_weight)
        check_source(self, source)
        values = landmark_weights() if weights is None else torch.tensor(
            weights, dtype=torch.float32)
        check_shape('LandmarkLoss: weights', values, (68, ))
        self.source = source
        self.register_buffer('weights', values, persistent=False)

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss, see :func:`weighted_landmark_error`."""
        pred = getattr(outputs, self.source)
        return weighted_landmark_error(pred, targets.landmarks,
                                       self.weights.to(pred.dtype))


@MODELS.register_module()
class UncertainLandmarkLoss(FaceLoss):
    r"""Landmark loss that learns how far each landmark may be off.

    $$
    \operatorname{mean}_i \Big(\frac{\lVert p_i - q_i \rVert_1}{2 \sigma_i}
    + \ln \sigma_i\Big)
    $$

    over the visible landmarks: the negative logarithm of a Laplace density
    without constants (Kendall & Gal, NeurIPS 2017, sec. 3). Landmarks
    that cannot be seen well pull less at the face, and the network says which
    they are. The value may be negative.

    Args:
        loss_weight: Factor of the loss.
        source: As of :class:`LandmarkLoss`.

    Raises:
        ValueError: If ``source`` is unknown.
    """


    def __init__(self, loss_weight: float = 1.0,
                 source: str = 'landmarks2d') -> None:
        super().__init__(loss_weight)
        check_source(self, source)
        self.source = source

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss; 0 if nothing is visible."""
        pred, target = getattr(outputs, self.source), targets.landmarks
        log_sigma = outputs.landmark_log_sigma
        visible = target[..., 2]
        distance = _differences(pred, target, visible).abs().sum(-1)
        terms = distance / 2 * (-log_sigma).exp() + log_sigma
        return (terms * visible).sum() / visible.sum().clamp(min=1e-8)


@MODELS.register_module()
class LocatedLandmarkLoss(FaceLoss):
    r"""Root of the mean squared error of the votes for each landmark.

    $$
    \operatorname{mean}_i \sqrt{\lVert m_i - q_i \rVert^2 + s_i^2}
    $$

    with the mean $m_i$ and the spread $s_i$ of the votes.

    For encoders that locate landmarks
    (:class:`~mmtvface.models.encoders.LandmarkLocator`). The squared error
    of a vote is on average that of the votes' mean plus their spread, so that
    a place counts the more, the better it knows; the error of the mean alone
    would hardly tell good votes from bad ones. The mean is over the visible
    landmarks, weighted as in :class:`LandmarkLoss`.

    Gaps between eyelids, between lips and between the corners of the mouth
    are compared apart: they are a few pixels, which hardly count among the
    errors of whole landmarks. They are compared as vectors: by its length, a
    gap is right if its ends are confused, and votes would stay so.

    Args:
        loss_weight: Factor of the loss (in NDC).
        gap_weight: Factor of the mean error of the gaps whose ends are both
            visible.
        source: ``'located_landmarks'``, or ``'located_first'``, what an
            encoder with ``close_looks`` knows before them.

    Raises:
        ValueError: If the source is another one.
    """


    def __init__(self, loss_weight: float = 1.0, gap_weight: float = 0.0,
                 source: str = 'located_landmarks') -> None:
        super().__init__(loss_weight)
        check_source(self, source, LOCATED)
        self.source = source
        self.gap_weight = gap_weight
        self.register_buffer('weights', landmark_weights(), persistent=False)
        self.register_buffer('pairs', torch.tensor(
            (*EYELID_PAIRS, *LIP_PAIRS, MOUTH_CORNERS)), persistent=False)

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss; 0 if nothing is visible."""
        located, target = getattr(outputs, self.source), targets.landmarks
        weight = target[..., 2] * self.weights
        squares = _differences(located, target, weight).square().sum(-1)
        error = (squares + located[..., 2].square() + 1e-8).sqrt()
        loss = (error * weight).sum() / weight.sum().clamp(min=1e-8)
        if not self.gap_weight:
            return loss
        first, second = self.pairs.unbind(1)
        known = target[:, first, 2] * target[:, second, 2]
        gaps = [points[:, first, :2] - points[:, second, :2]
                for points in (located, target)]
        error = safe_distance(_differences(*gaps, known), known.new_zeros(()))
        return loss + self.gap_weight * (error * known).sum() / (
            known.sum().clamp(min=1e-8))


class _ClosureLoss(FaceLoss):
    """Difference of the openings of some landmark pairs.

    Relative distances are blind to the position of the whole face, so they
    see a blink or a closed mouth that the landmark loss drowns (DECA, Feng et
    al., SIGGRAPH 2021, section 4.1).
    """

    pairs: ClassVar[tuple[tuple[int, int], ...]]

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.register_buffer(
            'pair_index', torch.tensor(self.pairs), persistent=False)

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss, see :func:`pair_distance_error`."""
        return pair_distance_error(outputs.landmarks2d,
                                   targets.landmarks, self.pair_index)


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
