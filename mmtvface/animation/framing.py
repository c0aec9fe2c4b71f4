# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Cameras that do not move while a head does."""

from collections.abc import Iterable

import torch

from mmtvface.utils.checks import check_shape

#: Side of the image over the larger side of what is shown.
MARGIN = 1.1


def extent_of(batches: Iterable[torch.Tensor]) -> torch.Tensor:
    """Box around all points of a motion.

    Args:
        batches: (B, N, 3) metres each, taken one by one.

    Returns:
        (2, 3) lowest and highest x, y, z over all frames.

    Raises:
        ValueError: If there is no head, or a point is not finite.
    """
    low, high = [], []
    for points in batches:
        check_shape('points', points, ('B', 'N', 3))
        low.append(points.amin((0, 1)))
        high.append(points.amax((0, 1)))
    if not low:
        raise ValueError('A camera needs a head to show, but there is none.')
    extent = torch.stack([torch.stack(low).amin(0),
                          torch.stack(high).amax(0)])
    if not extent.isfinite().all():
        raise ValueError('A point of a head is not finite.')
    return extent


def fit_camera(extent: torch.Tensor, margin: float = MARGIN) -> torch.Tensor:
    """Weak perspective camera that shows a box in the middle of the image.

    Args:
        extent: (2, 3), see :func:`extent_of`.
        margin: Side of the image over the longer side of the box, at least
            1 for everything to be inside.

    Returns:
        (3,) scale, tx, ty, see :func:`mmtvface.geometry.camera.project`.

    Raises:
        ValueError: If the box is empty or the margin not positive.
    """
    check_shape('extent', extent, (2, 3))
    side = (extent[1] - extent[0])[:2].amax()
    if not side > 0 or not margin > 0:
        raise ValueError('A camera needs a box and a margin of positive '
                         f'size, but they are {extent.tolist()} and '
                         f'{margin}.')
    return center_camera(extent, float(2 / (side * margin)))


def center_camera(extent: torch.Tensor, scale: float) -> torch.Tensor:
    """Weak perspective camera of a given scale that looks at a box.

    Args:
        extent: (2, 3), see :func:`extent_of`.
        scale: NDC units per metre.

    Returns:
        (3,) scale, tx, ty, see :func:`mmtvface.geometry.camera.project`.
    """
    check_shape('extent', extent, (2, 3))
    middle = extent.mean(0)
    return torch.stack([middle.new_tensor(scale), -middle[0], -middle[1]])
