# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What encoders have in common, so that two of them can share work."""

from abc import abstractmethod

import torch
from mmengine.model import BaseModule

from .flow import Flows


class ClipEncoder(BaseModule):
    """Encoder in four steps, whose results a second encoder may use too.

    clips -> :meth:`prepare` -> :meth:`compute_flows` -> :meth:`trunk` ->
    :meth:`stages`. Calling the module runs all of them.

    Attributes:
        out_channels: Length of a feature vector.
        trunk_channels: Channels of the trunk's maps; None if they cannot be
            shared.
        with_flow: Whether the encoder computes optical flow itself (True),
            does without (False) or has to be given it (``'given'``).
        with_landmarks: Whether features end with those of a
            :class:`~.landmark_locator.LandmarkLocator`.
        close_looks: See :class:`~.lite_encoder.LiteTemporalEncoder`.
    """

    out_channels: int
    trunk_channels: int | None = None
    with_flow: bool | str = False
    with_landmarks: bool = False
    close_looks: float = 0.

    def prepare(self, clips: torch.Tensor) -> torch.Tensor:
        """What the other steps see: (n, t, 3, h, w) -> (n, t, 3, H, W)."""
        return clips

    def compute_flows(self, clips: torch.Tensor) -> Flows | None:
        """Flows between the frames of prepared clips.

        Args:
            clips: (n, t, 3, H, W) RGB in [0, 1].

        Returns:
            Forward and backward flows, see
            :func:`mmtvface.models.encoders.flow.estimate_flows`; None for
            encoders that compute none and for clips of one frame.
        """
        return None

    @abstractmethod
    def trunk(self, clips: torch.Tensor,
              flows: Flows | None = None) -> torch.Tensor:
        """Maps of every frame before the residual stages.

        Args:
            clips: (n, t, 3, H, W) RGB in [0, 1], prepared.
            flows: Of :meth:`compute_flows`; None: computed here if needed.

        Returns:
            (n * t, trunk_channels or more, h, w); what follows the channels
            is for :meth:`stages` alone.
        """

    @abstractmethod
    def stages(self, maps: torch.Tensor) -> torch.Tensor:
        """Features of the trunk's maps.

        Args:
            maps: Of :meth:`trunk`; not changed.

        Returns:
            (n * t, out_channels).
        """

    def forward(self, clips: torch.Tensor,
                flows: Flows | None = None) -> torch.Tensor:
        """Encode clips.

        Args:
            clips: (n, t, 3, h, w) RGB in [0, 1].
            flows: See :meth:`trunk`.

        Returns:
            (n, t, out_channels).

        Raises:
            ValueError: If a shape is not possible, or flows are lacking.
        """
        maps = self.trunk(self.prepare(clips), flows)
        return self.stages(maps).unflatten(0, clips.shape[:2])
