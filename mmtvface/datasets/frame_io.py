# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Read one image, one set of landmarks or one mask, or say what is wrong."""

from pathlib import Path

import cv2
import numpy as np

NUM_LANDMARKS = 68
_END_MARKS = {b'\xff\xd8': (b'\xff\xd9', b'\xff\xda'),
              b'\x89P': (b'IEND', b'IHDR')}


def read_image(path: Path) -> np.ndarray:
    """Read an image file.

    OpenCV fills what a truncated JPEG lacks with grey and reports nothing,
    so the end mark of the file is checked first.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        ValueError: If the file cannot be decoded or is truncated.
        OSError: If it cannot be read.
    """
    data = path.read_bytes()
    # The end mark must follow the last start of data: an embedded thumbnail
    # has an end mark of its own.
    end, start = _END_MARKS.get(data[:2], (b'', b''))
    if end and data.rfind(end) <= data.rfind(start):
        raise ValueError('the image file is truncated')
    image = None
    if data:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8),
                                 cv2.IMREAD_COLOR)
        except cv2.error as error:  # for example more than 2^30 pixels
            raise ValueError(
                f'the image cannot be decoded ({error.err})') from error
    if image is None:
        raise ValueError('the image cannot be decoded')
    return image


def _load_array(path: Path) -> np.ndarray:
    """Read a ``.npy`` file; NumPy opens archives under any name."""
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError('the file is an archive (.npz) and no single array')
    return array


def read_landmarks(path: Path) -> np.ndarray:
    """Read 68 landmarks in pixels.

    Returns:
        (68, 3) float32 x, y, visibility; 1 where the file has two columns.

    Raises:
        ValueError: If the array has another shape, is not finite, or spans
            no area.
        OSError: If it cannot be read.
    """
    points = _load_array(path)
    if points.shape not in ((NUM_LANDMARKS, 2), (NUM_LANDMARKS, 3)):
        raise ValueError(
            f'landmarks must be (68, 2) or (68, 3), not {points.shape}')
    if points.dtype.kind not in 'fiu' or not np.isfinite(points).all():
        raise ValueError('landmarks are not all finite numbers')
    out = np.ones((NUM_LANDMARKS, 3), np.float32)
    out[:, :points.shape[1]] = points
    if not (np.ptp(out[:, :2], 0) > 0).all():
        raise ValueError('landmarks lie on one point or line')
    return out


def read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read a skin mask.

    Args:
        path: ``.npy`` of any real dtype, or an image; 0/1, 0..1 or 0..255.
        shape: (H, W) that the mask must have.

    Returns:
        (H, W) float32, 0..1.

    Raises:
        ValueError: If the array has another shape or other values.
        OSError: If it cannot be read.
    """
    if path.suffix == '.npy':
        mask = _load_array(path)
    else:
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise ValueError('the mask cannot be decoded')
    if mask.ndim == 3 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    elif mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[0]
    if mask.shape != tuple(shape):
        raise ValueError(f'the mask is {mask.shape}, the image {shape}')
    return normalise_mask(mask)


def normalise_mask(mask: np.ndarray) -> np.ndarray:
    """Bring a mask of any dtype to float32 0..1.

    Masks are stored as bool, as 0/1 or 0..255 in integers, or as 0..1 or
    0..255 in floats. The range is read from the values, not from the dtype.

    Raises:
        ValueError: If the values fit none of these, for example class labels.
    """
    if mask.dtype == bool:
        return mask.astype(np.float32)
    if mask.dtype.kind not in 'fiu':
        raise ValueError(f'a mask cannot be of the type {mask.dtype}')
    low, high = float(mask.min()), float(mask.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > 255:
        raise ValueError(f'mask values must be 0..1 or 0..255, not {low:g} '
                         f'to {high:g}')
    if high <= 1:
        return mask.astype(np.float32)
    if high < 128:
        raise ValueError(f'mask values of 0 to {high:g} look like class '
                         'labels; store 0/1 or 0..255')
    return mask.astype(np.float32) / 255
