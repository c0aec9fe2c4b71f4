# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Meshes drawn over the frames they were reconstructed from."""

import cv2
import numpy as np
import torch

from mmtvface.geometry.camera import pixel_to_ndc
from mmtvface.renderers.mesh_renderer import MeshRenderer


def pixels_to_ndc3d(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixel indices with depth in pixels to NDC of an image.

    Args:
        points: (..., 3) x, y pixel indices and z in pixels, smaller nearer.
        size: Height and width of the image.

    Returns:
        (..., 3) float32; z is scaled by half the longer side.
    """
    height, width = size
    out = np.empty(points.shape, np.float32)
    out[..., :2] = pixel_to_ndc(points[..., :2],
                                np.array([width, height], np.float64))
    out[..., 2] = points[..., 2] * (2 / max(size))
    return out


@torch.no_grad()
def overlay_shape(renderer: MeshRenderer, image: np.ndarray,
                  vertices: np.ndarray, vertices_image: np.ndarray,
                  opacity: float = 1.,
                  colors: np.ndarray | None = None) -> np.ndarray:
    """Draw a grey mesh over a frame at the frame's own resolution.

    Only the part of the frame that the mesh covers is rendered, so that the
    cost depends on the face and not on the frame.

    Args:
        renderer: With the faces of the mesh.
        image: (H, W, 3) uint8 RGB.
        vertices: (V, 3) metres, model space, for the shading.
        vertices_image: (V, 3) x, y pixel indices of ``image`` and depth in
            pixels, smaller nearer.
        opacity: 0 shows the image, 1 the mesh only.
        colors: (V, 3) RGB in [0, 1]; default grey.

    Returns:
        (H, W, 3) uint8 RGB, a new image.
    """
    out = np.ascontiguousarray(image).copy()
    height, width = image.shape[:2]
    low = np.floor(vertices_image[:, :2].min(0)).astype(int)
    high = np.ceil(vertices_image[:, :2].max(0)).astype(int) + 1
    left, top = max(0, low[0]), max(0, low[1])
    right, bottom = min(width, high[0]), min(height, high[1])
    if right <= left or bottom <= top:
        return out
    part = out[top:bottom, left:right]
    local = vertices_image - np.array([left, top, 0.])
    device = renderer.faces.device

    def batch(array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(array, dtype=torch.float32,
                               device=device)[None]

    background = batch(part).permute(0, 3, 1, 2) / 255
    drawn = renderer.render_shape(
        batch(vertices), batch(pixels_to_ndc3d(local, part.shape[:2])),
        background=background,
        colors=None if colors is None else batch(colors))
    mixed = torch.lerp(background, drawn, opacity)[0].permute(1, 2, 0)
    out[top:bottom, left:right] = (
        mixed.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return out


def shape_image(renderer: MeshRenderer, vertices: np.ndarray, size: int = 224,
                margin: float = 1.1, grey: int = 255) -> np.ndarray:
    """The mesh alone, seen from the front and filling a square image.

    Args:
        renderer: With the faces of the mesh.
        vertices: (V, 3) metres, x to the person's left, y up, z forward.
        size: Side of the image in pixels.
        margin: Free space around the mesh, 1 for none.
        grey: Background, 0 to 255.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    low, high = vertices.min(0), vertices.max(0)
    fine = 2 * size  # averaged to smooth edges
    zoom = fine / ((high - low)[:2].max() * margin)
    centred = (vertices - (low + high) / 2) * zoom * [1., -1., -1.]
    centred[:, :2] += (fine - 1) / 2
    blank = np.full((fine, fine, 3), grey, np.uint8)
    return cv2.resize(overlay_shape(renderer, blank, vertices, centred),
                      (size, size), interpolation=cv2.INTER_AREA)
