# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Perspective cameras that see what weak perspective cameras see."""

from typing import NamedTuple

import numpy as np

from mmtvface.utils.checks import check_shape


class PerspectiveCamera(NamedTuple):
    """One lens for all frames, and where it stands in each.

    The convention is that of OpenCV: x right, y down, z forward in the
    camera, pixel indices (the centre of the first pixel is 0), pixel =
    K (R x + t) after division by its third coordinate.

    Attributes:
        intrinsics: (3, 3) K, pixels.
        extrinsics: (T, 3, 4) [R | t], metres.
    """

    intrinsics: np.ndarray
    extrinsics: np.ndarray


def scaled_orthographic(camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take weak perspective cameras apart.

    Args:
        camera: (T, 3, 4) maps (x, y, z, 1) in metres to x, y in pixels and
            depth; the rows of x and y are s times those of a rotation.

    Returns:
        (T,) s, pixels per metre, and (T, 3, 3) rotations, z forward.

    Raises:
        ValueError: If the cameras are not of that form.
    """
    check_shape('camera', camera, ('T', 3, 4))
    rows = np.asarray(camera, np.float64)[:, :2, :3]
    lengths = np.linalg.norm(rows, axis=-1)
    scale = lengths.mean(1)
    if not (np.isfinite(rows).all() and (scale > 0).all()):
        raise ValueError('The cameras must be finite, with a positive '
                         f'scale, but the scales are {scale}.')
    x, y = (rows / scale[:, None, None]).swapaxes(0, 1)
    skew = max(np.abs(lengths / scale[:, None] - 1).max(),
               np.abs((x * y).sum(-1)).max())
    if skew > 1e-4:
        raise ValueError('The cameras must be similarities (the same scale '
                         'along x and y, at right angles), but they deviate '
                         f'by {skew:.2g}.')
    return scale, np.stack([x, y, np.cross(x, y)], 1)


def _centerd(camera: np.ndarray,
             frame_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Middle of the frame (2,), and the origins' places from it (T, 2)."""
    height, width = frame_size
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return middle, camera[:, :2, 3] - middle


def required_focal(camera: np.ndarray, points: np.ndarray,
                   frame_size: tuple[int, int],
                   tolerance: float = .1) -> tuple[np.ndarray, np.ndarray]:
    """How long a lens must be to agree with weak perspective cameras.

    With focal length f a camera at the distance f / s has the scale s at the
    depth of the middle of the head. A point that is z metres behind that and
    r pixels from the principal point (the middle of the frame) is off by
    r |z| / (distance + z).

    Args:
        camera: (T, 3, 4) weak perspective, metres -> pixels of the frame,
            see :class:`mmtvface.reconstruction.results.FrameResult`.
        points: (T, N, 3) metres, where they must agree, the vertices.
        frame_size: Height and width.
        tolerance: Largest difference in pixels.

    Returns:
        (T,) the shortest focal lengths in pixels, and (T,) the depth of the
        middle of the points along the cameras' axes in metres.

    Raises:
        ValueError: If shapes do not fit or the cameras are not weak
            perspective.
    """
    scale, rotation = scaled_orthographic(camera)
    check_shape('points', points, (len(camera), 'N', 3))
    _, shift = _centerd(camera, frame_size)
    seen = points.astype(np.float64) @ rotation.swapaxes(1, 2)
    depth = (seen[..., 2].min(1) + seen[..., 2].max(1)) / 2
    behind = seen[..., 2] - depth[:, None]
    radius = np.linalg.norm(scale[:, None, None] * seen[..., :2]
                            + shift[:, None], axis=-1)
    # r |z| / (distance + z) <= tolerance
    distance = (radius * np.abs(behind) / tolerance - behind).max(1)
    # Never nearer than ten times the depth of the head.
    distance = np.maximum(distance, 10 * np.abs(behind).max(1))
    return distance * scale, depth


def equivalent_perspective(camera: np.ndarray, focal: float,
                           depth: np.ndarray,
                           frame_size: tuple[int, int]) -> PerspectiveCamera:
    """Perspective cameras of one lens in place of weak perspective ones.

    Args:
        camera: (T, 3, 4) as in :func:`required_focal`.
        focal: Pixels, at least the largest of :func:`required_focal`.
        depth: (T,) metres, where the scales are equal, see there.
        frame_size: Height and width.

    Raises:
        ValueError: If the cameras are not weak perspective.
    """
    scale, rotation = scaled_orthographic(camera)
    middle, shift = _centerd(camera, frame_size)
    intrinsics = np.array([[focal, 0, middle[0]], [0, focal, middle[1]],
                           [0, 0, 1.]])
    place = np.column_stack([shift / scale[:, None], focal / scale - depth])
    return PerspectiveCamera(
        intrinsics, np.concatenate([rotation, place[..., None]], -1))
