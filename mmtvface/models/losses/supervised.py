# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Supervised losses for data with known codes and vertices."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from mmtvface.registry import MODELS
from mmtvface.structures import FlameCodeLayout

from .base_loss import FaceLoss

# About one over the usual spread of each code: shape, expression and albedo
# come in standard deviations, angles in radians, the camera's scale is about
# 8 NDC units per metre, its shift in metres.
_CODE_WEIGHTS = dict(shape=1.0, tex=1.0, exp=1.0, pose=5.0, cam=1.0,
                     light=1.0)


def vertex_error_mm(pred: torch.Tensor,
                    target: torch.Tensor,
                    norm: str = 'l1') -> torch.Tensor:
    """Mean distance of corresponding vertices, without any alignment.

    Args:
        pred: (B, V, 3) metres.
        target: (B, V, 3) metres, same frame of reference.
        norm: ``'l1'``: mean |d| over all coordinates; ``'l2'``: mean
            Euclidean distance (gradient 0 where it is 0).

    Returns:
        () millimetres.
    """
    difference = (pred - target) * 1000
    if norm == 'l1':
        return difference.abs().mean()
    return (difference.square().sum(-1) + 1e-12).sqrt().mean()


@MODELS.register_module()
class VertexLoss(FaceLoss):
    """Distance of the vertices to the true ones in model space.

    Model space includes the rotation of the head and the jaw but not the
    camera, whose scale and shift the landmark loss sees.

    Args:
        loss_weight: Factor of the loss (which is in millimetres).
        norm: ``'l1'`` or ``'l2'``, see :func:`vertex_error_mm`.

    Raises:
        ValueError: If the norm is unknown.
    """

    requires = ('vertices', )
    requires_targets = ('vertices', )

    def __init__(self, loss_weight: float = 1.0, norm: str = 'l1') -> None:
        super().__init__(loss_weight)
        if norm not in ('l1', 'l2'):
            raise ValueError("VertexLoss: norm must be 'l1' or 'l2', but it "
                             f'is {norm!r}.')
        self.norm = norm

    def compute(self, outputs: Mapping[str, Any],
                targets: Mapping[str, Any]) -> torch.Tensor:
        """Unweighted loss in millimetres."""
        pred, target = outputs['vertices'], targets['vertices']
        if pred.shape != target.shape:
            raise ValueError(
                f'VertexLoss: {tuple(pred.shape)} vertices are predicted, but '
                f'the data has {tuple(target.shape)}: its ground truth was '
                'made with another head model.')
        return vertex_error_mm(pred, target, self.norm)


@MODELS.register_module()
class CodeLoss(FaceLoss):
    """Smooth L1 distance of the codes to the true ones.

    sum over the codes of weight * mean(smooth_l1(pred - target)), for
    data that was made with the same head model and albedo model.

    Args:
        loss_weight: Factor of the whole.
        weights: Weight by name of the code; only codes named here are
            compared.
        beta: Where the loss turns from quadratic to linear.

    Raises:
        ValueError: If a code's name is unknown.
    """

    requires = ('codes', )
    requires_targets = ('codes', )

    def __init__(self,
                 loss_weight: float = 1.0,
                 weights: Mapping[str, float] | None = None,
                 beta: float = 0.1) -> None:
        super().__init__(loss_weight)
        weights = dict(_CODE_WEIGHTS if weights is None else weights)
        if unknown := set(weights) - set(FlameCodeLayout().sizes):
            raise ValueError(
                f'CodeLoss: there are no codes {sorted(unknown)}; the codes '
                f'are {list(FlameCodeLayout().sizes)}.')
        self.weights = weights
        self.beta = beta

    def compute(self, outputs: Mapping[str, Any],
                targets: Mapping[str, Any]) -> torch.Tensor:
        """Unweighted loss.

        Raises:
            ValueError: If a code of the data has another size.
        """
        terms = []
        for name, weight in self.weights.items():
            pred, target = outputs['codes'][name], targets['codes'].get(name)
            if target is None or pred.shape != target.shape:
                raise ValueError(
                    f"CodeLoss: the code '{name}' is predicted as "
                    f'{tuple(pred.shape)}, but the data has '
                    f'{None if target is None else tuple(target.shape)}; '
                    'leave it out of weights or use the same code layout.')
            terms.append(weight *
                         F.smooth_l1_loss(pred, target, beta=self.beta))
        return torch.stack(terms).sum()


@MODELS.register_module()
class NeutralVertexLoss(FaceLoss):
    """Distance of the heads at rest, which are made of the shape codes alone.

    mean over the vertices of |v(shape) - v(true shape)|, Euclidean, in mm.
    :class:`CodeLoss` counts all components of the shape alike, however little
    they move, and :class:`VertexLoss` blames the shape for errors of the
    pose, which are larger: with these two alone a small network learns the
    pose first and a constant shape that makes up for its mistakes.

    Args:
        loss_weight: Factor of the loss (which is in millimetres).
    """

    requires = ('neutral_vertices', )
    requires_targets = ('neutral_vertices', )

    def compute(self, outputs: Mapping[str, Any],
                targets: Mapping[str, Any]) -> torch.Tensor:
        """Unweighted loss in millimetres."""
        return vertex_error_mm(outputs['neutral_vertices'],
                               targets['neutral_vertices'], 'l2')
