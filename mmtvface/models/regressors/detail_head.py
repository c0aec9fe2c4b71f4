# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Regressor from frame features to detail codes."""

import torch
from mmengine.model import BaseModule
from torch import nn

from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape


@MODELS.register_module()
class DetailHead(BaseModule):
    """Two-layer regressor of the detail code.

    Linear, ReLU, Linear (DECA, Feng et al., SIGGRAPH 2021, section 4.2,
    E_d), named ``layers.0`` and ``layers.2`` as in the published encoder.

    Args:
        in_channels: Length of the features of a frame.
        num_detail: Length of the code.
        hidden_channels: Width of the hidden layer.
        init_cfg: See mmengine's ``BaseModule``.
    """

    def __init__(self,
                 in_channels: int,
                 num_detail: int = 128,
                 hidden_channels: int = 1024,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.num_detail = num_detail
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden_channels), nn.ReLU(inplace=True),
            nn.Linear(hidden_channels, num_detail))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Regress the code of every frame.

        Args:
            features: (n, t, in_channels).

        Returns:
            (n, t, num_detail).

        Raises:
            ValueError: If the shape is another one.
        """
        check_shape('features', features, ('n', 't', self.in_channels))
        return self.layers(features)
