# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pictures of the built-in head that face detectors take for faces."""

import numpy as np

from mmtvface.benchmarks.gpu.heads import rendered_heads, turned_heads

__all__ = ['head_video', 'landmark_error', 'rendered_heads', 'turned_heads']


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
