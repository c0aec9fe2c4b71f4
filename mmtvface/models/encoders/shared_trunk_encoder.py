# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A second encoder on the trunk of a first."""

import torch
from mmengine.model import BaseModule
from torch import nn

from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

from .pretrained import load_resnet_stages
from .resnet_encoder import has_pretrained_init, resnet_stages


@MODELS.register_module()
class SharedTrunkEncoder(BaseModule):
    """Residual stages of its own on the maps of another encoder's trunk.

    For the detail branch: what is most of a temporal encoder's work, the
    propagation over the clip at high resolution, is done once for both
    codes. The maps have a quarter of the image's resolution, where wrinkles
    are still seen. Deviation from the published systems, whose detail
    encoder repeats the whole network with weights of its own.

    Args:
        in_channels: Channels of the trunk's maps; a reconstructor fills them
            in.
        depth: ResNet depth: 18, 34, 50 or 101.
        base_channels: Width of the first residual stage.
        pool_size: Side of the grid of averages that becomes the feature
            vector; 1 is the global average.
        resnet_pretrained: torchvision-style ResNet weights whose ``layer1``
            to ``layer4`` are taken: a local path or URL, read by
            :meth:`init_weights` only.
        init_cfg: See mmengine's ``BaseModule``.

    Attributes:
        out_channels: Length of a feature vector.

    Raises:
        ValueError: If an option is not possible.
    """

    def __init__(self,
                 in_channels: int,
                 depth: int = 50,
                 base_channels: int = 64,
                 pool_size: int = 1,
                 resnet_pretrained: str | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if pool_size < 1:
            raise ValueError('pool_size must be at least 1, but it is '
                             f'{pool_size}.')
        self.in_channels = in_channels
        self.resnet_pretrained = resnet_pretrained
        stages, channels = resnet_stages(depth, in_channels, base_channels)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.pool = nn.AdaptiveAvgPool2d(pool_size)
        self.out_channels = channels * pool_size**2

    def init_weights(self) -> None:
        """Run ``init_cfg``, then load ``resnet_pretrained``.

        A ``Pretrained`` entry of ``init_cfg`` is a whole encoder and wins.
        """
        first = not self.is_init
        super().init_weights()
        if (first and self.resnet_pretrained is not None
                and not has_pretrained_init(self.init_cfg)):
            load_resnet_stages(self, self.resnet_pretrained)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Encode every frame.

        Args:
            maps: (B, in_channels or more, h, w): further channels, such as
                the pictures of close looks, are left out; not changed.

        Returns:
            (B, out_channels).

        Raises:
            ValueError: If the shape is another one.
        """
        maps = maps[:, :self.in_channels]
        check_shape('maps', maps, ('B', self.in_channels, 'h', 'w'))
        x = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return self.pool(x).flatten(1)
