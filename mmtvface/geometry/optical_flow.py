# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Measures of optical flow fields."""

import torch


def end_point_error(flow: torch.Tensor, truth: torch.Tensor,
                    valid: torch.Tensor) -> torch.Tensor:
    """Mean distance of (B, 2, h, w) flows where ``valid`` (B, h, w) holds.

    Zero where nothing is valid. The gradient of a perfect pixel is finite.
    """
    squares = (flow - truth).square().sum(1)
    distance = (squares + 1e-12).sqrt()
    return (distance * valid).sum() / valid.sum().clamp(min=1)


def roughness(flow: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of neighbours, one of which is not valid."""
    terms = []
    for axis in (-1, -2):
        known = valid.unsqueeze(1)
        length = flow.shape[axis] - 1
        unknown = ~(known.narrow(axis, 0, length)
                    & known.narrow(axis, 1, length))
        terms.append((flow.diff(dim=axis).abs() * unknown).mean())
    return sum(terms)
