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

    Required Keys: frames, landmarks, masks, rng; reductions, frame_sizes
    (optional, for frames that were decoded smaller).

    Modified Keys:
        landmarks: (t, 68, 3) float32, NDC of the crop and visibility.
        masks: (t, S, S) float32 0..1, or None.

    Added Keys:
        images: (t, S, S, 3) uint8 RGB.
        crop_matrices: (t, 3, 3) float64, original -> crop pixel indices.
        ori_shape: (H, W) of the first frame.

    Args:
        image_size: Side S of the crop; default: the data set's.
        scale: Side relative to the landmark box, a number or a range.
        trans_scale: Largest shift, relative to the box's mean side; each
            axis is drawn uniformly.
        mode: 'frame', 'smooth' or 'clip', see
            :func:`mmtvface.geometry.crop.track_squares`.
        random: Draw the scale from its range, else take the middle.
        per_frame: Draw scale and shift for every frame.
    """

    def __init__(self, image_size: int | None = None,
                 scale: float | Sequence[float] = (1.4, 1.8),
                 trans_scale: float = 0., mode: str = 'frame',
                 random: bool = True, per_frame: bool = False):
        bounds = (scale, scale) if isinstance(scale, int | float) else scale
        if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1]:
            raise ValueError('scale must be a positive number or a range '
                             f'(low, high), but it is {scale}.')
        self.image_size = image_size
        self.scale = (float(bounds[0]), float(bounds[1]))
        self.trans_scale = trans_scale
        self.mode = mode
        self.random = random
        self.per_frame = per_frame

    def _draw(self, rng: np.random.Generator, num_frames: int
              ) -> tuple[np.ndarray, np.ndarray]:
        """Scale (t,) and shift (t, 2) of every frame."""
        if not self.random:
            return (np.full(num_frames, sum(self.scale) / 2),
                    np.zeros((num_frames, 2)))
        draws = num_frames if self.per_frame else 1
        scale = rng.uniform(*self.scale, draws)
        shift = rng.uniform(-1, 1, (draws, 2)) * self.trans_scale
        return (np.broadcast_to(scale, (num_frames, )),
                np.broadcast_to(shift, (num_frames, 2)))

    def __call__(self, results: dict) -> dict:
        """Crop."""
        results = dict(results)
        frames, landmarks = results['frames'], results['landmarks']
        scale, shift = self._draw(results['rng'], len(frames))
        boxes = np.array([landmark_box(points) for points in landmarks])
        centers, sides = track_squares(boxes, scale, shift, self.mode)
        size = self.image_size or results['image_size']
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
