# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Data sample of one clip: ground truth and predictions."""

from typing import Any

import torch
from mmengine.structures import BaseDataElement


class FaceClipSample(BaseDataElement):
    """Ground truth and predictions of one clip of t frames.

    All fields are optional; those present have these shapes.

    Ground truth:
        gt_landmarks: (t, 68, 3) x and y in NDC of the crop, visibility.
        gt_masks: (t, 1, H, W) float 0..1, skin.
        gt_codes: dict of (t, C), see :class:`FlameCodeLayout`.
        gt_vertices: (t, V, 3) metres, model space.
        gt_displacement: (t, 1, S, S) metres along the normal, in the UV map.
    Predictions:
        pred_codes: dict of (t, C); ``detail`` of models with a detail branch.
        pred_vertices: (t, V, 3) metres, model space.
        pred_landmarks2d: (t, 68, 2) NDC, dynamic contour.
        pred_landmarks3d: (t, 68, 3) NDC, on the surface.
        pred_displacement: (t, 1, S, S) metres along the normal, of models
            with a detail branch.
    Meta information:
        clip_id, identity, frame_names, image_size: (H, W) of the crop,
        ori_shape: (H, W) of the original frames, crop_matrices: (t, 3, 3)
        original pixel indices -> crop pixel indices.
    """

    def pin_memory(self) -> 'FaceClipSample':
        """Copy to page-locked memory, from which a GPU copies by itself.

        PyTorch's data loaders call this with ``pin_memory=True``.
        """
        pinned = self.new()
        for name, value in self.items():
            pinned.set_data({name: _pinned(value)})
        return pinned


def _pinned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pinned(item) for key, item in value.items()}
    return value.pin_memory() if isinstance(value, torch.Tensor) else value
