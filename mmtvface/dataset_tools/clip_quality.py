# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How sharp faces are, and whether two pictures are the same."""

import cv2
import numpy as np

_FACE_SIDE = 128
# Added to the variance of grey values, so that flat pictures are not sharp
# by their noise.
_FLAT = 25.


def sharpness(gray_face: np.ndarray) -> float:
    """Variance of the Laplacian of a face relative to its contrast.

    The face is resampled to 128 x 128 pixels, so that faces of all sizes
    compare, enlarged ones are blurred, and little of the noise of large ones
    is left. The Laplacian is that of OpenCV's 3 x 3 kernel; its variance is
    divided by that of the grey values (plus 25), which makes the result
    independent of contrast and brightness.

    Typical values of the square around the landmarks, measured on frames of
    a TV series with faces 170 to 190 pixels wide: 0.025 as they are, 0.012
    after a Gaussian blur with a sigma of 0.5 % of the face's width, 0.005
    with 1 %, 0.0025 with 2 %; 0.004 if the faces are shrunk to 32 pixels.

    Args:
        gray_face: (H, W) uint8, the face and little else.

    Returns:
        0 for a flat picture to 64 (a checkerboard of single pixels); higher
        is sharper.

    Raises:
        ValueError: If it is not a grey picture.
    """
    _check_gray('gray_face', gray_face)
    larger = max(gray_face.shape) > _FACE_SIDE
    face = cv2.resize(
        gray_face, (_FACE_SIDE, _FACE_SIDE),
        interpolation=cv2.INTER_AREA if larger else cv2.INTER_LINEAR
    ).astype(np.float32)
    edges = cv2.Laplacian(face, cv2.CV_32F)
    return float(edges.var() / (face.var() + _FLAT))


def difference_hash(gray: np.ndarray) -> int:
    """64 bits that say where a picture gets brighter to the right.

    The picture is shrunk to 9 x 8 pixels; each of 8 x 8 bits is set where a
    pixel is darker than its right neighbour, row by row, the first one in
    the highest bit. Size, brightness and contrast change few bits or none:
    pictures of one shot differ in 0 to 10 bits, other
    ones in about 32.

    Args:
        gray: (H, W) uint8.

    Returns:
        0 to 2**64 - 1.

    Raises:
        ValueError: If it is not a grey picture.
    """
    _check_gray('gray', gray)
    small = cv2.resize(gray.astype(np.float32), (9, 8),
                       interpolation=cv2.INTER_AREA)
    bits = np.packbits(small[:, :-1] < small[:, 1:])
    return int.from_bytes(bits.tobytes(), 'big')


def _check_gray(name: str, image: np.ndarray) -> None:
    if image.ndim != 2 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f'{name} must be (H, W) uint8 and not empty, but it '
                         f'is {image.shape} {image.dtype}.')
