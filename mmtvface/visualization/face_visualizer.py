# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pictures of clips with their ground truth and predictions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.visualization import Visualizer

from mmtvface.geometry.camera import ndc_to_pixel, project
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.registry import VISUALIZERS
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


@VISUALIZERS.register_module()
class FaceVisualizer(Visualizer):
    """Records :func:`draw_clip` pictures in all visualisation back-ends.

    Args:
        name: Of the instance; mmengine finds visualizers by it.
        topology: Faces of the predicted meshes, as for
            :class:`MeshRenderer`; None: no meshes are drawn.
        max_frames: Frames shown per clip.
        **kwargs: Of mmengine's ``Visualizer``.
    """

    def __init__(self,
                 name: str = 'visualizer',
                 topology: HeadTopology | str
                 | Mapping[str, Any] | None = None,
                 max_frames: int = 5, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.max_frames = max_frames
        self.renderer = None if topology is None else MeshRenderer(topology)

    @master_only
    def add_datasample(self, name: str, image: np.ndarray,
                       data_sample: FaceClipSample | None = None,
                       draw_gt: bool = True, draw_pred: bool = True,
                       show: bool = False, wait_time: int = 0,
                       step: int = 0) -> None:
        """Record a clip.

        Args:
            name: Of the picture.
            image: (t, H, W, 3) uint8 RGB.
            data_sample: Ground truth and predictions.
            draw_gt: Draw the true landmarks.
            draw_pred: Draw predictions.
            show: Open a window (needs a display).
            wait_time: Seconds that it stays open, 0 until it is closed.
            step: Global step.
        """
        picture = draw_clip(image, data_sample or FaceClipSample(),
                            self.renderer, self.max_frames, draw_gt,
                            draw_pred)
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
        self.add_image(name, picture, step)
