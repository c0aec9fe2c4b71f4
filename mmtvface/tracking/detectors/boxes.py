# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Overlap and distance of many boxes (left, top, right, bottom) at once."""

from collections.abc import Sequence

import numpy as np

from .face_detector import FaceDetection


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of all pairs.

    Args:
        first: (N, 4).
        second: (M, 4).

    Returns:
        (N, M) in [0, 1].
    """
    common, one, other = _areas(first, second)
    return _share(common, one + other - common)


def covers(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Share of the smaller box that lies in the other one, of all pairs.

    Args:
        first: (N, 4).
        second: (M, 4).

    Returns:
        (N, M) in [0, 1].
    """
    common, one, other = _areas(first, second)
    return _share(common, np.minimum(one, other))


def _areas(first: np.ndarray, second: np.ndarray
           ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Areas of all pairs: what they share (N, M), and their own."""
    a, b = first[:, None], second[None]
    common = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) -
                        np.maximum(a[..., :2], b[..., :2]), 0.).prod(-1)
    return common, *((box[..., 2:] - box[..., :2]).prod(-1)
                     for box in (a, b))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Quotient of areas, 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


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


def are_same(first: np.ndarray, second: np.ndarray,
             max_cover: float = 0.7) -> np.ndarray:
    """Which pairs of boxes are of one face.

    They are if they overlap by more than 35 %, if their centres are nearer
    than 0.4 of their mean size, or if the larger one contains more than
    ``max_cover`` of the smaller one: nobody's whole face is seen before
    another face, but detectors see faces in parts of faces.

    Args:
        first: (N, 4).
        second: (M, 4).
        max_cover: See above.

    Returns:
        (N, M) bool.
    """
    return ((overlaps(first, second) > 0.35) |
            (distances(first, second) < 0.4) |
            (covers(first, second) > max_cover))


def mean_side(box: np.ndarray) -> float:
    """Mean of the width and height of one box (4,)."""
    return float((box[2:] - box[:2]).mean())


def is_among(box: np.ndarray, boxes: Sequence[np.ndarray],
             max_cover: float = 0.7) -> bool:
    """Whether one box is of the same face as one of others."""
    return len(boxes) > 0 and bool(are_same(
        box[None], np.stack(boxes), max_cover).any())


def without_repeats(faces: Sequence[FaceDetection],
                    known: Sequence[FaceDetection] = (),
                    max_cover: float = 0.7) -> list[FaceDetection]:
    """Leave out what was found twice.

    Args:
        faces: Detections, of which the best ones are kept.
        known: Faces that stay whatever their score.
        max_cover: See :func:`are_same`.

    Returns:
        ``known``, then the others, best scores first.
    """
    kept = list(known)
    for face in sorted(faces, key=lambda one: -one.score):
        if not is_among(face.box, [one.box for one in kept], max_cover):
            kept.append(face)
    return kept
