# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Supervised losses for data with known codes and vertices."""

from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional as F

from mmtvface.models.outputs import CoarseOutputs
from mmtvface.models.targets import Targets
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


    def __init__(self, loss_weight: float = 1.0, norm: str = 'l1') -> None:
        super().__init__(loss_weight)
        if norm not in ('l1', 'l2'):
            raise ValueError("VertexLoss: norm must be 'l1' or 'l2', but it "
                             f'is {norm!r}.')
        self.norm = norm

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss in millimetres."""
        pred, target = outputs.vertices, targets.vertices
        if pred.shape != target.shape:
            raise ValueError(
                f'VertexLoss: {tuple(pred.shape)} vertices are predicted, but '
                f'the data has {tuple(target.shape)}: its ground truth was '
                'made with another head model.')
        return vertex_error_mm(pred, target, self.norm)


@MODELS.register_module()
class CodeLoss(FaceLoss):
    r"""Distance of the codes to the true ones.

    $$
    \sum_c w_c\, \operatorname{mean}_k d(c_k - \hat c_k)
    $$

    over the codes $c$ with their weights, for data that was made with the
    same head model and albedo model.

    A code that cannot be seen well is answered by the optimum over all that
    it may be: by their median with a linear loss, by their mean with a
    squared one. Expressions are zero most of the time, and so is their
    median: with ``'smooth_l1'`` a face that does not move is nearly as good
    as a small network gets. Train new networks with ``'l2'``.

    Args:
        loss_weight: Factor of the whole.
        weights: Weight by name of the code; only codes named here are
            compared.
        beta: Where ``'smooth_l1'`` turns from quadratic to linear.
        norm: ``'smooth_l1'``, or ``'l2'``: squares, divided by those of
            ``spread``.
        spread: Name of a code -> standard deviation over the data, a number
            or one per entry; 1 for codes without. For ``'l2'`` only.

    Raises:
        ValueError: If a code's name or the norm is unknown, or a spread is
            given without ``'l2'`` or is not positive.
    """


    def __init__(self,
                 loss_weight: float = 1.0,
                 weights: Mapping[str, float] | None = None,
                 beta: float = 0.1,
                 norm: str = 'smooth_l1',
                 spread: Mapping[str, float | Sequence[float]] | None = None
                 ) -> None:
        super().__init__(loss_weight)
        weights = dict(_CODE_WEIGHTS if weights is None else weights)
        spread = dict(spread or {})
        if unknown := {*weights, *spread} - set(FlameCodeLayout().sizes):
            raise ValueError(
                f'CodeLoss: there are no codes {sorted(unknown)}; the codes '
                f'are {list(FlameCodeLayout().sizes)}.')
        if norm not in ('smooth_l1', 'l2'):
            raise ValueError("CodeLoss: norm must be 'smooth_l1' or 'l2', "
                             f'but it is {norm!r}.')
        if spread and norm != 'l2':
            raise ValueError("CodeLoss: spread has no effect on the norm "
                             f"{norm!r}; use norm='l2' or leave it out.")
        self.weights = weights
        self.beta = beta
        self.norm = norm
        for name, value in spread.items():
            value = torch.as_tensor(value, dtype=torch.float32)
            if not (value > 0).all():
                raise ValueError(f'CodeLoss: the spread of {name!r} must be '
                                 f'positive, but it is {value.tolist()}.')
            self.register_buffer(f'spread_{name}', value, persistent=False)
        self._spreads = frozenset(spread)

    def _distance(self, name: str, pred: torch.Tensor,
                  target: torch.Tensor) -> torch.Tensor:
        if self.norm == 'smooth_l1':
            return F.smooth_l1_loss(pred, target, beta=self.beta)
        difference = pred - target
        if name in self._spreads:
            difference = difference / getattr(self, f'spread_{name}')
        return difference.square().mean()

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss.

        Raises:
            ValueError: If a code of the data has another size.
        """
        terms = []
        for name, weight in self.weights.items():
            pred, target = outputs.codes[name], targets.codes.get(name)
            if target is None or pred.shape != target.shape:
                raise ValueError(
                    f"CodeLoss: the code '{name}' is predicted as "
                    f'{tuple(pred.shape)}, but the data has '
                    f'{None if target is None else tuple(target.shape)}; '
                    'leave it out of weights or use the same code layout.')
            terms.append(weight * self._distance(name, pred, target))
        return torch.stack(terms).sum()


@MODELS.register_module()
class NeutralVertexLoss(FaceLoss):
    r"""Distance of the neutral heads, which are made of the shape codes alone.

    $$
    \operatorname{mean}_i \lVert v_i(\beta) - v_i(\hat\beta) \rVert
    $$

    in millimetres.
    :class:`CodeLoss` counts all components of the shape alike, however little
    they move, and :class:`VertexLoss` blames the shape for errors of the
    pose, which are larger: with these two alone a small network learns the
    pose first and a constant shape that makes up for its mistakes.

    Args:
        loss_weight: Factor of the loss (which is in millimetres).
    """


    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss in millimetres."""
        return vertex_error_mm(outputs.neutral_vertices,
                               targets.neutral_vertices, 'l2')


@MODELS.register_module()
class NeutralLandmarkLoss(FaceLoss):
    r"""Squared distance of the landmarks of the neutral heads.

    $$
    \operatorname{mean}_i \lVert p_i(\beta) - p_i(\hat\beta) \rVert^2 / s^2
    $$

    over the 68 landmarks, each set around its own centre; $s$ is ``spread``.
    Unlike :class:`NeutralVertexLoss` it is about the face, which pictures
    show, and not about the back of the head; and its optimum for what cannot
    be seen well is the mean.

    Args:
        loss_weight: Factor of the loss; the mean head costs about 1.
        spread: By how much people differ, RMS, mm.
    """


    def __init__(self, loss_weight: float = 1.0, spread: float = 6.0) -> None:
        super().__init__(loss_weight)
        self.spread = spread

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss."""
        difference = 1000 * (outputs.neutral_landmarks
                             - targets.neutral_landmarks) / self.spread
        difference = difference - difference.mean(1, keepdim=True)
        return difference.square().sum(-1).mean()
