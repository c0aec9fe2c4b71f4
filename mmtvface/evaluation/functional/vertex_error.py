# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Errors of vertices and normals."""

import torch
import torch.nn.functional as F

from mmtvface.geometry.alignment import align_rigid, align_similarity
from mmtvface.utils.checks import check_shape

MM_PER_M = 1000.


def vertex_error(pred: torch.Tensor,
                 target: torch.Tensor,
                 align: str = 'rigid') -> torch.Tensor:
    """Mean distance of corresponding vertices, mesh by mesh.

    Args:
        pred: (N, V, 3) metres.
        target: (N, V, 3) metres.
        align: ``'rigid'``: ``pred`` is first rotated and shifted onto
            ``target`` with least squares; ``'similarity'``: scaled too (a
            weak-perspective camera cannot tell size); ``'none'``.

    Returns:
        (N,) millimetres; NaN where a mesh is not finite.

    Raises:
        ValueError: If shapes differ or ``align`` is unknown.
    """
    check_shape('pred', pred, ('N', 'V', 3))
    check_shape('target', target, pred.shape)
    aligners = dict(rigid=align_rigid, similarity=align_similarity, none=None)
    if align not in aligners:
        raise ValueError(f'align must be one of {tuple(aligners)}, but it is '
                         f'{align!r}.')
    # Double precision: the error of a good fit is a small difference.
    pred, target = pred.double(), target.double()
    finite = (pred.isfinite() & target.isfinite()).flatten(1).all(1)
    error = torch.full_like(pred[:, 0, 0], torch.nan)
    if finite.any():
        moved = pred[finite]
        if aligners[align] is not None:
            moved = aligners[align](moved, target[finite])
        distance = (moved - target[finite]).norm(dim=-1)
        error[finite] = distance.mean(1) * MM_PER_M
    return error


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
