# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Landmarks of a region of the face, found in its pixels."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from mmtvface.geometry.landmarks import MIRROR

from .point_votes import PointVotes, cell_centers
from .resnet_encoder import BasicBlock, init_resnet_convs, residual_block

_CHANNELS = (32, 64, 64)
_LEAST_RADIUS = .02  # NDC; that of a face of two pixels


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
