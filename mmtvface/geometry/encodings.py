# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Normals and depth as images, and back."""

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


DEPTH_UNIT = 1e-5
"""Metres per step of 16-bit depth images."""
DEPTH_ZERO = 32768
"""Value of the plane through the origin of the head model."""


def encode_depth(toward: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Depth as a 16-bit image, brighter nearer.

    Args:
        toward: (H, W) metres from the plane through the head model's origin
            towards the camera.
        covered: (H, W) bool, where there is a surface.

    Returns:
        (H, W) uint16, :data:`DEPTH_ZERO` + ``toward`` in steps of 0.01 mm
        (+-32 cm, clipped); 0 where there is no surface.
    """
    steps = np.rint(toward / DEPTH_UNIT) + DEPTH_ZERO
    return np.where(covered, steps.clip(1, 65535), 0).astype(np.uint16)


def decode_depth(image: np.ndarray) -> np.ndarray:
    """Invert :func:`encode_depth`.

    Args:
        image: (H, W) uint16.

    Returns:
        (H, W) float64 metres towards the camera, NaN where there is no
        surface.
    """
    metres = (image.astype(np.float64) - DEPTH_ZERO) * DEPTH_UNIT
    return np.where(image > 0, metres, np.nan)


def view_depth(image: np.ndarray) -> np.ndarray:
    """A 16-bit depth image for the eye: grey 50 farthest, 255 nearest.

    Args:
        image: (H, W) uint16, see :func:`encode_depth`.

    Returns:
        (H, W, 3) uint8, black where there is no surface. The range is that
        of this image: for statistics use the 16-bit one.
    """
    seen = image > 0
    if not seen.any():
        return np.zeros((*image.shape, 3), np.uint8)
    low, high = int(image[seen].min()), int(image[seen].max())
    gray = 50 + 205 * (image.astype(np.float64) - low) / max(high - low, 1)
    gray = np.where(seen, np.rint(gray), 0).astype(np.uint8)
    return np.repeat(gray[..., None], 3, -1)
