# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How mouth, eyelids and brows move, apart from head and person."""


import torch

from mmtvface.geometry.landmarks import (
    BROWS,
    CONTOUR,
    EYELID_PAIRS,
    EYES,
    LIP_PAIRS,
    LIPS,
    MOUTH_CORNERS,
    NOSE,
    NUM_LANDMARKS,
)
from mmtvface.models.outputs import CoarseOutputs
from mmtvface.models.targets import Targets
from mmtvface.registry import MODELS

from .base_loss import FaceLoss
from .landmark import safe_distance

_MM = 1000.
# Landmarks of a group and how far they move, RMS over lively performances of
# the built-in head, mm; and the same of gaps.
_GROUPS = ((CONTOUR, 3.), (BROWS, 1.5), (NOSE, .7), (EYES, 1.5), (LIPS, 3.5))
_GAPS = ((EYELID_PAIRS, 2.5), (LIP_PAIRS, 4.5), ((MOUTH_CORNERS, ), 3.))


@MODELS.register_module()
class ExpressionLoss(FaceLoss):
    """Squared error of what expression and jaw do to the landmarks.

    Both faces' expression and jaw are put on the mean head, looking ahead;
    there the 68 landmarks and the gaps between eyelids, between lips and
    between the corners of the mouth are compared, each in units of how far
    it moves. So nothing that head, camera or person do is in this loss, and
    eyelids count as much as the chin: mean distances over all vertices or
    landmarks are dominated by the pose and by the still parts of the face.
    Squares, since the mean of what an unclear picture may show still moves;
    the median, the optimum of a linear loss, does not.

    Args:
        loss_weight: Factor of the loss; predicting no motion costs about 2.
        gap_weight: Factor of the gaps against the landmarks.
        corner_weight: Factor of the gap between the corners of the mouth, of
            which there is only one, against any other; the mean of the
            factors of all gaps stays 1.

    Raises:
        ValueError: If corner_weight is negative.
    """


    def __init__(self, loss_weight: float = 1.0,
                 gap_weight: float = 1.0,
                 corner_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        if corner_weight < 0:
            raise ValueError('ExpressionLoss: corner_weight must not be '
                             f'negative, but it is {corner_weight}.')
        self.gap_weight = gap_weight
        spread = torch.ones(NUM_LANDMARKS, 1)
        for group, value in _GROUPS:
            spread[list(group)] = value
        pairs = [pair for group, _ in _GAPS for pair in group]
        gaps = [torch.full((len(group), ), value) for group, value in _GAPS]
        weights = torch.ones(len(pairs))
        weights[pairs.index(MOUTH_CORNERS)] = corner_weight
        for name, value in (('spread', spread), ('gap_spread',
                                                 torch.cat(gaps)),
                            ('pairs', torch.tensor(pairs)),
                            ('weights', weights / weights.mean())):
            self.register_buffer(name, value, persistent=False)

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss, see the class."""
        pred, target = (part.expression_landmarks * _MM
                        for part in (outputs, targets))
        points = ((pred - target) / self.spread).square().sum(-1).mean()
        first, second = self.pairs.unbind(1)
        lengths = [safe_distance(part[:, first], part[:, second])
                   for part in (pred, target)]
        difference = (lengths[0] - lengths[1]) / self.gap_spread
        gaps = (self.weights * difference.square()).mean()
        return points + self.gap_weight * gaps
