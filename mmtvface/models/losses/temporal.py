# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Terms over the frames of a clip: one identity, smooth motion."""


import torch

from mmtvface.models.outputs import CoarseOutputs
from mmtvface.models.targets import Targets
from mmtvface.registry import MODELS

from .base_loss import FaceLoss, by_clip


def relative_deviation(codes: torch.Tensor) -> torch.Tensor:
    """How much a code varies within the clips, relative to its size.

    Args:
        codes: (n, t, C).

    Returns:
        () standard deviation over the frames over the norm; 0 if constant.
    """
    with torch.no_grad():
        norm = codes.square().sum(-1).mean().clamp(min=1e-12)
        spread = codes - codes.mean(1, keepdim=True)
        return (spread.square().sum(-1).mean() / norm).sqrt()


def acceleration_energy(values: torch.Tensor) -> torch.Tensor:
    r"""Mean squared second difference over time.

    $$
    \operatorname{mean}_{t} (x_{t+1} - 2 x_t + x_{t-1})^2
    $$

    Args:
        values: (n, t, ...) any quantity per frame.

    Returns:
        () in squared units of ``values``; 0 if t < 3.
    """
    if values.shape[1] < 3:
        return 0 * values.sum()
    second = values[:, 2:] - 2 * values[:, 1:-1] + values[:, :-2]
    return second.square().mean()


@MODELS.register_module()
class TemporalSmoothnessLoss(FaceLoss):
    """Mean squared acceleration of vertices (mm) or landmarks (NDC).

    Args:
        loss_weight: Factor of the loss.
        source: ``'vertices'``, ``'landmarks2d'`` or ``'landmarks3d'``.
        relative_to_target: Penalise the difference from the acceleration of
            the true vertices or landmarks instead of all motion. The targets
            must hold them (true 3D landmarks are not kept in the data).

    Raises:
        ValueError: If an option is unknown or the combination undefined.
    """

    def __init__(self,
                 loss_weight: float = 1.0,
                 source: str = 'vertices',
                 relative_to_target: bool = False) -> None:
        super().__init__(loss_weight)
        targets = {'vertices': 'vertices', 'landmarks2d': 'landmarks'}
        known = (*targets, 'landmarks3d')
        if source not in known or (relative_to_target
                                   and source not in targets):
            raise ValueError(
                f'TemporalSmoothnessLoss: source must be one of {known}, with '
                f'relative_to_target one of {tuple(targets)}, but it is '
                f'{source!r}.')
        self.source = source
        self.target = targets[source] if relative_to_target else None

    def compute(self, outputs: CoarseOutputs,
                targets: Targets) -> torch.Tensor:
        """Unweighted loss, see :func:`acceleration_energy`."""
        values = by_clip(getattr(outputs, self.source), outputs)
        if self.target is not None:
            goal = by_clip(getattr(targets, self.target), outputs)
            dims = values.shape[-1]
            values = values - goal[..., :dims]
            if self.target == 'landmarks':
                # A landmark that is unseen in a frame moves with nothing.
                visible = goal[..., dims:].amin(1, keepdim=True) > 0
                values = torch.where(visible, values, 0.)
        scale = 1000. if self.source == 'vertices' else 1.
        return acceleration_energy(values * scale)
