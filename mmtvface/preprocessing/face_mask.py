# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Face masks drawn from landmarks, where no segmentation is at hand."""

import cv2
import numpy as np

from mmtvface.geometry.mediapipe68 import FACE_OVAL, NUM_MESH_POINTS
from mmtvface.utils.checks import check_shape

_SHIFT = 4  # OpenCV draws polygons to 1/16 pixel


def polygon_mask(points: np.ndarray, image_size: tuple[int, int]
                 ) -> np.ndarray:
    """Filled polygon.

    Args:
        points: (N, 2) pixel indices, N >= 3.
        image_size: Height and width.

    Returns:
        (H, W) uint8, 0 or 1.
    """
    mask = np.zeros(image_size, np.uint8)
    fixed = np.rint(np.asarray(points, np.float64) * 2**_SHIFT)
    cv2.fillPoly(mask, [fixed.astype(np.int32)[:, None]], 1, shift=_SHIFT)
    return mask


def landmark_mask(landmarks: np.ndarray, image_size: tuple[int, int],
                  forehead: float = 0.35) -> np.ndarray:
    """Convex hull of the 68 landmarks, extended over the forehead.

    The landmarks end at the brows. The brows are moved away from the chin
    along the face's axis by a share of its height, which covers the lower
    forehead and seldom hair.

    Args:
        landmarks: (68, 2 or more) pixel indices, iBUG order.
        image_size: Height and width.
        forehead: Height of the extension relative to the distance from chin
            to the middle of the brows.

    Returns:
        (H, W) uint8, 0 or 1.

    Raises:
        ValueError: If the landmarks have another shape.
    """
    landmarks = np.asarray(landmarks, np.float64)[..., :2]
    check_shape('landmarks', landmarks, (68, 2))
    brows = landmarks[17:27]
    up = brows.mean(0) - landmarks[8]
    points = np.concatenate([landmarks, brows + forehead * up])
    hull = cv2.convexHull(points.astype(np.float32))[:, 0]
    return polygon_mask(hull, image_size)


def mesh_mask(mesh: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Face mask of a MediaPipe mesh: its oval up to the hair line.

    Args:
        mesh: (468 or more, 2 or more) pixel indices.
        image_size: Height and width.

    Returns:
        (H, W) uint8, 0 or 1.

    Raises:
        ValueError: If there are fewer than 468 points.
    """
    if mesh.ndim != 2 or len(mesh) < NUM_MESH_POINTS:
        raise ValueError('mesh must have the shape (468 or more, 2 or more), '
                         f'but it is {mesh.shape}.')
    return polygon_mask(mesh[list(FACE_OVAL), :2], image_size)
