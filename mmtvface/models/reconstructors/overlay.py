# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The input with its face replaced, for losses that look at the shape."""

from collections.abc import Mapping

import torch
from torch.nn import functional as F

from mmtvface.geometry.lighting import sh_shading


def overlay_images(outputs: Mapping[str, torch.Tensor],
                   images: torch.Tensor) -> torch.Tensor:
    """The input with its face replaced by the shaded mesh.

    Albedo and light are constants, so that only the shape is seen by a loss
    on the overlay.

    Args:
        outputs: ``albedo`` (B, 3, S, S), ``uv_grid`` (B, H, W, 2),
            ``normals`` and ``face_mask`` (B, ., H, W), ``codes``.
        images: (B, 3, H, W) RGB [0, 1].

    Returns:
        (B, 3, H, W) RGB.
    """
    height, width = images.shape[-2:]
    light = outputs['codes']['light'].detach()
    normals = outputs['normals'].flatten(2).mT
    shading = sh_shading(normals, light).mT.unflatten(2, (height, width))
    albedo = F.grid_sample(
        outputs['albedo'].detach(), outputs['uv_grid'], align_corners=False)
    mask = outputs['face_mask']
    return albedo * shading * mask + images * (1 - mask)
