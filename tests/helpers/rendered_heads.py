# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pictures of the built-in head that face detectors take for faces."""

from collections.abc import Sequence

import numpy as np
import torch

from mmtvface.geometry.camera import ndc_to_pixel, project
from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.heads import FLAME, FLAMETexture, load_head
from mmtvface.renderers import MeshRenderer

from .toy_meshes import toy_ellipsoid


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
        template, topology = toy_ellipsoid(7, 8, (.8, .9, .7))
        mesh = torch.from_numpy(template)
    else:
        topology = load_head('procedural').topology
        mesh = 7 * FLAME('procedural').neutral(
            torch.zeros(1, 100))[0].double()
    mesh = mesh - (mesh.amax(0) + mesh.amin(0)) / 2
    # No edge passes exactly through centres of pixels.
    turns = torch.tensor([.11, 0., .07], dtype=mesh.dtype).repeat(batch, 1)
    turns[:, 1] = torch.linspace(-.6, .63, batch)
    return (mesh @ axis_angle_to_matrix(turns).mT,
            torch.as_tensor(topology.faces).long())


def head_video(first: float, last: float, count: int, seed: int = 0,
              size: int = 240) -> list[np.ndarray]:
    """A video of the built-in head, which turns and moves and never rests.

    Args:
        first: Angle of the first of six looks in radians.
        last: Angle of the last one.
        count: Number of frames.
        seed: Decides how it turns from look to look.
        size: Side of the frames in pixels.

    Returns:
        ``count`` frames (size, size, 3) uint8 RGB.
    """
    heads, _ = rendered_heads(np.linspace(first, last, 6).tolist(), size)
    steps = np.random.default_rng(seed).choice([-1, 1], count)
    looks = np.abs((np.cumsum(steps) + 5) % 10 - 5)  # there and back
    return [np.roll(heads[look], (i % 7 - 3, i % 5 - 2), (0, 1))
            for i, look in enumerate(looks)]


def landmark_error(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of landmarks (68, 2) over the size of their box."""
    distance = np.linalg.norm(found - true, axis=1).mean()
    return float(distance / np.ptp(true, 0).mean())
