# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pairs of SynthTV's pictures with their true optical flow."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from mmtvface.geometry.camera import project
from mmtvface.renderers import build_rasterizer

from .dataset import SynthTVDataset
from .true_flow import true_flow

_LOST = .5  # of a pixel's skin


class FlowPairs(NamedTuple):
    """Image pairs and the motion of the head between them.

    Attributes:
        first: (B, 3, h, w) RGB in [0, 1].
        second: (B, 3, h, w).
        flow: (B, 2, h, w) pixels (x, y) from the first to the second.
        valid: (B, h, w) bool, where the flow is known.
    """

    first: torch.Tensor
    second: torch.Tensor
    flow: torch.Tensor
    valid: torch.Tensor


class FlowPairSource:
    """Makes the pairs of a clip, as the temporal encoder sees its frames.

    Args:
        dataset: With vertices; its pictures may be degraded, the flow is
            that of the head in front of a perfect camera.
        stride: The pictures are reduced by it, as by
            :meth:`TemporalResNet.compute_flows` for its
            ``propagation_stride``.

    Raises:
        ValueError: If the dataset gives no vertices, or its pictures cannot
            be reduced to a multiple of 32.
    """

    def __init__(self, dataset: SynthTVDataset, stride: int = 2):
        size = dataset.settings.image_size
        if not dataset.with_vertices:
            raise ValueError('The dataset must have with_vertices=True: the '
                             'true flow is the motion of the vertices.')
        # SPyNet would enlarge other sizes, and every step would cost more.
        if stride < 1 or size % (32 * stride):
            raise ValueError(
                f'image_size must be a multiple of 32 * stride = '
                f'{32 * stride}, but it is {size}. Generate scenes of '
                'another --size or choose another stride.')
        self.dataset = dataset
        self.stride = stride
        self.faces = dataset.settings.build_flame().faces
        self.rasterizer = build_rasterizer()

    def pairs(self, index: int,
              shifts: torch.Tensor | None = None) -> FlowPairs:
        """Neighbours of a clip, both ways: first all that go back in time.

        Args:
            index: Of the clip.
            shifts: (t, 2) whole pixels (x, y) of the dataset by which the
                frames are moved, with what they show.

        Returns:
            2 (t - 1) pairs.
        """
        item = self.dataset[index]
        sample = item['data_samples']
        images = item['inputs'].float() / 255
        vertices = project(sample.gt_vertices, sample.gt_codes['cam'])
        clear = self._clear(index, item)
        if shifts is not None:
            images, clear = (shift_frames(frames, shifts)
                             for frames in (images, clear))
            ndc = F.pad(2 * shifts / images.shape[-1], (0, 1))
            vertices = vertices + ndc[:, None].to(vertices)
        images = F.interpolate(images, scale_factor=1 / self.stride,
                               mode='bicubic', align_corners=False)
        clear = -F.max_pool2d(-clear.float(), self.stride)[:, 0] > 0
        flow = true_flow(vertices, self.faces, self.rasterizer,
                         images.shape[-2:])
        valid = torch.cat([flow.forward_valid & clear[1:],
                           flow.backward_valid & clear[:-1]])
        early, late = images[:-1], images[1:]
        return FlowPairs(torch.cat([late, early]), torch.cat([early, late]),
                         torch.cat([flow.forward, flow.backward]), valid)

    def _clear(self, index: int, item: dict) -> torch.Tensor:
        """Where no skin is covered or lost: (t, 1, H, W) bool.

        What passes in front of the head moves otherwise, and on skin the
        masks tell where that is.
        """
        sample = item['data_samples']
        scene = self.dataset.scenes[self.dataset.get_data_info(index)['scene']]
        clean = torch.from_numpy(scene.masks[list(sample.frame_indices)])
        return clean[:, None].float() / 255 - sample.gt_masks < _LOST


def shift_frames(frames: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Move (t, C, H, W) by (t, 2) whole pixels (x, y); edges are repeated."""
    height, width = frames.shape[-2:]
    moved = []
    for frame, (x, y) in zip(frames, shifts.tolist(), strict=True):
        rows = (torch.arange(height) - y).clamp(0, height - 1)
        columns = (torch.arange(width) - x).clamp(0, width - 1)
        moved.append(frame[:, rows[:, None], columns])
    return torch.stack(moved)


def join_pairs(parts: Iterable[FlowPairs]) -> FlowPairs:
    """One batch of several."""
    return FlowPairs(*(torch.cat(part) for part in zip(*parts, strict=True)))
