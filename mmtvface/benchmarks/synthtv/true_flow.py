# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The true optical flow of a head whose vertices are known."""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from mmtvface.renderers import Fragments, Rasterizer, interpolate
from mmtvface.renderers.base import pixel_centers
from mmtvface.utils.checks import check_shape

_DEPTH_SLACK = 2.
"""Pixels by which a point may lie behind the surface that is seen there.

Depths are known at pixel centres only, and a slope changes them in between.
"""


class TrueFlow(NamedTuple):
    """Motion of the surface seen at each pixel, and where it is known.

    Directions are those of
    :func:`~mmtvface.models.encoders.flow.estimate_flows`: content at pixel p
    of the first frame is at p + flow(p) in the second.

    Attributes:
        forward: (t-1, 2, h, w) pixels (x, y), from frame i+1 to i.
        backward: (t-1, 2, h, w) pixels (x, y), from frame i to i+1.
        forward_valid: (t-1, h, w) bool: the head covers the pixel of the
            frame i+1, and its point is seen in frame i too.
        backward_valid: (t-1, h, w) bool, of frame i and i+1.
    """

    forward: torch.Tensor
    backward: torch.Tensor
    forward_valid: torch.Tensor
    backward_valid: torch.Tensor


def true_flow(vertices_ndc: torch.Tensor, faces: torch.Tensor,
              rasterizer: Rasterizer, size: tuple[int, int]) -> TrueFlow:
    """Flows between neighbouring frames of a clip, both ways.

    Args:
        vertices_ndc: (t, V, 3) projected vertices of t >= 2 frames; smaller
            z is nearer.
        faces: (F, 3) int64.
        rasterizer: Finds what is seen at each pixel.
        size: Height and width of the flows in pixels.

    Raises:
        ValueError: If a shape is another one, or there is one frame only.
    """
    check_shape('vertices_ndc', vertices_ndc, ('t', 'V', 3))
    if len(vertices_ndc) < 2:
        raise ValueError('vertices_ndc must hold at least 2 frames to move '
                         f'between, but it holds {len(vertices_ndc)}.')
    seen = rasterizer(vertices_ndc, faces, size)
    earlier, later = (Fragments(*(part[frames] for part in seen))
                      for frames in (slice(None, -1), slice(1, None)))
    step = vertices_ndc[1:] - vertices_ndc[:-1]
    backward, backward_valid = _surface_flow(earlier, later, faces, step)
    forward, forward_valid = _surface_flow(later, earlier, faces, -step)
    return TrueFlow(forward, backward, forward_valid, backward_valid)


def _surface_flow(first: Fragments, second: Fragments, faces: torch.Tensor,
                  step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Flow from the first to the second frame, and where it is known.

    Args:
        first: Of B frames.
        second: Of the frames beside them.
        faces: (F, 3).
        step: (B, V, 3) NDC, the motion of the vertices.
    """
    height, width = first.depth.shape[1:]
    motion = interpolate(first, faces, step)
    centers = pixel_centers(torch.arange(height * width, device=step.device),
                            height, width).to(step)
    target = centers.T.reshape(2, height, width) + motion[:, :2]
    inside = (target.abs() <= 1).all(1)
    # Nearest: depths must not be mixed over an outline. Empty ones are
    # infinitely far, where nothing is hidden.
    behind = F.grid_sample(second.depth[:, None], target.movedim(1, -1),
                           mode='nearest', padding_mode='border',
                           align_corners=False)[:, 0]
    slack = _DEPTH_SLACK * 2 / min(height, width)
    shown = first.depth + motion[:, 2] <= behind + slack
    scale = step.new_tensor([width / 2, height / 2])[:, None, None]
    return motion[:, :2] * scale, first.covered & inside & shown
