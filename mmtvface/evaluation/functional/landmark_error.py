# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Normalised mean error of landmarks."""

import torch

from mmtvface.geometry.landmarks import OUTER_EYE_CORNERS
from mmtvface.utils.checks import check_shape


def box_size(points: torch.Tensor,
             visible: torch.Tensor | None = None) -> torch.Tensor:
    """Size of the landmarks' box: the mean of its width and height.

    Args:
        points: (N, L, 2), square pixels or any isotropic unit.
        visible: (N, L) bool; default: all.

    Returns:
        (N,) in the unit of the points; NaN where nothing is visible.
    """
    if visible is None:
        visible = torch.ones_like(points[..., 0], dtype=torch.bool)
    size = _extent(points, visible).mean(-1)
    return torch.where(visible.any(1), size, torch.nan)


def box_area_root(points: torch.Tensor,
                  visible: torch.Tensor | None = None) -> torch.Tensor:
    """Square root of the area of the landmarks' box.

    What errors on AFLW2000-3D are normalised by (Zhu et al., "Face alignment
    across large poses: a 3D solution", CVPR 2016).

    Args:
        points: (N, L, 2), square pixels or any isotropic unit.
        visible: (N, L) bool; default: all.

    Returns:
        (N,) in the unit of the points; NaN where nothing is visible.
    """
    if visible is None:
        visible = torch.ones_like(points[..., 0], dtype=torch.bool)
    size = _extent(points, visible).prod(-1).sqrt()
    return torch.where(visible.any(1), size, torch.nan)


def _extent(points: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """(N, 2) width and height of the box of the visible points."""
    hidden = ~visible[..., None]
    return (points.masked_fill(hidden, -torch.inf).amax(1) -
            points.masked_fill(hidden, torch.inf).amin(1))


def eye_distance(points: torch.Tensor,
                 visible: torch.Tensor | None = None) -> torch.Tensor:
    """Distance of the outer eye corners of 68 landmarks.

    Args:
        points: (N, 68, 2).
        visible: (N, 68) bool; default: all.

    Returns:
        (N,); NaN where a corner is not visible.
    """
    first, second = OUTER_EYE_CORNERS
    size = (points[:, first] - points[:, second]).norm(dim=-1)
    if visible is None:
        return size
    return torch.where(visible[:, first] & visible[:, second], size,
                       torch.nan)


def normalized_mean_error(pred: torch.Tensor,
                          target: torch.Tensor,
                          visible: torch.Tensor | None = None,
                          normalizer: str = 'box') -> torch.Tensor:
    """Mean landmark distance over the size of the face, frame by frame.

    Args:
        pred: (N, L, 2), square pixels or any isotropic unit.
        target: (N, L, 2), same unit. Hidden points may be anything.
        visible: (N, L) bool; default: all. Others do not count.
        normalizer: ``'box'``: the mean of width and height of the box of the
            true visible landmarks; ``'box_area'``: the root of width times
            height of this box (AFLW2000-3D); ``'interocular'``: the
            distance of the true outer eye corners (L = 68).

    Returns:
        (N,) fractions (0.03 is 3 %); NaN where a frame has no visible
        landmark or no size.

    Raises:
        ValueError: If shapes differ or the normaliser is unknown.
    """
    check_shape('pred', pred, ('N', 'L', 2))
    check_shape('target', target, pred.shape)
    sizes = dict(box=box_size, box_area=box_area_root,
                 interocular=eye_distance)
    if normalizer not in sizes:
        raise ValueError(f'normalizer must be one of {tuple(sizes)}, but it '
                         f'is {normalizer!r}.')
    if visible is None:
        visible = torch.ones_like(pred[..., 0], dtype=torch.bool)
    size = sizes[normalizer](target, visible)
    distance = (pred - target).norm(dim=-1).masked_fill(~visible, 0)
    mean = distance.sum(1) / visible.sum(1)
    return torch.where(size > 0, mean / size, torch.nan)
