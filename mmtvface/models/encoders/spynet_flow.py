# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Training of SPyNet on image pairs whose true flow is known.

SPyNet: Ranjan & Black, CVPR 2017. Deviations: instead of one level after the
other, all are trained at once; first with common weights, at half the size,
where a step costs a quarter. Heads in video of all degradation levels replace
videos of rendered scenes.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import nn

from mmtvface.geometry.optical_flow import end_point_error, roughness
from mmtvface.registry import MODELS
from mmtvface.renderers.base import pixel_centers


@MODELS.register_module()
class SPyNetFlow(BaseModel):
    """SPyNet with random weights, to be trained.

    Its checkpoints serve as ``spynet_pretrained`` of temporal encoders.
    Training begins with zero flow: the last convolution of each level is
    zero, and a level adds nothing to the flow of the coarser ones until it
    has learned to.

    Args:
        shared_level: One level stands in the place of all, and is trained at
            half the size. A checkpoint of it gives all levels its weights.
        smoothness: Weight of the differences between neighbouring pixels'
            flows where the flow is not known.
        data_preprocessor: Of mmengine; None moves the data to the device.
        init_cfg: Of mmengine.
    """

    def __init__(self, shared_level: bool = False, smoothness: float = .1,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        from .propagation import SPyNet  # imports mmagic
        self.spynet = SPyNet(None)
        self.smoothness = smoothness
        self.shared_level = shared_level
        if shared_level:
            levels = self.spynet.basic_module
            self.spynet.basic_module = nn.ModuleList(
                [levels[0]] * len(levels))

    def init_weights(self) -> None:
        """Random hidden layers, flow zero."""
        for level in self.spynet.basic_module:
            *hidden, last = (part for part in level.modules()
                             if isinstance(part, nn.Conv2d))
            for conv in hidden:
                nn.init.kaiming_normal_(conv.weight)
                nn.init.zeros_(conv.bias)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, first: torch.Tensor, second: torch.Tensor,
                flow: torch.Tensor | None = None,
                valid: torch.Tensor | None = None, mode: str = 'tensor',
                difficulty: Sequence[str] = ()) -> Any:
        """Estimate flows, or compare them with the truth.

        Args:
            first: (n, P, 3, h, w) RGB in [0, 1], P pairs of n clips.
            second: (n, P, 3, h, w).
            flow: (n, P, 2, h, w) pixels (x, y) from first to second.
            valid: (n, P, h, w) bool, where the flow is known.
            mode: 'tensor', 'loss' or 'predict'.
            difficulty: Degradation level of each clip.

        Returns:
            'tensor': (n, P, 2, h, w); 'loss': ``loss_error`` (pixels),
            ``loss_roughness`` and, beside them, ``zero_error`` of zero flow;
            'predict': of each clip a dict of ``pred_flow``, ``gt_flow``,
            ``valid`` and ``difficulty``.
        """
        if mode == 'loss':
            return self.loss(*(part.flatten(0, 1) for part in (
                first, second, flow, valid)))
        found = self.spynet(first.flatten(0, 1), second.flatten(0, 1))
        found = found.unflatten(0, first.shape[:2])
        if mode == 'tensor':
            return found
        return [dict(pred_flow=own, gt_flow=true, valid=known,
                     difficulty=level) for own, true, known, level in zip(
                         found, flow, valid, difficulty, strict=True)]

    def loss(self, first: torch.Tensor, second: torch.Tensor,
             flow: torch.Tensor, valid: torch.Tensor
             ) -> dict[str, torch.Tensor]:
        """Losses of (B, ...) pairs, see :meth:`forward`."""
        if self.shared_level:
            first, second, flow, valid = halve(first, second, flow, valid)
            found = pyramid_flow(self.spynet.basic_module[1:], first, second,
                                 self.spynet)
        else:
            found = self.spynet(first, second)
        return dict(
            loss_error=end_point_error(found, flow, valid),
            loss_roughness=self.smoothness * roughness(found, valid),
            zero_error=end_point_error(0 * flow, flow, valid))


def halve(first: torch.Tensor, second: torch.Tensor, flow: torch.Tensor,
          valid: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Pairs at half the size; known is what all four pixels know."""
    known = F.avg_pool2d(valid[:, None].float(), 2)[:, 0] == 1
    return (F.avg_pool2d(first, 2), F.avg_pool2d(second, 2),
            F.avg_pool2d(flow, 2) / 2, known)


def pyramid_flow(levels: Sequence[nn.Module], first: torch.Tensor,
                 second: torch.Tensor, spynet: nn.Module) -> torch.Tensor:
    """SPyNet's flow by other levels, on images of 2**(levels - 1) pixels.

    Args:
        levels: From the coarsest, which sees a single pixel.
        first: (B, 3, h, w) RGB in [0, 1].
        second: (B, 3, h, w).
        spynet: Whose normalisation is used.

    Returns:
        (B, 2, h, w) pixels (x, y).
    """
    pyramid = [torch.cat([(image - spynet.mean) / spynet.std
                          for image in (first, second)], 1)]
    for _ in levels[1:]:
        pyramid.insert(0, F.avg_pool2d(pyramid[0], 2))
    flow = None
    for level, images in zip(levels, pyramid, strict=True):
        if flow is None:
            flow = torch.zeros_like(images[:, :2])
        else:
            flow = 2 * F.interpolate(flow, size=images.shape[-2:],
                                     mode='bilinear', align_corners=True)
        near, far = images.chunk(2, 1)
        flow = flow + level(torch.cat([near, _warp(far, flow), flow], 1))
    return flow


def _warp(images: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Sample (B, C, h, w) at pixel + flow (B, 2, h, w); edges go on."""
    height, width = flow.shape[-2:]
    at = pixel_centers(torch.arange(height * width), height, width).to(flow)
    grid = at.view(height, width, 2) + (
        flow.movedim(1, -1) * 2 / flow.new_tensor([width, height]))
    return F.grid_sample(images, grid, padding_mode='border',
                         align_corners=False)
