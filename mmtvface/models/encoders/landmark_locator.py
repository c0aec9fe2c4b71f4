# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Landmarks of the picture, found in feature maps and by close looks."""

from collections.abc import Sequence

import torch
from torch import nn

from mmtvface.geometry.landmarks import NUM_LANDMARKS

from .close_look import CloseLook
from .point_votes import NUM_VALUES, PointVotes

# A tenth of the crop's half: what matters of a landmark is small, and an
# optimizer like Adam would need long to learn large weights for it.
_UNIT = .1
_FEATURES = NUM_LANDMARKS * NUM_VALUES


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
