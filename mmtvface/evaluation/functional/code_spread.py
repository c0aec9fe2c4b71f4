# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How constant a code is over the frames of a clip."""

import torch


def code_spread(codes: torch.Tensor) -> torch.Tensor:
    """Largest distance from the mean code, over the mean code's norm.

    Args:
        codes: (t, C).

    Returns:
        () 0.05 means constant to within 5 % of its norm; 0 for one frame
        or for codes that are all zero.
    """
    mean = codes.mean(0)
    distance = (codes - mean).norm(dim=-1).amax()
    return distance / mean.norm().clamp(min=1e-12)
