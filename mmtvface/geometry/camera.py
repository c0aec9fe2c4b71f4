# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Weak-perspective camera and the one pixel convention of the project.

Model space is in metres: x to the person's left, y up, z out of the face.
Image space is normalised (NDC): x right and y down, both in [-1, 1] from edge
to edge of the image, and smaller z is nearer.

Pixels are indexed by their centres, as in OpenCV and in landmark files: the
centre of the first pixel is 0, its left edge -0.5. Its NDC is therefore
(2 * 0 + 1) / size - 1. The published systems place landmarks at
i / 224 * 2 - 1, half a pixel away from where they rasterize; here landmarks,
rasterizer and sampling share this single convention.
"""

from typing import TypeVar

import numpy as np
import torch

from mmtvface.utils.host_sync import constant

Array = TypeVar('Array', torch.Tensor, np.ndarray)


def project(points: torch.Tensor, cam: torch.Tensor) -> torch.Tensor:
    r"""Project model-space points by a weak-perspective camera.

    $$
    (x, y, z) \mapsto s\, (x + t_x,\; -(y + t_y),\; -z)
    $$

    (DECA, Feng et al., SIGGRAPH 2021, section 3: orthographic projection
    with scale; y and z are negated, since image space has y down.)

    Args:
        points: (B, N, 3) metres.
        cam: (B, 3) scale s (NDC units per metre), tx, ty (metres).

    Returns:
        (B, N, 3) NDC.

    Examples:
        >>> cam = torch.tensor([[8., 0., .01]])
        >>> project(torch.tensor([[[.05, 0., .1]]]), cam).round(decimals=3)
        tensor([[[ 0.4000, -0.0800, -0.8000]]])
    """
    scale = cam[:, None, :1]
    shift = torch.nn.functional.pad(cam[:, None, 1:], (0, 1))
    flip = constant((1., -1., -1.), points)
    return scale * (points + shift) * flip


def pixel_to_ndc(pixels: Array, size: Array | int) -> Array:
    r"""Pixel-centre indices to NDC, $(2 i + 1) / \mathit{size} - 1$.

    Args:
        pixels: (..., 2) x and y, or any array for a single axis.
        size: Width and height (broadcast against ``pixels``) or one number.

    Returns:
        Same shape, [-1, 1] inside the image.

    Examples:
        The edges of the image are half a pixel beyond the centres.

        >>> pixel_to_ndc(np.array([-.5, 0., 3.5]), 4).tolist()
        [-1.0, -0.75, 1.0]
    """
    return (2 * pixels + 1) / size - 1


def ndc_to_pixel(ndc: Array, size: Array | int) -> Array:
    """NDC to pixel-centre indices, the inverse of :func:`pixel_to_ndc`."""
    return ((ndc + 1) * size - 1) / 2


def move_camera(cam: torch.Tensor, old: torch.Tensor, new: torch.Tensor,
                size: int) -> torch.Tensor:
    """Cameras of other crops of the same frames.

    Args:
        cam: (B, 3) scale s and shifts of crops, see :func:`project`; s not 0.
        old: (B, 3, 3) frame pixels -> pixels of those crops, no rotation.
        new: (B, 3, 3) or (3, 3) the same of the other crops.
        size: Side of all crops in pixels.

    Returns:
        (B, 3): points are projected to the same place of the frame.
    """
    ratio = new[..., 0, 0] / old[..., 0, 0]
    scale = cam[:, 0] * ratio
    middle = (size - 1) / 2
    # Where the middle of the old crop is in the new one, pixels from its own
    moved = (ratio[..., None] * (middle - old[..., :2, 2])
             + new[..., :2, 2] - middle)
    shift = moved / (size / 2 * scale)[:, None]
    return torch.stack([scale, cam[:, 1] + shift[:, 0],
                        cam[:, 2] - shift[:, 1]], 1)
