# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Cameras whose image is a face crop."""

from collections.abc import Sequence

import numpy as np

from mmtvface.geometry.crop import track_squares

from .trajectories import FPS, smooth_noise


def draw_camera(rng: np.random.Generator, landmarks: np.ndarray,
                scale: Sequence[float] = (1.4, 1.8), shift: float = .05,
                shake: float = .015, fps: float = FPS) -> np.ndarray:
    """Weak-perspective cameras that see what a face crop of a video shows.

    As for real clips, the crop is a square around the box of the landmarks
    (DECA, Feng et al., SIGGRAPH 2021): scale and shift are drawn once per
    clip, the boxes are smoothed along time, and the crop shakes a little.

    Args:
        rng: Generator.
        landmarks: (t, 68, 3) metres, model space.
        scale: Range of the crop's side relative to the box.
        shift: Largest shift of the clip, relative to the box.
        shake: Standard deviation of the slow shake, relative to the box.
        fps: Frames per second.

    Returns:
        (t, 3) scale (NDC units per metre), tx, ty (metres).
    """
    num_frames = len(landmarks)
    points = landmarks[..., :2]
    boxes = np.concatenate([points.min(1), points.max(1)], -1)
    moves = shake * smooth_noise(rng, num_frames, 3, 1.2, fps)
    factor = rng.uniform(*scale) * (1 + moves[:, 0])
    shifts = rng.uniform(-shift, shift, 2) + moves[:, 1:]
    centers, sides = track_squares(boxes, factor, shifts, 'smooth')
    return np.concatenate([2 / sides[:, None], -centers], -1)
