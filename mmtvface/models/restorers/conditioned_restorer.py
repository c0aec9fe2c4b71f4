# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A restorer of RGB clips that is given more than their colours."""

import torch
from mmengine.model import BaseModule
from torch import nn

from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

from ..encoders import load_restorer


@MODELS.register_module()
class ConditionedRestorer(BaseModule):
    """Give any video restorer further channels, such as rendered normals.

    A small network sees all channels of a frame and adds what it makes of
    them to its colours, which then go through the restorer. Its last layer
    begins as zero: the whole begins as the restorer alone, pretrained weights
    included, whatever the condition is.

    For the ``generator`` of a model of mmagic, whose restorers take three
    channels and hand their input on to the output.

    Args:
        restorer: Config of a module (n, t, 3, h, w) -> (n, t, 3, H, W), such
            as ``dict(type='mmagic.BasicVSRPlusPlusNet')``.
        condition_channels: Channels behind the three colours.
        mid_channels: Of the small network.
        restorer_pretrained: Weights of the restorer, see
            :func:`mmtvface.models.encoders.load_restorer`; read by
            :meth:`init_weights` only.
        init_cfg: See mmengine's ``BaseModule``.
    """

    def __init__(self,
                 restorer: dict,
                 condition_channels: int = 3,
                 mid_channels: int = 32,
                 restorer_pretrained: str | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.restorer = MODELS.build(restorer)
        self.in_channels = 3 + condition_channels
        self.restorer_pretrained = restorer_pretrained
        self.hint = nn.Sequential(
            nn.Conv2d(self.in_channels, mid_channels, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(mid_channels, 3, 3, padding=1))
        self._begin_without_hint()

    def _begin_without_hint(self) -> None:
        nn.init.zeros_(self.hint[-1].weight)
        nn.init.zeros_(self.hint[-1].bias)

    def init_weights(self) -> None:
        """Initialise both parts, then load ``restorer_pretrained``."""
        first = not self.is_init
        super().init_weights()
        if first:
            self._begin_without_hint()
            if self.restorer_pretrained is not None:
                load_restorer(self.restorer, self.restorer_pretrained)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Restore clips.

        Args:
            clips: (n, t, 3 + condition_channels, h, w), RGB first, in
                [0, 1].

        Returns:
            (n, t, 3, H, W).

        Raises:
            ValueError: If the number of channels is another one.
        """
        check_shape('clips', clips, ('n', 't', self.in_channels, 'h', 'w'))
        frames = clips.flatten(0, 1)
        hinted = frames[:, :3] + self.hint(frames)
        return self.restorer(hinted.unflatten(0, clips.shape[:2]))
