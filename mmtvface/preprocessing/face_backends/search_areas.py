# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Parts of an image that are searched where the whole shows no face."""

from collections.abc import Iterator

import numpy as np


def squares(image: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """The fewest squares of the image's shorter side that cover it.

    Args:
        image: (H, W, 3).

    Yields:
        Left, top and the part of the image (a view); nothing if the image
        is (almost) square itself.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    count = -(-max(height, width) // max(side, 1))
    if max(height, width) < 1.2 * side:
        return
    for start in np.linspace(0, max(height, width) - side, count):
        left, top = (int(start), 0) if width > height else (0, int(start))
        yield left, top, image[top:top + side, left:left + side]


def tiles(image: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Overlapping squares of half the shorter side that cover an image.

    A face of up to a quarter of the shorter side is whole in one of them.

    Args:
        image: (H, W, 3).

    Yields:
        Left, top and the part of the image (a view).
    """
    height, width = image.shape[:2]
    side = max(1, min(height, width) // 2)

    def starts(length: int) -> np.ndarray:
        count = -(-2 * (length - side) // side) + 1
        return np.linspace(0, length - side, count).astype(int)

    for top in starts(height).tolist():
        for left in starts(width).tolist():
            yield left, top, image[top:top + side, left:left + side]
