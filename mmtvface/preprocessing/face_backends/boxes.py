# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Overlap and distance of many boxes (left, top, right, bottom) at once."""

from collections.abc import Sequence

import numpy as np

from .base import FaceDetection


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of all pairs.

    Args:
        first: (N, 4).
        second: (M, 4).

    Returns:
        (N, M) in [0, 1].
    """
    a, b = first[:, None], second[None]
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) -
                       np.maximum(a[..., :2], b[..., :2]), 0.)
    common = sides.prod(-1)
    total = sum((box[..., 2:] - box[..., :2]).prod(-1)
                for box in (a, b)) - common
    return np.divide(common, total, out=np.zeros_like(common),
                     where=total > 0)


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distance of the centres of all pairs in units of their mean size.

    Args:
        first: (N, 4).
        second: (M, 4).

    Returns:
        (N, M); the size of a box is the mean of its width and height.
    """
    a, b = first[:, None], second[None]
    apart = np.linalg.norm(a[..., :2] + a[..., 2:] - b[..., :2] -
                           b[..., 2:], axis=-1) / 2
    size = sum((box[..., 2:] - box[..., :2]).mean(-1) for box in (a, b)) / 2
    return apart / np.maximum(size, 1e-9)


def best_of_overlapping(faces: Sequence[FaceDetection],
                        max_overlap: float = 0.4,
                        min_distance: float = 0.5) -> list[FaceDetection]:
    """Keep the best one of detections of the same face.

    Args:
        faces: Detections, perhaps of several detectors.
        max_overlap: Largest overlap (intersection over union) of two faces.
        min_distance: Least distance of their centres in units of the mean of
            their sizes.

    Returns:
        What is kept, best scores first.
    """
    kept: list[FaceDetection] = []
    for face in sorted(faces, key=lambda one: -one.score):
        if kept:
            boxes = np.stack([one.box for one in kept])
            if ((overlaps(face.box[None], boxes) > max_overlap).any() or
                    (distances(face.box[None], boxes) < min_distance).any()):
                continue
        kept.append(face)
    return kept
