# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Geometry of the face crop: landmarks -> box -> square -> matrix -> pixels.

All coordinates are pixel indices (the centre of the first pixel is 0, see
:mod:`mmtvface.geometry.camera`). A crop maps a square of the original image
exactly onto the crop from edge to edge: index ``x`` goes to
``k * (x - center) + (out_size - 1) / 2`` with ``k = out_size / side``.
DECA (Feng et al., SIGGRAPH 2021) maps the square's corners to 0 and
``out_size - 1`` instead, which mixes edges with pixel centres.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from mmtvface.utils.smoothing import steady

_INTERPOLATIONS = {'nearest': cv2.INTER_NEAREST, 'linear': cv2.INTER_LINEAR,
                   'cubic': cv2.INTER_CUBIC, 'area': cv2.INTER_LINEAR}
_BORDERS = {'constant': cv2.BORDER_CONSTANT, 'replicate': cv2.BORDER_REPLICATE,
            'reflect': cv2.BORDER_REFLECT_101}


def landmark_box(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    """Smallest axis-parallel box around landmarks.

    Args:
        landmarks: (N, 2 or more) pixel indices x, y, ...

    Returns:
        left, top, right, bottom, pixel indices of the outermost points.

    Raises:
        ValueError: If there is no point or one is not finite.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim != 2 or not len(points) or points.shape[1] < 2:
        raise ValueError('landmarks must have the shape (N, 2), N > 0, but '
                         f'they are {points.shape}.')
    points = points[:, :2]
    if not np.isfinite(points).all():
        raise ValueError('landmarks must be finite, but '
                         f'{int((~np.isfinite(points)).any(1).sum())} of '
                         f'{len(points)} points are not.')
    left, top = points.min(0).tolist()
    right, bottom = points.max(0).tolist()
    return left, top, right, bottom


def box_to_square(box: Sequence[float], scale: float = 1.,
                  shift: Sequence[float] = (0., 0.)
                  ) -> tuple[tuple[float, float], float]:
    """Square around a box, as DECA crops faces.

    Side = (width + height) / 2 * scale, centre = the box's centre plus
    ``shift`` in units of (width + height) / 2.

    Args:
        box: left, top, right, bottom, pixel indices.
        scale: Side of the square relative to the box, > 0.
        shift: x and y, fractions of the box's mean side.

    Returns:
        Centre (x, y) as pixel indices and side in pixels.

    Raises:
        ValueError: If the box is empty or the scale not positive.
    """
    left, top, right, bottom = (float(value) for value in box)
    mean_side = (right - left + bottom - top) / 2
    side = mean_side * scale
    if not (math.isfinite(side) and side > 0):
        raise ValueError(
            'A crop needs a box (left, top, right, bottom) of positive size '
            f'and a positive scale, but got {tuple(box)} and scale {scale}.')
    center = ((left + right) / 2 + shift[0] * mean_side,
              (top + bottom) / 2 + shift[1] * mean_side)
    return center, side


def square_matrix(center: Sequence[float], side: float,
                  out_size: int) -> np.ndarray:
    """Matrix that maps a square of the image onto the whole crop.

    Args:
        center: x, y, pixel indices of the original image.
        side: Pixels of the original image.
        out_size: Width and height of the crop in pixels.

    Returns:
        (3, 3) float64, original pixel indices -> crop pixel indices.
    """
    factor = out_size / side
    middle = (out_size - 1) / 2
    return np.array([[factor, 0., middle - factor * center[0]],
                     [0., factor, middle - factor * center[1]],
                     [0., 0., 1.]])


def crop_matrix(box: Sequence[float], out_size: int, scale: float = 1.,
                shift: Sequence[float] = (0., 0.)) -> np.ndarray:
    """Crop matrix of a face box, see :func:`box_to_square`.

    Args:
        box: left, top, right, bottom, pixel indices.
        out_size: Width and height of the crop in pixels.
        scale: Side of the square relative to the box's mean side.
        shift: x and y, fractions of the box's mean side.

    Returns:
        (3, 3) float64, original pixel indices -> crop pixel indices.
    """
    center, side = box_to_square(box, scale, shift)
    return square_matrix(center, side, out_size)


def track_squares(boxes: np.ndarray, scale: float | np.ndarray = 1.,
                  shift: np.ndarray | Sequence[float] = (0., 0.),
                  mode: str = 'frame', sigma: float = 2.
                  ) -> tuple[np.ndarray, np.ndarray]:
    """Squares around the boxes of consecutive frames.

    'frame' takes each frame's own box, as DECA does, and so carries the
    noise of the landmarks into the crops. 'smooth' filters centres and sides
    along time (:func:`~mmtvface.utils.smoothing.steady`), so that
    an even motion stays as it is up to both ends. 'clip' holds one
    square still: the median side around the middle of all centres, enlarged
    where the face would leave it.

    Args:
        boxes: (t, 4) left, top, right, bottom, pixel indices.
        scale: () or (t,), side relative to the box's mean side.
        shift: (2,) or (t, 2), fractions of the box's mean side.
        mode: 'frame', 'smooth' or 'clip'.
        sigma: Standard deviation of 'smooth' in frames.

    Returns:
        centres (t, 2) and sides (t,) in pixels.

    Raises:
        ValueError: If the mode is unknown or a box is empty.
    """
    boxes = np.asarray(boxes, np.float64)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    extents = boxes[:, 2:] - boxes[:, :2]
    means = extents.mean(1)
    if not (means > 0).all():
        raise ValueError(f'All boxes must have a positive size: {boxes}.')
    if mode == 'smooth':
        smooth = steady(np.column_stack([centers, means]), sigma)
        centers, means = smooth[:, :2], smooth[:, 2]
    elif mode == 'clip':
        middle = (centers.min(0) + centers.max(0)) / 2
        reach = (np.abs(centers - middle) + extents / 2).max()
        side = max(float(np.median(means)), 2 * float(reach) / 1.2)
        centers, means = np.tile(middle, (len(boxes), 1)), np.full(
            len(boxes), side)
    elif mode != 'frame':
        raise ValueError("mode must be 'frame', 'smooth' or 'clip', but it "
                         f"is '{mode}'.")
    centers = centers + np.asarray(shift) * means[:, None]
    return centers, means * scale


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply an affine matrix to x and y; further columns are kept.

    Args:
        points: (..., 2 or more) x, y, ...
        matrix: (3, 3), or (..., 3, 3) that matches the leading axes of
            ``points`` up to the point axis, e.g. (t, 3, 3) for (t, N, 2).

    Returns:
        New array of the same shape.
    """
    matrix = np.asarray(matrix)
    out = np.array(points, dtype=np.result_type(points, np.float32))
    linear, offset = matrix[..., :2, :2], matrix[..., :2, 2]
    if matrix.ndim > 2:
        offset = offset[..., None, :]
    out[..., :2] = out[..., :2] @ np.swapaxes(linear, -1, -2) + offset
    return out


def warp(image: np.ndarray, matrix: np.ndarray, size: int | Sequence[int],
         interpolation: str = 'area', border: str = 'constant',
         fill: float = 0.) -> np.ndarray:
    """Resample an image by a similarity matrix.

    'area' averages source pixels when the crop is less than half as large
    as the source square, so that small crops of large frames do not alias.

    Args:
        image: (H, W) or (H, W, C), any real dtype.
        matrix: (3, 3) source pixel indices -> output pixel indices.
        size: Output side, or (height, width).
        interpolation: 'area', 'linear', 'cubic' or 'nearest'.
        border: What lies outside the source: 'constant' (``fill``),
            'replicate' or 'reflect'.
        fill: Value outside for ``border='constant'``.

    Returns:
        (h, w[, C]), the dtype of ``image``.

    Raises:
        ValueError: If an option is unknown or the image is empty.
    """
    if interpolation not in _INTERPOLATIONS or border not in _BORDERS:
        raise ValueError(
            f'interpolation must be one of {sorted(_INTERPOLATIONS)} and '
            f"border one of {sorted(_BORDERS)}, but they are "
            f"'{interpolation}' and '{border}'.")
    if image.ndim not in (2, 3) or not image.size:
        raise ValueError('image must have the shape (H, W) or (H, W, C) and '
                         f'not be empty, but it is {image.shape}.')
    height, width = (size, size) if isinstance(size, int) else size
    matrix = np.asarray(matrix, dtype=np.float64)
    work = _opencv_dtype(image)
    if interpolation == 'area':
        work, matrix = _reduce(work, matrix, (height, width))
    out = cv2.warpAffine(
        work, matrix[:2], (width, height),
        flags=_INTERPOLATIONS[interpolation], borderMode=_BORDERS[border],
        borderValue=(fill, ) * 4)
    if out.ndim < image.ndim:  # OpenCV drops a channel axis of length 1
        out = out[..., None]
    if out.dtype != image.dtype:
        if image.dtype == bool:
            return out > 127
        if np.issubdtype(image.dtype, np.integer):
            out = np.rint(out)
        out = out.astype(image.dtype)
    return out


def _opencv_dtype(image: np.ndarray) -> np.ndarray:
    """The image in a dtype that ``cv2.warpAffine`` supports."""
    if image.dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64):
        return image
    if image.dtype == bool:
        return image.view(np.uint8) * np.uint8(255)
    if image.dtype in (np.int8, np.float16):
        return image.astype(np.float32)
    return image.astype(np.float64)


def _reduce(image: np.ndarray, matrix: np.ndarray,
            size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Average whole blocks of the source before a strong reduction.

    Only the part of the source that the output shows is touched.

    Args:
        image: (H, W[, C]).
        matrix: (3, 3) source -> output.
        size: Output height and width.

    Returns:
        The reduced part and the matrix from it to the output.
    """
    zoom = math.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    factor = int(1 / zoom) if zoom > 0 else 1
    if factor < 2:
        return image, matrix
    rows, cols = image.shape[:2]
    corners = transform_points(
        np.array([[x, y] for x in (-1, size[1]) for y in (-1, size[0])]),
        np.linalg.inv(matrix))
    low = np.floor(corners.min(0)).astype(int) - factor
    high = np.ceil(corners.max(0)).astype(int) + 1 + factor
    left, top = (max(0, int(value)) for value in low)
    # Whole blocks only; what is cut at the far edge is less than a block,
    # so a last incomplete block is completed by repeating the edge.
    right, bottom = min(cols, int(high[0])), min(rows, int(high[1]))
    if right <= left or bottom <= top:
        return image, matrix
    part = image[top:bottom, left:right]
    pad_x, pad_y = -part.shape[1] % factor, -part.shape[0] % factor
    if pad_x or pad_y:
        part = cv2.copyMakeBorder(part, 0, pad_y, 0, pad_x,
                                  cv2.BORDER_REPLICATE)
    part = cv2.resize(
        part, (part.shape[1] // factor, part.shape[0] // factor),
        interpolation=cv2.INTER_AREA)
    middle = (factor - 1) / 2
    to_source = np.array([[factor, 0., left + middle],
                          [0., factor, top + middle], [0., 0., 1.]])
    return part, matrix @ to_source
