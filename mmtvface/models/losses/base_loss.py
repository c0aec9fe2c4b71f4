# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What every loss of a face reconstructor has in common.

A loss reads two dictionaries and returns one weighted scalar. B = n * t
frames, clip by clip; ``num_copies`` is c >= 1 where the reconstructor
appended c - 1 variants of the same frames (shape consistency), so the first
axis of everything is then c * n * t long, copy by copy.

outputs: ``codes`` (dict name -> (B, C), light (B, 9, 3)), ``vertices``
(B, V, 3) metres, ``landmarks2d`` (B, 68, 2) and ``landmarks3d`` (B, 68, 3)
NDC, ``albedo`` (B, 3, S, S), ``rendered_images``, ``albedo_images``,
``shading`` and ``overlay_images`` (B, 3, H, W), ``alpha`` and ``face_mask``
(B, 1, H, W), ``landmark_log_sigma`` (B, 68) logarithm of the expected errors
in NDC, ``located_landmarks`` and, before close looks, ``located_first``
(B, 68, 3) of a
:class:`~mmtvface.models.encoders.LandmarkLocator`, ``neutral_vertices``
(B, V, 3) and ``neutral_landmarks`` (B, 68, 3) metres of the neutral heads,
``expression_landmarks`` (B, 68, 3) metres of the mean head with the frames'
expression and jaw, without their pose,
``num_frames`` t and ``num_copies`` c (integers). Of the detail stage, in the
UV map: ``displacement`` (B, 1, S, S) metres as decoded, without any mask,
``uv_normals`` (B, 3, S, S), ``uv_shading`` (B, 3, S, S), ``uv_images`` (B, 3,
S, S) albedo (a constant) times ``uv_shading``, and ``face_mask_uv`` (1, 1, S,
S) where the face and the eyes are.

targets: ``images`` (B, 3, H, W) RGB [0, 1], ``landmarks`` (B, 68, 3) NDC and
visibility, and where the data has them ``masks`` (B, 1, H, W), ``codes``,
``vertices``, ``neutral_vertices``, ``neutral_landmarks``,
``expression_landmarks`` and ``displacement`` (B, 1, S, S) metres. Of the
detail stage: ``uv_images`` (B, 3, S, S) the input sampled at the coarse
surface and ``uv_visibility`` (B, 1, S, S) where that shows skin.
Copies exchange detail only, so both are the same for all copies.
"""

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from mmtvface.structures import FlameCodeLayout

# Frames of the published batch: 2 clips of 5, doubled by the exchange of
# codes. What is summed over the batch there is a mean times this number here.
REFERENCE_FRAMES = 20


def check_code_name(loss: nn.Module, name: str) -> str:
    """Return the name of a code.

    Raises:
        ValueError: If there is no such code; names the loss and the codes.
    """
    codes = list(FlameCodeLayout().sizes)
    if name not in codes:
        raise ValueError(f'{type(loss).__name__}: there is no code {name!r}; '
                         f'the codes are {codes}.')
    return name


class FaceLoss(nn.Module, metaclass=ABCMeta):
    """Weighted scalar loss on the outputs of a reconstructor.

    Attributes:
        requires: Keys of ``outputs`` that are read; the reconstructor
            computes (and renders) only what some loss asks for.
        requires_targets: Keys of ``targets`` without which the loss is
            undefined.

    Args:
        loss_weight: Factor of the loss, not negative. A reconstructor leaves
            out losses of weight 0.

    Raises:
        ValueError: If the weight is negative.
    """

    requires: ClassVar[tuple[str, ...]] = ()
    requires_targets: ClassVar[tuple[str, ...]] = ()

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not loss_weight >= 0:
            raise ValueError(f'{type(self).__name__}: loss_weight must not be '
                             f'negative, but it is {loss_weight}.')
        self.loss_weight = float(loss_weight)

    @abstractmethod
    def compute(self, outputs: Mapping[str, Any],
                targets: Mapping[str, Any]) -> torch.Tensor:
        """Unweighted scalar loss."""

    def forward(self, outputs: Mapping[str, Any],
                targets: Mapping[str, Any]) -> torch.Tensor:
        """Weighted scalar loss.

        Args:
            outputs: See the module's description.
            targets: See the module's description.

        Returns:
            () scalar tensor.
        """
        return self.loss_weight * self.compute(outputs, targets)

    def extra_repr(self) -> str:
        """Show the weight when printed."""
        return f'loss_weight={self.loss_weight}'


def first_copy(values: torch.Tensor, outputs: Mapping[str,
                                                      Any]) -> torch.Tensor:
    """Rows of the original frames, without appended variants.

    Args:
        values: (c * B, ...).
        outputs: May hold ``num_copies`` c (1 if absent).

    Returns:
        (B, ...) view.
    """
    return values[:len(values) // outputs.get('num_copies', 1)]


def by_clip(values: torch.Tensor, outputs: Mapping[str, Any]) -> torch.Tensor:
    """Original frames as clips.

    Args:
        values: (c * n * t, ...).
        outputs: Holds ``num_frames`` t, may hold ``num_copies`` c.

    Returns:
        (n, t, ...) view.
    """
    return first_copy(values, outputs).unflatten(
        0, (-1, outputs['num_frames']))
