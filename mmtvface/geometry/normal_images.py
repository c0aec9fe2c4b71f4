# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Normals as images, and back."""

import numpy as np


def encode_normals(normals: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Normals as an RGB image.

    Args:
        normals: (H, W, 3), any length; x right, y up, z to the camera.
        covered: (H, W) bool, where there is a surface.

    Returns:
        (H, W, 3) uint8, RGB = 255 (n + 1) / 2 of the unit normal; a surface
        that faces the camera is (128, 128, 255), and black is none.
    """
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    unit = normals / np.maximum(length, 1e-12)
    colors = np.rint((unit + 1) * 127.5)
    return np.where(covered[..., None], colors, 0).astype(np.uint8)


def decode_normals(image: np.ndarray) -> np.ndarray:
    """Invert :func:`encode_normals`.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (H, W, 3) float64 unit normals, NaN where the image is black.
    """
    normals = image / 127.5 - 1
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where(image.any(-1, keepdims=True), normals, np.nan)
