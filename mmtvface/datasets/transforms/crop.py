# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Crop the face of a clip."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmtvface.geometry.camera import pixel_to_ndc
from mmtvface.geometry.crop import (
    landmark_box,
    square_matrix,
    track_squares,
    transform_points,
    warp,
)
from mmtvface.registry import TRANSFORMS


def reduced_to_full(factor: int) -> np.ndarray:
    """Matrix from a reduced image to the full one.

    A pixel of the reduced image covers ``factor`` x ``factor`` pixels.

    Args:
        factor: 1, 2, 4, ...

    Returns:
        (3, 3) float64, reduced -> full pixel indices.
    """
    middle = (factor - 1) / 2
    return np.array([[factor, 0., middle], [0., factor, middle],
                     [0., 0., 1.]])


@TRANSFORMS.register_module()
class CropFaceClip:
    """Crop every frame around its landmarks, with one draw per clip.

    Required Keys: frames, landmarks, masks, image_size, rng; reductions,
    frame_sizes (optional, for frames that were decoded smaller).

    Modified Keys:
        landmarks: (t, 68, 3) float32, NDC of the crop and visibility.
        masks: (t, S, S) float32 0..1, or None.

    Added Keys:
        images: (t, S, S, 3) uint8 RGB, S is ``image_size``.
        crop_matrices: (t, 3, 3) float64, original -> crop pixel indices.
        ori_shape: (H, W) of the first frame.

    Args:
        scale: Side relative to the landmark box, a number or a range.
        trans_scale: Largest shift, relative to the box's mean side; each
            axis is drawn uniformly.
        mode: 'frame', 'smooth' or 'clip', see
            :func:`mmtvface.geometry.crop.track_squares`.
        random: Draw scale and shift, else take the middle of the range and
            no shift.
    """

    def __init__(self, scale: float | Sequence[float] = (1.4, 1.8),
                 trans_scale: float = 0., mode: str = 'frame',
                 random: bool = True):
        bounds = (scale, scale) if isinstance(scale, int | float) else scale
        if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1]:
            raise ValueError('scale must be a positive number or a range '
                             f'(low, high), but it is {scale}.')
        self.scale = (float(bounds[0]), float(bounds[1]))
        self.trans_scale = trans_scale
        self.mode = mode
        self.random = random

    def _draw(self, rng: np.random.Generator) -> tuple[float, np.ndarray]:
        """Scale and shift (2,) of a clip."""
        if not self.random:
            return sum(self.scale) / 2, np.zeros(2)
        return (rng.uniform(*self.scale),
                rng.uniform(-1, 1, 2) * self.trans_scale)

    def __call__(self, results: dict) -> dict:
        """Crop."""
        results = dict(results)
        frames, landmarks = results['frames'], results['landmarks']
        scale, shift = self._draw(results['rng'])
        boxes = np.array([landmark_box(points) for points in landmarks])
        centers, sides = track_squares(boxes, scale, shift, self.mode)
        size = results['image_size']
        matrices = np.stack([
            square_matrix(center, side, size)
            for center, side in zip(centers, sides, strict=True)])
        images = np.empty((len(frames), size, size, 3), np.uint8)
        for image, frame, matrix, factor in zip(
                images, frames, matrices, results.get(
                    'reductions', [1] * len(frames)), strict=True):
            cv2.cvtColor(warp(frame, matrix @ reduced_to_full(factor), size),
                         cv2.COLOR_BGR2RGB, dst=image)
        results['images'] = images
        moved = transform_points(landmarks, matrices)
        moved[..., :2] = pixel_to_ndc(moved[..., :2], size)
        results['landmarks'] = moved.astype(np.float32)
        if results['masks'] is not None:
            masks = np.empty((len(frames), size, size), np.float32)
            for out, mask, matrix in zip(
                    masks, results['masks'], matrices, strict=True):
                out[:] = warp(mask, matrix, size, 'nearest')
                if mask.dtype == np.uint8:
                    out /= 255
            results['masks'] = masks
        results['crop_matrices'] = matrices
        results['ori_shape'] = tuple(
            results['frame_sizes'][0] if 'frame_sizes' in results
            else frames[0].shape[:2])
        for key in ('frames', 'reductions', 'frame_sizes'):
            results.pop(key, None)
        return results
