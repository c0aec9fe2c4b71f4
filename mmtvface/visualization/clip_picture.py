# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pictures of clips with their ground truth and predictions."""

import numpy as np
import torch

from mmtvface.geometry.camera import ndc_to_pixel, project
from mmtvface.renderers.mesh_renderer import MeshRenderer
from mmtvface.structures import FaceClipSample

from .drawing import GREEN, RED, draw_landmarks
from .grid import image_grid, spread
from .overlay import overlay_shape


def ndc_to_pixels3d(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """NDC of an image to pixel indices, depth to pixels.

    Inverse of :func:`mmtvface.visualization.overlay.pixels_to_ndc3d`.

    Args:
        points: (..., 3).
        size: Height and width of the image.
    """
    height, width = size
    out = np.array(points, np.float64)
    out[..., :2] = ndc_to_pixel(out[..., :2],
                                np.array([width, height], np.float64))
    out[..., 2] *= max(size) / 2
    return out


def draw_clip(images: np.ndarray, sample: FaceClipSample,
              renderer: MeshRenderer | None = None, max_frames: int = 5,
              draw_gt: bool = True, draw_pred: bool = True) -> np.ndarray:
    """A row of pictures per kind: input, landmarks, mesh over the input.

    Args:
        images: (t, H, W, 3) uint8 RGB crops.
        sample: With gt_landmarks (drawn green), pred_landmarks2d (red) and,
            for the mesh, pred_vertices and pred_cam.
        renderer: Draws the mesh; None: no mesh.
        max_frames: Frames that are shown, spread over the clip.
        draw_gt: Draw the true landmarks.
        draw_pred: Draw predictions.

    Returns:
        (rows, columns, 3) uint8 RGB.
    """
    size = images.shape[1:3]
    picks = spread(len(images), max_frames)
    rows = [[images[i] for i in picks]]
    marked = None
    for name, color, wanted in (('gt_landmarks', GREEN, draw_gt),
                                ('pred_landmarks2d', RED, draw_pred)):
        if wanted and name in sample:
            points = _numpy(sample.get(name)).astype(np.float64)
            points[..., :2] = ndc_to_pixel(
                points[..., :2], np.array(size[::-1], np.float64))
            marked = [draw_landmarks(image, points[i], color)
                      for image, i in zip(marked or rows[0], picks,
                                          strict=True)]
    if marked:
        rows.append(marked)
    if draw_pred and renderer is not None and 'pred_vertices' in sample:
        vertices = sample.pred_vertices.detach()
        ndc = ndc_to_pixels3d(
            _numpy(project(vertices, sample.pred_cam.detach())), size)
        rows.append([
            overlay_shape(renderer, images[i], _numpy(vertices[i]), ndc[i])
            for i in picks])
    return image_grid(rows)


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
