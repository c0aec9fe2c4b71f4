# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Points of a picture, for which the cells of feature maps vote."""

from collections.abc import Sequence

import torch
from torch import nn

from mmtvface.utils.host_sync import constant

#: Values of a point: x, y and how far the votes are apart.
NUM_VALUES = 3


def cell_centers(height: int, width: int, like: torch.Tensor
                 ) -> torch.Tensor:
    """(2, height, width) x and y of the middles of cells, -1 to 1."""
    return torch.stack(torch.meshgrid(*(
        (2 * torch.arange(count, dtype=like.dtype, device=like.device)
         + 1) / count - 1 for count in (width, height)), indexing='xy'))


class PointVotes(nn.Module):
    """Where every cell of the maps votes the points to be.

    Coarse maps know what they see, fine ones where it is: all are brought to
    the size of the finest and added (feature pyramid, Lin et al., CVPR 2017).
    From the sum every cell tells how far away each point is and how much this
    vote counts; the point is the mean of the votes under the softmax of their
    weights.

    Args:
        channels: Of the maps, finest first.
        count: P, number of points.
        width: Channels of the sum.
    """

    def __init__(self, channels: Sequence[int], count: int,
                 width: int = 96) -> None:
        super().__init__()
        self.count = count
        self.lateral = nn.ModuleList(
            nn.Conv2d(channels_in, width, 1, bias=index == 0)
            for index, channels_in in enumerate(channels))
        self.smooth = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.votes = nn.Conv2d(width, count * NUM_VALUES, 1)

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Points of frames.

        Args:
            levels: (B, channels, h, w) maps, finest first.

        Returns:
            (B, P, 3), at least float32: x, y, -1 to 1 from border to border
            of the maps, and the spread of the votes (root of the mean
            square).
        """
        size = levels[0].shape[-2:]
        total = self.lateral[0](levels[0])
        for conv, maps in zip(self.lateral[1:], levels[1:], strict=True):
            total = total + nn.functional.interpolate(
                conv(maps), size, mode='bilinear')
        votes = self.votes(self.smooth(total))
        votes = votes.to(torch.promote_types(
            votes.dtype, torch.float32)).unflatten(
                1, (NUM_VALUES, self.count)).flatten(3)
        weights = votes[:, 0].softmax(-1)
        cell = constant((2 / size[1], 2 / size[0]), votes)
        places = (cell_centers(*size, votes).flatten(1)[:, None]
                  + cell[:, None, None] * votes[:, 1:])
        mean = (weights[:, None] * places).sum(-1)
        spread = (weights[:, None] * (places - mean[..., None]).square()).sum(
            (1, -1)).clamp(min=1e-6).sqrt()
        return torch.cat([mean, spread[:, None]], 1).transpose(1, 2)
