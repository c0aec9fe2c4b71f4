# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""An encoder without batch statistics; importing it registers it."""
from mmengine.model import BaseModule
from torch import nn

from mmtvface.registry import MODELS


@MODELS.register_module()
class ToyPooledEncoder(BaseModule):
    """Pooled pixels, a linear map and a smooth step."""

    def __init__(self, out_channels=8):
        super().__init__()
        self.out_channels = out_channels
        self.body = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Flatten(),
            nn.Linear(48, out_channels), nn.Tanh())

    def forward(self, clips):
        return self.body(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
