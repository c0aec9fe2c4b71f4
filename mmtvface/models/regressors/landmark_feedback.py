# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Codes corrected by how far they miss the landmarks."""

import torch
from mmengine.model import BaseModule
from torch import nn

from mmtvface.geometry.landmarks import NUM_LANDMARKS
from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.heads import LandmarkHead
from mmtvface.heads.landmark_embedding import contour_index
from mmtvface.models.encoders import LandmarkLocator
from mmtvface.structures import FlameCodeLayout
from mmtvface.utils.host_sync import constant

_UNIT = .003  # metres by which landmarks are missed
_LEAST_SCALE = 4.  # NDC units per metre; half that of a small face
_LARGE = 5.  # units: more than that is a landmark that was not found


def _bounded(values: torch.Tensor) -> torch.Tensor:
    return _LARGE * (values / _LARGE).tanh()


class LandmarkFeedback(BaseModule):
    """One correction of codes, a learnt step of a fit.

    The head of the codes is projected; what its landmarks miss of those that
    the encoder located is turned into the axes of the head, in metres, and a
    small network tells from it what to change. As in iterative error feedback
    (Carreira et al., CVPR 2016) the same mistakes look the same for whatever
    pose, camera and expression, so that they are nearly linear in the
    corrections. Without this a regressor has to learn by itself what all of
    them together do to the picture, and who somebody is, the smallest of
    their effects, is learnt last, if at all.

    Call :meth:`start` before the training: a new one changes next to nothing.

    Args:
        layout: The codes.
        hidden_channels: Width of the network.
        init_cfg: See mmengine's ``BaseModule``.
    """

    def __init__(self, layout: FlameCodeLayout, hidden_channels: int = 512,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.layout = layout
        # Misses in x, y, z of the head, spread of the votes; rotation
        self.layers = nn.Sequential(
            nn.Linear(4 * NUM_LANDMARKS + 9, hidden_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_channels, layout.total + 1))

    def start(self) -> None:
        """Make the module change next to nothing."""
        nn.init.normal_(self.layers[2].weight, std=1e-3)
        nn.init.zeros_(self.layers[2].bias)

    def forward(self, head: LandmarkHead, codes: torch.Tensor,
                features: torch.Tensor, unit: torch.Tensor
                ) -> tuple[torch.Tensor, torch.Tensor]:
        """Corrected codes of frames.

        Args:
            head: The head of the codes.
            codes: (B, total); what they miss is a constant, without
                gradient.
            features: (B, C) of an encoder with a :class:`LandmarkLocator`.
            unit: (total,) of the corrections.

        Returns:
            (B, total), and (B, 1) by how much the logarithm of the frame's
            confidence changes.
        """
        parts = self.layout.split(codes.detach())
        rotation = axis_angle_to_matrix(parts['pose'][:, :3])
        found = head.project(parts, contour_index(rotation))
        scale = parts['cam'][:, :1, None].abs().clamp(min=_LEAST_SCALE)
        points, spread = LandmarkLocator.read(
            features.detach()).split([2, 1], -1)
        missed = (points - found) / scale * constant((1., -1.), points)
        missed = _bounded(missed @ rotation[:, :2] / _UNIT)
        spread = _bounded(spread / scale / _UNIT)
        seen = torch.cat([missed.flatten(1), spread.flatten(1),
                          rotation.flatten(1)], 1)
        change, confidence = self.layers(seen).split(
            [self.layout.total, 1], 1)
        return codes + change * unit, confidence
