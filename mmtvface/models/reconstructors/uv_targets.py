# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What an image shows of a surface, as maps in its atlas."""

import torch
import torch.nn.functional as F

from mmtvface.geometry.camera import project
from mmtvface.geometry.mesh import FACING_TEXTURE
from mmtvface.renderers.detail_surface import SurfaceMaps


def sample_surface(images: torch.Tensor, masks: torch.Tensor | None,
                   maps: SurfaceMaps, cam: torch.Tensor,
                   depth_normals: torch.Tensor
                   ) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample images where the texels of a surface are seen.

    As in DECA (Feng et al., SIGGRAPH 2021, section 4.2): a texel counts as
    far as its pixels are in the mask and in the image, if its normal faces
    the camera. Nothing tests whether something else stands before it.

    Args:
        images: (B, 3, H, W) RGB [0, 1].
        masks: (B, 1, H, W) 0..1, skin; None: all pixels.
        maps: The surface of B heads.
        cam: (B, 3), see :func:`mmtvface.geometry.camera.project`.
        depth_normals: (B, 1, S, S) z of the projected mesh's vertex normals.
            (Those of the maps have other lengths on tiny triangles, so that
            some texels would fall on the other side of the threshold.)

    Returns:
        The images' colours (B, 3, S, S), meaningful where visible, and the
        visibility (B, 1, S, S) 0..1, which is 0 outside of the charts.
    """
    if masks is None:
        masks = images.new_ones(len(images), 1, *images.shape[-2:])
    size = maps.positions.shape[-2:]
    # The projection is linear: that of the texels needs no other maps.
    ndc = project(maps.positions.flatten(2).mT, cam)
    sampled = F.grid_sample(
        torch.cat([images, masks], 1), ndc[..., :2].unflatten(1, size),
        align_corners=False)
    facing = depth_normals < FACING_TEXTURE
    # Empty texels have no normal: zero does not face the camera.
    return sampled[:, :3], sampled[:, 3:] * facing
