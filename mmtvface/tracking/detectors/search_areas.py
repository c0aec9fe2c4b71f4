# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Parts of an image that are searched for small faces."""

from collections.abc import Iterator

import numpy as np

# Smaller parts show no face.
_MIN_SIDE = 24
# Longer strips have more tiles than are worth it.
_MAX_ASPECT = 6


def tiles(image: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Overlapping squares that cover an image.

    Their side is half the image's shorter side, so that a face of up to a
    quarter of it is whole in one of them; in strips (longer than six times
    their height) it is the shorter side itself.

    Args:
        image: (H, W, 3).

    Yields:
        Left, top and the part of the image (a view); nothing if they were
        smaller than 24 pixels.
    """
    height, width = image.shape[:2]
    short, long = min(height, width), max(height, width)
    is_strip = long > _MAX_ASPECT * short
    side = short if is_strip else short // 2
    if side < _MIN_SIDE:
        return

    def starts(length: int) -> list[int]:
        count = -(-2 * (length - side) // side) + 1
        return np.linspace(0, length - side, count).astype(int).tolist()

    for top in starts(height):
        for left in starts(width):
            yield left, top, image[top:top + side, left:left + side]
