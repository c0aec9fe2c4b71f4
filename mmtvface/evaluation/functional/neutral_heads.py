# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Neutral heads: a shape code without expression and pose."""

import torch
from torch import nn

from .scan_error import NOW_LANDMARKS

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
