# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Losses that look through a network which never trains."""

from typing import Any

from torch import nn

from .base_loss import FaceLoss


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
