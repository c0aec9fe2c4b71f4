# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The built-in head: pictures that detectors take for faces, and meshes."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from mmtvface.geometry.camera import ndc_to_pixel, project
from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.heads import FLAME, FLAMETexture
from mmtvface.heads.head_topology import load_head_topology
from mmtvface.renderers import MeshRenderer


def rendered_heads(yaws: Sequence[float], size: int = 320
                   ) -> tuple[np.ndarray, np.ndarray]:
    """The neutral built-in head before grey, turned to the side.

    Args:
        yaws: N angles in radians, positive to the right of the image.
        size: Side of the pictures in pixels; the face fills half of them.

    Returns:
        (N, size, size, 3) uint8 RGB and the true landmarks (N, 68, 2) as
        pixel indices.
    """
    count, flame = len(yaws), FLAME('procedural')
    cam = torch.tensor([[5., 0., 0.]]).expand(count, 3)
    pose, light = torch.zeros(count, 6), torch.zeros(count, 9, 3)
    pose[:, 1] = torch.tensor(yaws)
    light[:, 0], light[:, 3] = 3., 0.8
    with torch.no_grad():
        head = flame(torch.zeros(count, 100), torch.zeros(count, 50), pose)
        images = MeshRenderer('procedural').render(
            head.vertices, project(head.vertices, cam),
            FLAMETexture('procedural')(torch.zeros(count, 50)), light,
            background=torch.full((3, ), 0.5), image_size=size).image
    pixels = (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)
    points = ndc_to_pixel(project(head.landmarks2d, cam)[..., :2], size)
    return pixels.contiguous().numpy(), points.double().numpy()


def turned_heads(batch: int, small: bool = False
                 ) -> tuple[torch.Tensor, torch.Tensor]:
    """Meshes for rasterizers: the built-in head, turned differently.

    Args:
        batch: B.
        small: An ellipsoid of 96 triangles, for Triton's slow interpreter.

    Returns:
        (B, V, 3) float64 NDC, which fill most of the picture, and (F, 3)
        faces.
    """
    if small:
        latitude = torch.linspace(1.57, -1.57, 7, dtype=torch.float64)
        longitude = torch.linspace(-math.pi, math.pi, 9, dtype=torch.float64)
        level, turn = (x.flatten() for x in torch.meshgrid(
            latitude, longitude, indexing='ij'))
        mesh = torch.stack([.8 * level.cos() * turn.sin(), .9 * level.sin(),
                            .7 * level.cos() * turn.cos()], 1)
        index = torch.arange(7 * 9).view(7, 9)
        a, b, c, d = (index[:-1, :-1], index[:-1, 1:], index[1:, :-1],
                      index[1:, 1:])
        faces = torch.cat([torch.stack(corners, -1).view(-1, 3)
                           for corners in ((a, c, b), (b, c, d))])
    else:
        faces = torch.as_tensor(load_head_topology('procedural').faces)
        mesh = 7 * FLAME('procedural').neutral(
            torch.zeros(1, 100))[0].double()
    mesh = mesh - (mesh.amax(0) + mesh.amin(0)) / 2
    # No edge passes exactly through centres of pixels.
    turns = torch.tensor([.11, 0., .07], dtype=mesh.dtype).repeat(batch, 1)
    turns[:, 1] = torch.linspace(-.6, .63, batch)
    return (mesh @ axis_angle_to_matrix(turns).mT,
            faces.long())
