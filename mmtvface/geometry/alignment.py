# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Least-squares alignment of corresponding points (Procrustes).

The closed form by singular value decomposition of Umeyama, "Least-squares
estimation of transformation parameters between two point patterns", PAMI
1991, equations 38 to 43, batched. NumPy arrays and torch tensors are both
accepted and answered in kind; with tensors everything is differentiable as
long as the singular values differ.
"""

from typing import NamedTuple, TypeVar

import numpy as np
import torch

Array = TypeVar('Array', torch.Tensor, np.ndarray)


class Similarity(NamedTuple):
    """The map ``x -> scale * rotation @ x + translation``.

    Attributes:
        scale: (...,), ones if the alignment was rigid.
        rotation: (..., D, D), determinant +1.
        translation: (..., D).
    """

    scale: torch.Tensor | np.ndarray
    rotation: torch.Tensor | np.ndarray
    translation: torch.Tensor | np.ndarray


def _polar(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nearest rotations and signed singular values of (..., D, D)."""
    u, singular, vh = torch.linalg.svd(matrices)
    signs = torch.ones_like(singular)
    signs[..., -1] = torch.sign(torch.linalg.det(u @ vh).detach())
    return (u * signs[..., None, :]) @ vh, singular * signs


def nearest_rotation(matrices: torch.Tensor) -> torch.Tensor:
    """The rotations nearest to matrices (Frobenius norm).

    Args:
        matrices: (..., D, D), finite.
    """
    return _polar(matrices)[0]


def procrustes(source: Array,
               target: Array,
               weights: Array | None = None,
               with_scale: bool = True) -> Similarity:
    r"""Similarity that maps ``source`` onto ``target`` with least squares.

    $$
    \min_{s, R, t} \sum_i w_i\, \lVert s R x_i + t - y_i \rVert^2
    $$

    in closed form (Umeyama, PAMI 1991).

    Args:
        source: (..., N, D) points, N >= D.
        target: (..., N, D).
        weights: (..., N) not negative, not all zero; default: all equal.
        with_scale: False fixes the scale to 1 (rigid alignment).

    Returns:
        Scale, rotation and translation, of the type of ``source``.

    Raises:
        ValueError: If the shapes differ or there are fewer points than
            dimensions.

    Examples:
        >>> square = np.array([[0., 0.], [1., 0.], [1., 1.], [0., 1.]])
        >>> found = procrustes(square, 2 * square + 3)
        >>> found.scale.round(6), found.translation.round(6).tolist()
        (2.0, [3.0, 3.0])
    """
    if source.shape != target.shape:
        raise ValueError('source and target must correspond: '
                         f'{tuple(source.shape)} != {tuple(target.shape)}')
    if source.ndim < 2 or source.shape[-2] < source.shape[-1]:
        raise ValueError('expected at least D points (..., N, D), got '
                         f'{tuple(source.shape)}')
    if isinstance(source, np.ndarray):
        tensors = procrustes(
            torch.from_numpy(np.ascontiguousarray(source)),
            torch.from_numpy(np.ascontiguousarray(target)),
            None if weights is None else torch.as_tensor(weights), with_scale)
        return Similarity(*(t.numpy() for t in tensors))
    if weights is None:
        weights = source.new_ones(source.shape[:-1])
    weights = (weights / weights.sum(-1, keepdim=True)).to(source)[..., None]
    source_mean = (weights * source).sum(-2, keepdim=True)
    target_mean = (weights * target).sum(-2, keepdim=True)
    source_centerd = source - source_mean
    target_centerd = target - target_mean
    covariance = (weights * target_centerd).mT @ source_centerd
    rotation, stretch = _polar(covariance)
    if with_scale:
        variance = (weights * source_centerd.square()).sum((-2, -1))
        scale = stretch.sum(-1) / variance
    else:
        scale = torch.ones_like(stretch[..., 0])
    moved = (rotation @ source_mean.mT).mT * scale[..., None, None]
    return Similarity(scale, rotation, (target_mean - moved).squeeze(-2))


def apply_similarity(points: Array, transform: Similarity) -> Array:
    """Apply the result of :func:`procrustes` to any points (..., M, D)."""
    scale, rotation, translation = transform
    transposed = (rotation.mT if isinstance(rotation, torch.Tensor) else
                  np.swapaxes(rotation, -1, -2))
    return (scale[..., None, None] * (points @ transposed) +
            translation[..., None, :])


def align_rigid(source: Array,
                target: Array,
                weights: Array | None = None) -> Array:
    """``source`` (..., N, D) rotated and shifted onto ``target``."""
    return apply_similarity(
        source, procrustes(source, target, weights, with_scale=False))


def align_similarity(source: Array,
                     target: Array,
                     weights: Array | None = None) -> Array:
    """``source`` (..., N, D) scaled, rotated and shifted onto ``target``."""
    return apply_similarity(source, procrustes(source, target, weights))
