# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Angles between the normals of a reconstruction and the truth."""

import torch
import torch.nn.functional as F


def angle_between(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Angle of vectors, from the chord: exact for small angles too.

    Args:
        first: (B, 3, ...) not zero, any length.
        second: The same shape.

    Returns:
        (B, ...) degrees.
    """
    first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    half = ((first - second).norm(dim=1) / 2).clamp(max=1)
    return torch.rad2deg(2 * half.asin())


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of (B, ...) values where a mask is on, frame by frame.

    Returns:
        (B,); NaN where the mask is empty.
    """
    mask = mask.to(values.dtype).flatten(1)
    return (values.flatten(1) * mask).sum(1) / mask.sum(1)
