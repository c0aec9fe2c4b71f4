# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Meshes over images, and pictures of clips."""


import cv2
import numpy as np
import torch

from mmtvface.geometry.camera import ndc_to_pixel, pixel_to_ndc, project
from mmtvface.renderers.mesh_renderer import MeshRenderer
from mmtvface.structures import FaceClipSample

from .drawing import GREEN, RED, draw_landmarks, image_grid, spread


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


def visible_window(vertices_image: np.ndarray, size: tuple[int, int]
                   ) -> tuple[int, int, int, int] | None:
    """The part of an image that a mesh can cover.

    Args:
        vertices_image: (V, 2 or more) pixel indices x, y, ...
        size: Height and width of the image.

    Returns:
        left, top, right, bottom, the last two exclusive; None if the mesh
        lies beside the image or is not finite.
    """
    if not np.isfinite(vertices_image[:, :2]).all():
        return None
    height, width = size
    low = np.floor(vertices_image[:, :2].min(0)).clip(0, (width, height))
    high = (np.ceil(vertices_image[:, :2].max(0)) + 1).clip(
        0, (width, height))
    left, top, right, bottom = (int(value) for value in (*low, *high))
    return (left, top, right, bottom) if (
        left < right and top < bottom) else None


def to_batch(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A float32 batch of one item."""
    return torch.as_tensor(array, dtype=torch.float32, device=device)[None]


def to_pixels(image: torch.Tensor) -> np.ndarray:
    """(C, H, W) in [0, 1] to (H, W, C) uint8; values beyond are clipped."""
    return (image.movedim(0, -1).clamp(0, 1) * 255).round().byte().cpu(
        ).numpy()


@torch.no_grad()
def overlay_shape(renderer: MeshRenderer, image: np.ndarray,
                  vertices: np.ndarray, vertices_image: np.ndarray,
                  opacity: float = 1.,
                  colors: np.ndarray | None = None,
                  normal_offsets: torch.Tensor | None = None) -> np.ndarray:
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
        normal_offsets: (1, 3, S, S), the detail, see
            :meth:`mmtvface.renderers.DetailSurface.normal_offsets`.

    Returns:
        (H, W, 3) uint8 RGB, a new image.
    """
    out = np.ascontiguousarray(image).copy()
    window = visible_window(vertices_image, image.shape[:2])
    if window is None:
        return out
    left, top, right, bottom = window
    part = out[top:bottom, left:right]
    local = vertices_image - np.array([left, top, 0.])
    device = renderer.faces.device
    background = to_batch(part, device).permute(0, 3, 1, 2) / 255
    drawn = renderer.render_shape(
        to_batch(vertices, device),
        to_batch(pixels_to_ndc3d(local, part.shape[:2]), device),
        background=background,
        colors=None if colors is None else to_batch(colors, device),
        normal_offsets=normal_offsets)
    out[top:bottom, left:right] = to_pixels(
        torch.lerp(background, drawn, opacity)[0])
    return out


def frontal_points(vertices: np.ndarray, size: int,
                   margin: float = 1.1) -> np.ndarray:
    """Where vertices lie when a head fills a square image from the front.

    Args:
        vertices: (V, 3) metres, x to the person's left, y up, z forward.
        size: Side of the image in pixels.
        margin: Free space around the head, 1 for none.

    Returns:
        (V, 3) x, y pixel indices and depth in pixels, smaller nearer.
    """
    low, high = vertices.min(0), vertices.max(0)
    zoom = size / ((high - low)[:2].max() * margin)
    points = (vertices - (low + high) / 2) * zoom * [1., -1., -1.]
    points[:, :2] += (size - 1) / 2
    return points


def shape_image(renderer: MeshRenderer, vertices: np.ndarray, size: int = 224,
                margin: float = 1.1, gray: int = 255,
                normal_offsets: torch.Tensor | None = None) -> np.ndarray:
    """The mesh alone, seen from the front and filling a square image.

    Args:
        renderer: With the faces of the mesh.
        vertices: (V, 3) metres, see :func:`frontal_points`.
        size: Side of the image in pixels.
        margin: Free space around the mesh, 1 for none.
        gray: Background, 0 to 255.
        normal_offsets: See :func:`overlay_shape`.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    fine = 2 * size  # averaged to smooth edges
    blank = np.full((fine, fine, 3), gray, np.uint8)
    drawn = overlay_shape(
        renderer, blank, vertices, frontal_points(vertices, fine, margin),
        normal_offsets=normal_offsets)
    return cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA)


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
