# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What every loss of a face reconstructor has in common.

A loss reads properties of the :mod:`~mmtvface.models.outputs` and the
:mod:`~mmtvface.models.targets` of a batch and returns one weighted scalar. A
new one is a file like this, and a line in the config,
``losses=dict(mouth=dict(type='MouthLoss', loss_weight=2.))``::

    @MODELS.register_module()
    class MouthLoss(FaceLoss):

        def compute(self, outputs: CoarseOutputs,
                    targets: Targets) -> torch.Tensor:
            return F.l1_loss(outputs.landmarks2d[:, 48:],
                             targets.landmarks[:, 48:, :2])
"""

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mmtvface.models.outputs import CoarseOutputs, DetailOutputs, Unavailable
from mmtvface.models.targets import Targets
from mmtvface.structures import FlameCodeLayout

Outputs = CoarseOutputs | DetailOutputs

# Frames of the published batch: 2 clips of 5, doubled by the exchange of
# codes. What is summed over the batch there is a mean times this number here.
REFERENCE_FRAMES = 20


def check_code_name(loss: nn.Module, name: str) -> str:
    """Return the name of a code.

    Raises:
        ValueError: If there is no such code; names the loss and the codes.
    """
    codes = list(FlameCodeLayout().sizes)
    if name not in codes:
        raise ValueError(f'{type(loss).__name__}: there is no code {name!r}; '
                         f'the codes are {codes}.')
    return name


class FaceLoss(nn.Module, metaclass=ABCMeta):
    """Weighted scalar loss on the outputs of a reconstructor.

    Args:
        loss_weight: Factor of the loss, not negative. A reconstructor leaves
            out losses of weight 0.

    Raises:
        ValueError: If the weight is negative.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not loss_weight >= 0:
            raise ValueError(f'{type(self).__name__}: loss_weight must not be '
                             f'negative, but it is {loss_weight}.')
        self.loss_weight = float(loss_weight)

    @abstractmethod
    def compute(self, outputs: Outputs, targets: Targets) -> torch.Tensor:
        """Unweighted scalar loss."""

    def forward(self, outputs: Outputs, targets: Targets) -> torch.Tensor:
        """Weighted scalar loss ()."""
        return self.loss_weight * self.compute(outputs, targets)

    def extra_repr(self) -> str:
        """Show the weight when printed."""
        return f'loss_weight={self.loss_weight}'


class FrozenNetworkLoss(FaceLoss):
    """Loss with a frozen network.

    The network stays in evaluation mode, gets no gradient, and is not part
    of checkpoints: it is large and every user of the loss has its file.

    Args:
        network: The network, with its weights.
        loss_weight: Factor of the loss.
    """

    def __init__(self, network: nn.Module, loss_weight: float) -> None:
        super().__init__(loss_weight)
        self.network = network.requires_grad_(False).eval()
        self._register_state_dict_hook(_drop_network)

    def train(self, mode: bool = True) -> nn.Module:
        """Switch the mode; the network stays in evaluation mode."""
        super().train(mode)
        self.network.eval()
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str,
                              *args: Any) -> None:
        # What checkpoints leave out is not missing.
        own = self.network.state_dict(prefix=f'{prefix}network.')
        for key, value in own.items():
            state_dict.setdefault(key, value)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _drop_network(module: nn.Module, state: dict[str, Any], prefix: str,
                  *_: Any) -> None:
    for key in [key for key in state if key.startswith(f'{prefix}network.')]:
        del state[key]


def compute_losses(losses: Mapping[str, nn.Module], outputs: Outputs,
                   targets: Targets) -> dict[str, torch.Tensor]:
    """All losses of a batch.

    Args:
        losses: Name -> loss.
        outputs: Of the batch.
        targets: Of the batch.

    Returns:
        ``loss_{name}`` -> (), in the same order.

    Raises:
        ValueError: If a loss reads what model or data do not have; names the
            loss, what it reads and the remedy.
    """
    values = {}
    for name, loss in losses.items():
        remedy = f'or leave the loss out (losses=dict({name}=None)).'
        try:
            values[f'loss_{name}'] = loss(outputs, targets)
        except Unavailable as error:
            raise ValueError(f"The loss '{name}' {error}, {remedy}"
                             ) from error
        except AttributeError as error:
            if error.obj is not outputs and error.obj is not targets:
                raise
            there = [x for x in dir(error.obj) if not x.startswith('_')]
            raise ValueError(
                f"The loss '{name}' reads {error.name!r}, but in this stage "
                f'there are only {there}. Use it in the other stage, {remedy}'
            ) from error
    return values


def first_copy(values: torch.Tensor, outputs: Outputs) -> torch.Tensor:
    """Values of the original frames, without appended variants.

    Args:
        values: (c * B, ...).
        outputs: Of c copies.

    Returns:
        (B, ...) view.
    """
    return values[:len(values) // outputs.num_copies]


def by_clip(values: torch.Tensor, outputs: Outputs) -> torch.Tensor:
    """Original frames as clips.

    Args:
        values: (c * n * t, ...).
        outputs: Of c copies of clips of t frames.

    Returns:
        (n, t, ...) view.
    """
    return first_copy(values, outputs).unflatten(
        0, (-1, outputs.num_frames))
