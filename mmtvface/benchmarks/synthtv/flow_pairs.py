# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pairs of SynthTV's pictures with their true optical flow."""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from mmtvface.datasets.synthetic.performance import SPLITS
from mmtvface.geometry.camera import project
from mmtvface.registry import DATASETS
from mmtvface.renderers import (
    Fragments,
    Rasterizer,
    build_rasterizer,
    interpolate,
)
from mmtvface.renderers.base import pixel_centers
from mmtvface.utils.checks import check_shape

from .dataset import SynthTVDataset

_LOST = .5  # of a pixel's skin
_TAG = 61
_DEPTH_SLACK = 2.
"""Pixels by which a point may lie behind the surface that is seen there.

Depths are known at pixel centres only, and a slope changes them in between.
"""

@DATASETS.register_module()
class SynthTVFlowDataset(SynthTVDataset):
    """Neighbours of SynthTV's clips, as the temporal encoder sees its frames.

    The pictures may be degraded; the flow is that of the head in front of a
    perfect camera. Item: ``first`` and ``second`` (P, 3, h, w) RGB in [0, 1],
    ``flow`` (P, 2, h, w) pixels (x, y) from first to second, ``valid``
    (P, h, w) bool, where it is known, and ``difficulty``, of the
    P = 2 (t - 1) pairs of neighbours, both ways: first all that go back in
    time.

    Args:
        *args: See :class:`SynthTVDataset`.
        stride: The pictures are reduced by it, as by
            :meth:`TemporalResNet.compute_flows` for its
            ``propagation_stride``.
        shifted: Probability that the frames of a clip are moved, each by up
            to ``max_shift`` whole pixels of the clip. Heads hardly move from
            frame to frame: a network learns sooner what to look for where
            motion is larger.
        max_shift: Pixels.
        mirrored: Probability that left and right are exchanged.
        **options: See :class:`SynthTVDataset`.

    Raises:
        ValueError: If the pictures cannot be reduced to a multiple of 32, or
            as of :class:`SynthTVDataset`.
    """

    METAINFO = {**SynthTVDataset.METAINFO, 'dataset_type': 'synth_tv_flow'}

    def __init__(self, *args: Any, stride: int = 2, shifted: float = 0.,
                 max_shift: int = 4, mirrored: float = 0.,
                 **options: Any) -> None:
        super().__init__(*args, with_vertices=True, **options)
        size = self.settings.image_size
        # SPyNet would enlarge other sizes, and every step would cost more.
        if stride < 1 or size % (32 * stride):
            raise ValueError(
                f'image_size must be a multiple of 32 * stride = '
                f'{32 * stride}, but it is {size}. Generate scenes of '
                'another --size or choose another stride.')
        if max_shift < 0:
            raise ValueError(
                f'max_shift must not be negative, but it is {max_shift}.')
        self.stride = stride
        self.shifted, self.max_shift = shifted, max_shift
        self.mirrored = mirrored
        self.rasterizer = build_rasterizer()

    def __getitem__(self, idx: int) -> dict:
        """The pairs of a clip, shifted and mirrored by chance."""
        info = self.get_data_info(idx)
        rng = np.random.default_rng([
            _TAG, self.settings.seed, SPLITS.index(self.settings.split),
            info['sample_idx']])
        shifts = torch.from_numpy(rng.integers(
            -self.max_shift, self.max_shift + 1, (self.clip_length, 2)))
        shift, mirror = rng.random(2) < (self.shifted, self.mirrored)
        pairs = self.pairs(idx, shifts if shift else None)
        return mirror_pairs(pairs) if mirror else pairs

    def pairs(self, idx: int, shifts: torch.Tensor | None = None) -> dict:
        """Pairs of a clip.

        Args:
            idx: Of the clip.
            shifts: (t, 2) whole pixels (x, y) by which the frames are moved,
                with what they show.
        """
        item = super().__getitem__(idx)
        sample = item['data_samples']
        images = item['inputs'].float() / 255
        vertices = project(sample.gt_vertices, sample.gt_codes['cam'])
        clear = self._clear(idx, sample)
        if shifts is not None:
            images, clear = (shift_frames(frames, shifts)
                             for frames in (images, clear))
            ndc = F.pad(2 * shifts / images.shape[-1], (0, 1))
            vertices = vertices + ndc[:, None].to(vertices)
        images = F.interpolate(images, scale_factor=1 / self.stride,
                               mode='bicubic', align_corners=False)
        clear = -F.max_pool2d(-clear.float(), self.stride)[:, 0] > 0
        flow = true_flow(vertices, self.flame.faces, self.rasterizer,
                         images.shape[-2:])
        valid = torch.cat([flow.forward_valid & clear[1:],
                           flow.backward_valid & clear[:-1]])
        early, late = images[:-1], images[1:]
        return dict(
            first=torch.cat([late, early]), second=torch.cat([early, late]),
            flow=torch.cat([flow.forward, flow.backward]), valid=valid,
            difficulty=sample.difficulty)

    def _clear(self, idx: int, sample: Any) -> torch.Tensor:
        """Where no skin is covered or lost: (t, 1, H, W) bool.

        What passes in front of the head moves otherwise, and on skin the
        masks tell where that is.
        """
        scene = self.scenes[self.get_data_info(idx)['scene']]
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


def mirror_pairs(pairs: dict) -> dict:
    """Left and right exchanged."""
    first, second, flow, valid = (
        pairs[name].flip(-1) for name in ('first', 'second', 'flow', 'valid'))
    flow = flow * flow.new_tensor([-1., 1.])[:, None, None]
    return dict(pairs, first=first, second=second, flow=flow, valid=valid)


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
