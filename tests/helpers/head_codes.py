# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Files of codes as mmtvface reconstruct writes them, with known heads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def head_codes(names: Sequence[str], yaw: Sequence[float],
               center: Sequence[tuple[float, float]], scale: Sequence[float],
               valid: Sequence[bool], size: tuple[int, int]
               ) -> dict[str, np.ndarray]:
    """Arrays of average heads, one row per name.

    Args:
        names: Of the frames.
        yaw: Radians, positive to the person's left.
        center: Pixel indices x, y of the head model's origin.
        scale: Pixels per metre.
        valid: Where there is a head; NaN elsewhere.
        size: Height and width of the frames.
    """
    count = len(names)
    pose = np.zeros((count, 6), np.float32)
    pose[:, 1] = yaw
    camera = np.zeros((count, 3, 4))
    camera[:, :, :3] = np.diag([1., -1., -1.]) * np.reshape(scale, (-1, 1, 1))
    camera[:, :2, 3] = center
    arrays = dict(shape=np.zeros((count, 100), np.float32),
                  exp=np.zeros((count, 50), np.float32), pose=pose,
                  camera=camera)
    for array in arrays.values():
        array[~np.array(valid, bool)] = np.nan
    return dict(arrays, frame_name=np.array(names),
                frame_size=np.tile(size, (count, 1)),
                valid=np.array(valid, bool))


def write_codes(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Write a ``codes.npz`` and the folder it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path
