# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Landmarks of the picture, found in feature maps and by close looks."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from mmtvface.geometry.landmarks import MIRROR, NUM_LANDMARKS
from mmtvface.utils.host_sync import constant

from .resnet_encoder import BasicBlock, init_resnet_convs, residual_block

#: Values of a point: x, y and how far the votes are apart.
NUM_VALUES = 3
# A tenth of the crop's half: what matters of a landmark is small, and an
# optimizer like Adam would need long to learn large weights for it.
_UNIT = .1
_FEATURES = NUM_LANDMARKS * NUM_VALUES
_CHANNELS = (32, 64, 64)
_LEAST_RADIUS = .02  # NDC; that of a face of two pixels


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


class CloseLook(nn.Module):
    """One region of the face, cut out where its landmarks are supposed.

    In the maps of the whole face a mouth is three cells wide, and its corners
    move by less than one. Here a small network of its own sees the pixels,
    centred and of one size, and votes at every second of them (as the heads
    of regions in Attention Mesh, Grishchenko et al., 2020). A left eye is
    the mirror image of a right one.

    Args:
        rows: Landmarks of the region.
        reach: Half of the side of the square, relative to the radius of the
            face: the root of the mean squared distance of its landmarks from
            their mean.
        size: Pixels along a side of what the network sees. Squares that have
            many more of them are sampled, not averaged.
        both_sides: Look at the mirrored landmarks, too, with the same
            weights.

    Attributes:
        rows: (P,) landmarks that are found.
    """

    rows: torch.Tensor

    def __init__(self, rows: Sequence[int], reach: float, size: int,
                 both_sides: bool = False) -> None:
        super().__init__()
        self.reach, self.size = reach, size
        self._count = len(rows)
        self.register_buffer('rows', torch.tensor([
            *rows, *(MIRROR[row] for row in rows if both_sides)]),
            persistent=False)
        first = _CHANNELS[0]
        self.enter = nn.Sequential(
            nn.Conv2d(3, first, 5, 2, 2, bias=False),
            nn.BatchNorm2d(first), nn.ReLU(inplace=True))
        self.blocks = nn.ModuleList([
            BasicBlock(first, first),
            *(residual_block(BasicBlock, *pair, 2)
              for pair in pairwise(_CHANNELS))])
        init_resnet_convs(self)
        self.points = PointVotes(_CHANNELS, len(rows), width=40)

    def forward(self, images: torch.Tensor, points: torch.Tensor
                ) -> torch.Tensor:
        """Landmarks of the region.

        Args:
            images: (B, 3, H, W) RGB in [0, 1].
            points: (B, 68, 2 or more) x and y in NDC of all landmarks, as
                far as they are known; without gradient.

        Returns:
            (B, P, 3) of :attr:`rows`: x, y and the spread of the votes, NDC.
        """
        points = points[..., :2]
        radius = (points - points.mean(1, keepdim=True)).square().sum(
            -1).mean(1).sqrt().clamp(min=_LEAST_RADIUS)
        half = (self.reach * radius)[:, None]
        # x, y of the middles, and along which half the patches' axes run
        frames = [torch.cat([points[:, rows].mean(1), sign * half, half], 1)
                  for sign, rows in zip(
                      (1, -1), self.rows.split(self._count), strict=False)]
        frame = torch.cat(frames)[:, None]
        images = torch.cat(len(frames) * [images.to(points.dtype)])
        centers = cell_centers(self.size, self.size, points)
        grid = frame[..., :2] + frame[..., 2:] * centers.flatten(1).T
        x = nn.functional.grid_sample(
            images, grid.unflatten(1, (self.size, self.size)),
            padding_mode='border', align_corners=False)
        x, levels = self.enter(x), []
        for block in self.blocks:
            x = block(x)
            levels.append(x)
        found = self.points(levels)
        found = torch.cat([frame[..., :2] + frame[..., 2:] * found[..., :2],
                           frame[..., 3:] * found[..., 2:]], -1)
        return torch.cat(found.chunk(len(frames)), 1)


class LandmarkLocator(PointVotes):
    """Where a picture shows the 68 landmarks.

    At first, every cell of the maps votes (:class:`PointVotes`). Averages
    over a coarse grid, which regressors usually read, do not say where an
    eyelid ends to a fiftieth of a face; who somebody is, and how wide a mouth
    is, are differences of that size. Then mouth and eyes are looked at in the
    picture itself (:class:`CloseLook`), where these say that they are.

    Args:
        channels: Of the maps, finest first.
        width: Channels of the sum of the maps.
        close_looks: Look at mouth and eyes again.

    Attributes:
        out_channels: Length of a feature vector: what was found at first,
            then the same after the close looks (equal without them).
    """

    out_channels = 2 * _FEATURES

    def __init__(self, channels: Sequence[int], width: int = 96,
                 close_looks: bool = False) -> None:
        super().__init__(channels, NUM_LANDMARKS, width)
        self.looks = nn.ModuleList([
            CloseLook(range(48, 68), reach=.8, size=56),
            CloseLook(range(36, 42), reach=.42, size=40, both_sides=True),
        ] if close_looks else [])

    def forward(self, levels: Sequence[torch.Tensor],
                images: torch.Tensor | None = None) -> torch.Tensor:
        """Features of frames.

        Args:
            levels: (B, channels, h, w) maps, finest first.
            images: (B, 3, H, W) RGB in [0, 1]; for close looks.

        Returns:
            (B, out_channels), at least float32; see :meth:`read`.
        """
        first = super().forward(levels)
        # What maps show is learnt from what was found at first.
        found = (first.detach() if self.looks else first).clone()
        for look in self.looks:
            found[:, look.rows] = look(images, first.detach())
        return torch.cat([first, found], 1).flatten(1) / _UNIT

    @classmethod
    def read(cls, features: torch.Tensor, first: bool = False
             ) -> torch.Tensor:
        """What features that end with this module's say.

        Args:
            features: (..., C).
            first: What was found before the close looks.

        Returns:
            (..., 68, 3): x and y of the landmarks and the spread of their
            votes (root of the mean square), NDC.
        """
        parts = features[..., -cls.out_channels:].unflatten(
            -1, (2, NUM_LANDMARKS, NUM_VALUES))
        return _UNIT * parts[..., 0 if first else 1, :, :]
