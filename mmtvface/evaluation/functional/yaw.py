# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Yaw of heads, and its bins."""

from collections.abc import Sequence

import torch


def head_yaw(rotation: torch.Tensor) -> torch.Tensor:
    """Turn of a head to the side.

    Args:
        rotation: (..., 3, 3) model space; the face looks along z, x points
            to the person's left.

    Returns:
        (...) degrees in [-180, 180], 0 for a face that looks into the
        camera, positive if it turns towards the person's left.
    """
    return torch.rad2deg(torch.atan2(rotation[..., 0, 2], rotation[..., 2, 2]))


def bin_names(edges: Sequence[float]) -> list[str]:
    """Names such as '0_30' of the bins between edges.

    Raises:
        ValueError: If there are fewer than two edges, or they do not grow.
    """
    if len(edges) < 2 or any(
            not low < high
            for low, high in zip(edges, edges[1:], strict=False)):
        raise ValueError('yaw_bins must be at least two increasing edges such '
                         f'as (0, 30, 60, 90), but they are {tuple(edges)}.')
    return [f'{low:g}_{high:g}'
            for low, high in zip(edges, edges[1:], strict=False)]


def bin_index(yaw: torch.Tensor, edges: Sequence[float]) -> torch.Tensor:
    """Bin of each angle: [e0, e1], (e1, e2], ..., by the absolute value.

    Args:
        yaw: (N,) degrees.
        edges: K + 1 increasing edges. What lies beyond the last counts in the
            last bin: the three bins of AFLW2000-3D hold all of its images,
            some of which are turned by more than 90 degrees.

    Returns:
        (N,) int64, 0..K - 1; -1 for NaN and what is smaller than ``e0``.
    """
    size = yaw.abs()
    inner = torch.as_tensor(edges[1:-1], dtype=size.dtype, device=size.device)
    index = torch.bucketize(size.nan_to_num(), inner)
    return torch.where(size >= edges[0], index, -1)
