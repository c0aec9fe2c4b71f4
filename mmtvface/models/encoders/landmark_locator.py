# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Landmarks of the picture, found in feature maps."""

from collections.abc import Sequence

import torch
from torch import nn

from mmtvface.geometry.landmarks import NUM_LANDMARKS
from mmtvface.utils.host_sync import constant

# Features of a landmark: x, y and how far the votes are apart.
_VALUES = 3
# A tenth of the crop's half: what matters of a landmark is small, and an
# optimizer like Adam would need long to learn large weights for it.
_UNIT = .1


class LandmarkLocator(nn.Module):
    """Where every cell of the maps votes the 68 landmarks to be.

    Coarse maps know what they see, fine ones where it is: all are brought to
    the size of the finest and added (feature pyramid, Lin et al., CVPR 2017).
    From the sum every cell tells how far away each landmark is and how much
    this vote counts; the landmark is the mean of the votes under the softmax
    of their weights. Averages over a coarse grid, which regressors usually
    read, do not say where an eyelid ends to a fiftieth of a face; who
    somebody is, and how wide a mouth, are differences of that size.

    Args:
        channels: Of the maps, finest first.
        width: Channels of the sum.

    Attributes:
        out_channels: Length of a feature vector.
    """

    out_channels = NUM_LANDMARKS * _VALUES

    def __init__(self, channels: Sequence[int], width: int = 96) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Conv2d(count, width, 1, bias=index == 0)
            for index, count in enumerate(channels))
        self.smooth = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.votes = nn.Conv2d(width, NUM_LANDMARKS * _VALUES, 1)

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features of frames.

        Args:
            levels: (B, channels, h, w) maps, finest first.

        Returns:
            (B, out_channels), at least float32; see :meth:`read`.
        """
        size = levels[0].shape[-2:]
        total = self.lateral[0](levels[0])
        for conv, maps in zip(self.lateral[1:], levels[1:], strict=True):
            total = total + nn.functional.interpolate(
                conv(maps), size, mode='bilinear')
        votes = self.votes(self.smooth(total))
        votes = votes.to(torch.promote_types(
            votes.dtype, torch.float32)).unflatten(
                1, (_VALUES, NUM_LANDMARKS)).flatten(3)
        weights = votes[:, 0].softmax(-1)
        centres = torch.stack(torch.meshgrid(*(
            (2 * torch.arange(count, dtype=votes.dtype, device=votes.device)
             + 1) / count - 1
            for count in reversed(size)), indexing='xy')).flatten(1)
        cell = constant((2 / size[1], 2 / size[0]), votes)
        places = centres[:, None] + cell[:, None, None] * votes[:, 1:]
        mean = (weights[:, None] * places).sum(-1)
        spread = (weights[:, None] * (places - mean[..., None]).square()).sum(
            (1, -1)).clamp(min=1e-6).sqrt()
        values = torch.cat([mean, spread[:, None]], 1)
        return (values.transpose(1, 2) / _UNIT).flatten(1)

    @classmethod
    def read(cls, features: torch.Tensor) -> torch.Tensor:
        """What features that end with this module's say.

        Args:
            features: (..., C).

        Returns:
            (..., 68, 3): x and y of the landmarks and the spread of their
            votes (root of the mean square), NDC.
        """
        return _UNIT * features[..., -cls.out_channels:].unflatten(
            -1, (NUM_LANDMARKS, _VALUES))
