# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Photometric loss of the detail stage: the shaded UV map against the input.

Both are compared on one patch of the UV map, which holds the face (DECA, Feng
et al., SIGGRAPH 2021, section 4.2).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from mmtvface.models.outputs import DetailOutputs
from mmtvface.models.targets import DetailTargets
from mmtvface.registry import MODELS

from .base_loss import FaceLoss

# The side of the UV map in which boxes are given, texels.
UV_MAP_SIZE = 2048
# The face in FLAME's UV map; in the built-in head's it is at the same place.
FACE_BOX = (400, 1648, 400, 1648)


def check_box(box: Sequence[int]) -> tuple[int, int, int, int]:
    """Return a box of the UV map as a tuple.

    Raises:
        ValueError: If it is not (left, right, top, bottom) in 0..2048.
    """
    box = tuple(box)
    if len(box) != 4 or not all(
            0 <= low < high <= UV_MAP_SIZE
            for low, high in (box[:2], box[2:])):
        raise ValueError(
            'box must be (left, right, top, bottom) with 0 <= left < right '
            f'<= {UV_MAP_SIZE} and top < bottom likewise, but it is {box}.')
    return box


def uv_patch(maps: torch.Tensor,
             box: Sequence[int] = FACE_BOX,
             patch_size: int = 256) -> torch.Tensor:
    """Cut a box out of maps in the UV map and resize it.

    Args:
        maps: (B, C, S, S).
        box: Left, right, top, bottom in a UV map of 2048 texels; scaled to S
            and rounded to texels.
        patch_size: Side P of the patch.

    Returns:
        (B, C, P, P), bilinear with half-pixel centres, no anti-aliasing.

    Raises:
        ValueError: If nothing of the box is left at the size S.
    """
    size = maps.shape[-1]
    left, right, top, bottom = (round(v * size / UV_MAP_SIZE) for v in box)
    if left == right or top == bottom:
        raise ValueError(f'box {tuple(box)} of {UV_MAP_SIZE} is empty in maps '
                         f'of the shape {tuple(maps.shape)}.')
    return F.interpolate(
        maps[..., top:bottom, left:right], (patch_size, patch_size),
        mode='bilinear',
        align_corners=False)


def texture_patch_error(pred: torch.Tensor,
                        target: torch.Tensor,
                        visibility: torch.Tensor,
                        box: Sequence[int] = FACE_BOX,
                        patch_size: int = 256) -> torch.Tensor:
    r"""Mean $v\, |I_r - I|$ over all texels, seen or not.

    Args:
        pred: (B, 3, S, S) RGB.
        target: (B, 3, S, S) RGB [0, 1].
        visibility: (B, 1, S, S) 0..1, taken as a constant.
        box: See :func:`uv_patch`, by which all three are cut and resized.
        patch_size: Side of the patch.

    Returns:
        ().
    """
    # Resizing is linear: one patch of the difference for two patches.
    difference = uv_patch(pred - target, box, patch_size)
    weight = uv_patch(visibility.detach(), box, patch_size)
    return (difference.abs() * weight).mean()


@MODELS.register_module()
class PhotoDetailLoss(FaceLoss):
    """Colour difference of the shaded UV map and the input, where seen.

    The mean is taken over all texels of the patch, as published, for which
    the weight was chosen: frames that show less of the face count less.

    Args:
        loss_weight: Factor of the loss, 2.0 in the published training.
        box: The patch, see :func:`uv_patch`.
        patch_size: Its side after resizing.

    Raises:
        ValueError: If the box is malformed.
    """


    def __init__(self,
                 loss_weight: float = 2.0,
                 box: Sequence[int] = FACE_BOX,
                 patch_size: int = 256) -> None:
        super().__init__(loss_weight)
        self.box = check_box(box)
        self.patch_size = patch_size

    def compute(self, outputs: DetailOutputs,
                targets: DetailTargets) -> torch.Tensor:
        """Unweighted loss, see :func:`texture_patch_error`."""
        return texture_patch_error(outputs.uv_images, targets.uv_images,
                                   targets.uv_visibility, self.box,
                                   self.patch_size)
