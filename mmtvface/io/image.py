# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Decode one image, one set of landmarks or one mask, or say what is wrong."""

import io
import math
import struct
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

NUM_LANDMARKS = 68
_MAX_SIDE = 32766  # of what OpenCV's warps and remaps take
_END_MARKS = {b'\xff\xd8': (b'\xff\xd9', b'\xff\xda'),
              b'\x89P': (b'IEND', b'IHDR')}
_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2,
            4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
# Markers with the frame's size: SOF0..15 without DHT, JPG and DAC
_FRAME_HEADERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Height and width that the header of a JPEG declares.

    Returns:
        (H, W); None if this is no JPEG, the header is not found or there is
        EXIF data, which may turn the image.
    """
    if data[:2] != b'\xff\xd8':
        return None
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker == 0xE1 and data[place + 4:place + 8] == b'Exif':
            return None
        if marker in _FRAME_HEADERS:
            return struct.unpack('>HH', data[place + 5:place + 9])
        place += 2 + int.from_bytes(data[place + 2:place + 4], 'big')
    return None


def decode_image(data: bytes, reduction: int = 1) -> np.ndarray:
    """Decode an image file.

    OpenCV fills what a truncated JPEG lacks with grey and reports nothing,
    so the end mark of the file is checked first.

    Args:
        data: The file.
        reduction: 1, 2, 4 or 8. JPEG files are decoded at this fraction of
            their size directly, which saves most of the work.

    Returns:
        (H, W, 3) uint8 BGR, sides divided by ``reduction`` and rounded up.

    Raises:
        ValueError: If the file cannot be decoded, is truncated, or too large
            for OpenCV to resample.
    """
    # The end mark must follow the last start of data: an embedded thumbnail
    # has an end mark of its own.
    end, start = _END_MARKS.get(data[:2], (b'', b''))
    if end and data.rfind(end) <= data.rfind(start):
        raise ValueError('the image file is truncated')
    image = None
    if data:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8),
                                 _REDUCED[reduction])
        except cv2.error as error:  # for example more than 2^30 pixels
            raise ValueError(
                f'the image cannot be decoded ({error.err})') from error
    if image is None:
        raise ValueError('the image cannot be decoded')
    if max(image.shape) > _MAX_SIDE:
        raise ValueError(f'the image has {image.shape[1]} x '
                         f'{image.shape[0]} pixels; more than {_MAX_SIDE} a '
                         'side cannot be cropped')
    return image


def read_image(path: Path) -> np.ndarray:
    """Read an image file, see :func:`decode_image`.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        ValueError: If the file cannot be decoded or is truncated.
        OSError: If it cannot be read.
    """
    return decode_image(path.read_bytes())


@lru_cache(64)
def _parse_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type of a ``.npy`` file; they are much alike."""
    file = io.BytesIO(header)
    version = np.lib.format.read_magic(file)
    reader = (np.lib.format.read_array_header_1_0 if version == (1, 0) else
              np.lib.format.read_array_header_2_0)
    return reader(file)


def decode_array(data: bytes) -> np.ndarray:
    """Decode a ``.npy`` file; NumPy opens archives under any name.

    Raises:
        ValueError: If it is no array, is damaged, or would run code.
        EOFError: If it is empty.
    """
    try:
        array = _decode_array(data)
    except (ValueError, OSError, EOFError, MemoryError):
        raise
    except Exception as error:  # NumPy runs Python's tokenizer on headers
        raise ValueError(f'the array is damaged ({error})') from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError('the file is an archive (.npz) and no single array')
    return array


def _decode_array(data: bytes) -> np.ndarray:
    if data[:8] == b'\x93NUMPY\x01\x00':
        start = 10 + int.from_bytes(data[8:10], 'little')
        shape, fortran, dtype = _parse_header(data[:start])
        count = math.prod(shape)
        if (not fortran and not dtype.hasobject
                and len(data) - start == count * dtype.itemsize):
            return np.frombuffer(data, dtype, count, start).reshape(shape)
    # What is rare or wrong: NumPy reads it or says what is wrong.
    return np.load(io.BytesIO(data), allow_pickle=False)


def decode_landmarks(data: bytes) -> np.ndarray:
    """Decode 68 landmarks in pixels.

    Args:
        data: A ``.npy`` file.

    Returns:
        (68, 3) x, y, visibility; 1 where the file has two columns. float64 if
        the file is, else float32.

    Raises:
        ValueError: If the array has another shape, is not finite, or spans
            no area.
        EOFError: If the file is empty.
    """
    points = decode_array(data)
    if points.shape not in ((NUM_LANDMARKS, 2), (NUM_LANDMARKS, 3)):
        raise ValueError(
            f'landmarks must be (68, 2) or (68, 3), not {points.shape}')
    if points.dtype.kind not in 'fiu' or not np.isfinite(points).all():
        raise ValueError('landmarks are not all finite numbers')
    # Rounded to single precision, a crop would be some 1e-5 pixels off.
    out = np.ones((NUM_LANDMARKS, 3), np.float64
                  if points.dtype == np.float64 else np.float32)
    out[:, :points.shape[1]] = points
    if not (np.ptp(out[:, :2], 0) > 0).all():
        raise ValueError('landmarks lie on one point or line')
    return out


def read_landmarks(path: Path) -> np.ndarray:
    """Read 68 landmarks, see :func:`decode_landmarks`.

    Returns:
        (68, 3) x, y, visibility; 1 where the file has two columns. float64 if
        the file is, else float32.

    Raises:
        ValueError: If they are not 68 finite points.
        OSError: If the file cannot be read.
    """
    return decode_landmarks(path.read_bytes())


def decode_mask(data: bytes, name: str, shape: tuple[int, int]
                ) -> np.ndarray:
    """Decode a skin mask.

    Args:
        data: A ``.npy`` file of any real dtype, or an image; 0/1, 0..1 or
            0..255.
        name: Name of the file, whose ending tells the format.
        shape: (H, W) that the mask must have.

    Returns:
        (H, W) uint8 0..255 or float32 0..1; whichever is cheaper.

    Raises:
        ValueError: If the array has another shape or other values.
        EOFError: If a ``.npy`` file is empty.
    """
    if name.endswith('.npy'):
        mask = decode_array(data)
    else:
        mask = cv2.imdecode(np.frombuffer(data, np.uint8),
                            cv2.IMREAD_GRAYSCALE) if data else None
        if mask is None:
            raise ValueError('the mask cannot be decoded')
    if mask.ndim == 3 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    elif mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[0]
    if mask.shape != tuple(shape):
        raise ValueError(f'the mask is {mask.shape}, the image {shape}')
    if mask.dtype == np.uint8:
        high = cv2.minMaxLoc(mask)[1]
        if high >= 128:
            return mask
    return normalize_mask(mask)


def normalize_mask(mask: np.ndarray) -> np.ndarray:
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
