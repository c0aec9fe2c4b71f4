# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A displacement map as a sum of learnt maps."""

import torch
from mmengine.model import BaseModule
from torch import nn

from mmtvface.registry import MODELS

from .detail_decoder import join_inputs


@MODELS.register_module()
class BasisDetailDecoder(BaseModule):
    """Displacement map of a face as a weighted sum of learnt maps.

    displacement = max_displacement * tanh(base + sum_k w_k basis_k), with
    weights w from jaw pose, expression and detail code by two linear layers:
    blend shapes for wrinkles. It cannot move a wrinkle, as the convolutions of
    :class:`DetailDecoder` can, but each texel learns by itself, so that thin
    lines appear within minutes instead of days, and a step costs a fraction.

    Args:
        num_detail: Length of the detail code.
        num_condition: Length of jaw pose (3) and expression code.
        size: Side S of the map.
        max_displacement: Bound in metres.
        num_basis: Learnt maps K.
        hidden_channels: Width between the linear layers.
        init_cfg: See mmengine's ``BaseModule``.
    """

    def __init__(self,
                 num_detail: int = 128,
                 num_condition: int = 53,
                 size: int = 128,
                 max_displacement: float = 0.003,
                 num_basis: int = 32,
                 hidden_channels: int = 128,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.num_detail = num_detail
        self.num_condition = num_condition
        self.size = size
        self.max_displacement = max_displacement
        self.weights = nn.Sequential(
            nn.Linear(num_condition + num_detail, hidden_channels),
            nn.ReLU(inplace=True), nn.Linear(hidden_channels, num_basis))
        # Maps start flat: smooth skin, and no noise to be unlearnt.
        self.base = nn.Parameter(torch.zeros(size, size))
        self.basis = nn.Parameter(torch.zeros(num_basis, size, size))

    def forward(self, jaw: torch.Tensor, expression: torch.Tensor,
                detail: torch.Tensor) -> torch.Tensor:
        """Decode the displacement.

        Args:
            jaw: (B, 3) axis-angle, radians.
            expression: (B, num_condition - 3).
            detail: (B, num_detail).

        Returns:
            (B, 1, S, S) metres along the normal, within
            ``+-max_displacement``.

        Raises:
            ValueError: If a shape is another one.
        """
        weights = self.weights(join_inputs(self, jaw, expression, detail))
        maps = self.base + torch.einsum('bk,krc->brc', weights, self.basis)
        return self.max_displacement * maps.tanh()[:, None]
