# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Face masks drawn from landmarks, where no segmentation is at hand."""

import cv2
import numpy as np

from mmtvface.utils.checks import check_shape

from .landmarks import INNER_LIPS, LEFT_EYE, RIGHT_EYE
from .mediapipe68 import FACE_OVAL, NUM_MESH_POINTS

_SHIFT = 4  # OpenCV draws polygons to 1/16 pixel
# Openings thinner than this, in pixels, are closed: a polygon is drawn with
# its outline, which would cut a line into closed lips.
_MIN_OPENING = 1.


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


def outline_mask(landmarks: np.ndarray, image_size: tuple[int, int],
                 mesh: np.ndarray | None = None) -> np.ndarray:
    """Skin mask without a segmentation: the face but for eyes and mouth.

    The outline is the mesh's oval, up to the hair line, if there is a mesh
    (:func:`mesh_mask`), else the landmarks' convex hull with a forehead
    (:func:`landmark_mask`). The polygons of the eyes and of the opening
    between the inner lips are taken out; hair or hands before the face are
    not.

    Args:
        landmarks: (68, 2 or more) pixel indices, iBUG order.
        image_size: Height and width.
        mesh: (468 or more, 2 or more) MediaPipe's mesh of the same face.

    Returns:
        (H, W) uint8, 0 or 1.

    Raises:
        ValueError: If landmarks or mesh have another shape or are not finite.
    """
    landmarks = np.asarray(landmarks, np.float64)[..., :2]
    check_shape('landmarks', landmarks, (68, 2))
    for name, points in (('landmarks', landmarks), ('mesh', mesh)):
        if points is not None and not np.isfinite(points).all():
            raise ValueError(f'{name} must be finite, but some are not.')
    mask = (landmark_mask(landmarks, image_size) if mesh is None
            else mesh_mask(mesh, image_size))
    for opening in (RIGHT_EYE, LEFT_EYE, INNER_LIPS):
        points = landmarks[list(opening)]
        if _thickness(points) >= _MIN_OPENING:
            mask &= 1 - polygon_mask(points, image_size)
    return mask


def _thickness(polygon: np.ndarray) -> float:
    """Area of a polygon (N, 2) over its length: its mean width, pixels."""
    x, y = polygon.T
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    length = np.linalg.norm(polygon - np.roll(polygon, -1, 0), axis=1).sum()
    return float(2 * area / length) if length > 0 else 0.
