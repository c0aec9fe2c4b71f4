# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pairs of SynthTV's pictures with their true optical flow."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from mmtvface.datasets.synth_tv.dataset import SynthTVDataset
from mmtvface.geometry.camera import project
from mmtvface.renderers import build_rasterizer

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

    def pairs(self, index: int, gap: int = 1) -> FlowPairs:
        """Pairs of a clip, both ways: first all that go back in time.

        Args:
            index: Of the clip.
            gap: Frames from one picture of a pair to the other. Only every
                ``gap``-th frame is used.

        Returns:
            Twice as many pairs as there are steps of ``gap`` in the clip.
        """
        item = self.dataset[index]
        sample = item['data_samples']
        images = item['inputs'][::gap].float() / 255
        images = F.interpolate(images, scale_factor=1 / self.stride,
                               mode='bicubic', align_corners=False)
        flow = true_flow(
            project(sample.gt_vertices, sample.gt_codes['cam'])[::gap],
            self.faces, self.rasterizer, images.shape[-2:])
        clear = self._clear(index, item)[::gap]
        valid = torch.cat([flow.forward_valid, flow.backward_valid])
        early, late = images[:-1], images[1:]
        valid &= torch.cat([clear[1:] & clear[:-1]] * 2)
        return FlowPairs(torch.cat([late, early]), torch.cat([early, late]),
                         torch.cat([flow.forward, flow.backward]), valid)

    def _clear(self, index: int, item: dict) -> torch.Tensor:
        """Where no skin is covered or lost: (t, h, w) bool.

        What passes in front of the head moves otherwise, and on skin the
        masks tell where that is.
        """
        sample = item['data_samples']
        scene = self.dataset.scenes[self.dataset.get_data_info(index)['scene']]
        clean = torch.from_numpy(scene.masks[list(sample.frame_indices)])
        lost = clean.float() / 255 - sample.gt_masks[:, 0]
        return F.max_pool2d(lost[:, None], self.stride)[:, 0] < _LOST


def join_pairs(parts: Iterable[FlowPairs]) -> FlowPairs:
    """One batch of several."""
    return FlowPairs(*(torch.cat(part) for part in zip(*parts, strict=True)))
