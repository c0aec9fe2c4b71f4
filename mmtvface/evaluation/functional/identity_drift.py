# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Drift of the neutral head over the frames of a clip."""

import torch
from torch import nn

from .vertex_error import MM_PER_M

_CHUNK = 64


@torch.no_grad()
def identity_drift(flame: nn.Module, shape: torch.Tensor) -> torch.Tensor:
    """Distance of every frame's neutral head from the clip's mean head.

    Neutral heads are not aligned: without a pose, all of them are in the
    head model's own frame. They depend linearly on the code, so that the mean
    head is that of the mean code.

    Args:
        flame: A :class:`~mmtvface.heads.FLAME`.
        shape: (t, S) shape codes.

    Returns:
        (t,) mean over the vertices, mm.
    """
    def heads(codes: torch.Tensor) -> torch.Tensor:
        return flame(codes, codes.new_zeros(len(codes), flame.num_expression),
                     codes.new_zeros(len(codes), 6)).vertices

    # The mean head of a long clip is not lost to rounding.
    middle = heads(shape.double().mean(0, keepdim=True).to(shape))
    distances = [(heads(part) - middle).norm(dim=-1).mean(1)
                 for part in shape.split(_CHUNK)]
    return MM_PER_M * torch.cat(distances)
