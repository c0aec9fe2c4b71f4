# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Frames of the input as small JPEGs."""

import itertools
from collections.abc import Iterator

import cv2
import numpy as np

from mmtvface.tracking.frame_source import FrameSource

_QUALITY = 80


def encode_jpeg(image: np.ndarray, height: int) -> bytes:
    """A picture as JPEG, made smaller if it is higher than ``height``.

    Args:
        image: (H, W, 3) uint8 RGB.
        height: Pixels.
    """
    rows, columns = image.shape[:2]
    if rows > height:
        image = cv2.resize(image, (max(1, round(columns * height / rows)),
                                   height), interpolation=cv2.INTER_AREA)
    return cv2.imencode('.jpg', image[..., ::-1],
                        [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def frame_pictures(source: FrameSource, num_frames: int, every: int,
                   height: int) -> Iterator[bytes | None]:
    """Every n-th of the first frames as JPEG, None where it is unreadable.

    Args:
        source: Where the frames are.
        num_frames: How many of them belong to the result.
        every: Frames from one picture to the next.
        height: Pixels, at most.

    Raises:
        ValueError: If the source ends before the result does.
    """
    count = 0
    for frame in itertools.islice(source, num_frames):
        count += 1
        if frame.index % every == 0:
            yield (None if frame.image is None
                   else encode_jpeg(frame.image, height))
    if count < num_frames:
        raise ValueError(
            f'{source.name} has {count} frames, but the result was made from '
            f'at least {num_frames}. Give its own input by --input.')
