# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What is known of the errors of detected landmarks."""

import torch

from mmtvface.evaluation.functional import box_size
from mmtvface.geometry.landmarks import CONTOUR, NUM_LANDMARKS, STATIC

_OUTLIER = 5.  # deviations at which a landmark no longer counts


def landmark_covariance(layout: torch.Tensor, shared: float, reach: float,
                        own: float, contour: float
                        ) -> tuple[torch.Tensor, torch.Tensor]:
    """Covariance of the landmarks' errors along an axis, squared boxes.

    Args:
        layout: (68, 2) places of the landmarks in units of the box.
        shared: Error that neighbours share.
        reach: Distance at which it is shared to the degree exp(-1/2).
        own: Error of each landmark by itself.
        contour: The same of the outline.

    Returns:
        (68, 68) shared^2 exp(-d^2 / (2 reach^2)) of the errors that they
        share, and (68,) variances of those of their own, float64.
    """
    apart = torch.cdist(layout.double(), layout.double())
    alone = torch.full((NUM_LANDMARKS, ), own, dtype=torch.float64)
    alone[list(CONTOUR)] = contour
    return shared**2 * torch.exp(-(apart / reach)**2 / 2), alone.square()


def shaking(points: torch.Tensor, frame_indices: torch.Tensor) -> float:
    """Error of single landmarks that is new in every frame.

    The median over frames and inner landmarks of the second difference, less
    its affine part, which is what a head does that turns or comes nearer:
    mouths and eyelids, which move by themselves, are the smaller part.

    Args:
        points: (T, 68, 2), NaN where unknown.
        frame_indices: (T,) increasing.

    Returns:
        Standard deviation along an axis, fraction of the box; 0 where it
        cannot be told: without three frames in a row that are known as a
        whole.
    """
    size = box_size(points, points.isfinite().all(-1)).clamp(min=1e-6)
    inner = points[:, list(STATIC)] / size[:, None, None]
    second = inner[2:] - 2 * inner[1:-1] + inner[:-2]
    usable = second.isfinite().all((1, 2)) & (
        frame_indices[2:] - frame_indices[:-2] == 2)
    second, place = second[usable], inner[1:-1][usable]
    if not len(second):
        return 0.
    place = torch.cat([place, torch.ones_like(place[..., :1])], -1)
    moved = place @ torch.linalg.lstsq(place, second).solution
    length = (second - moved).norm(dim=-1)
    # Of errors e, the second difference has the variance 6 e^2 per axis, and
    # its length the median 1.177 sqrt(6) e.
    return float(length.median()) / 2.884


def biweight(length: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Weights of landmarks by how far off they are (Beaton & Tukey 1974).

    Args:
        length: (T, 68) distances in standard deviations. Where half of a
            frame's are larger than 1, the head is not yet in place: then they
            are measured by their median.
        known: (T, 68) bool.

    Returns:
        (T, 68) in [0, 1], 0 from five deviations on.
    """
    usual = length.masked_fill(~known, torch.nan).nanmedian(
        1, keepdim=True).values.nan_to_num(1.).clamp(min=1.)
    share = length / (_OUTLIER * usual)
    return known * (1 - share.square()).clamp(min=0).square()
