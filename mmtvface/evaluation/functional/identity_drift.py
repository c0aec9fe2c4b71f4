# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Identity: drift and spread over the frames of a clip, neutral heads."""

import torch
from torch import nn

from .scan_error import NOW_LANDMARKS
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


_FIRST_STATIC = 17


@torch.no_grad()
def neutral_heads(flame: nn.Module, shape: torch.Tensor
                  ) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices and NoW landmarks of neutral heads.

    Args:
        flame: A :class:`~mmtvface.heads.FLAME` or what is called
            like it.
        shape: (B, S) shape codes.

    Returns:
        Vertices (B, V, 3) and the seven landmarks (B, 7, 3) of
        ``NOW_LANDMARK_NAMES``, metres.
    """
    expression = shape.new_zeros(len(shape), flame.num_expression)
    head = flame(shape, expression, shape.new_zeros(len(shape), 6))
    index = [_FIRST_STATIC + landmark for landmark in NOW_LANDMARKS]
    return head.vertices, head.landmarks3d[:, index]
