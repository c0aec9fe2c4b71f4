# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pictures with a white square for a face, and a detector that finds it."""

import cv2
import numpy as np

#: 68 points on a grid of 17 columns and 4 rows, in the unit square.
POINTS = np.stack(np.meshgrid(np.linspace(0, 1, 17), np.linspace(0, 1, 4)),
                  -1).reshape(68, 2)


def find_bright_boxes(image: np.ndarray) -> list[np.ndarray]:
    """Landmarks (68, 2) of every white rectangle of an RGB picture."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(
        (image[..., 0] > 200).astype(np.uint8))
    return [POINTS * (stats[i, 2:4] - 1) + stats[i, :2]
            for i in range(1, count) if stats[i, 4] > 20]


def picture(x: int = 40, y: int = 30, side: int = 40,
            size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """A dark frame with a white square; none with ``side=0``.

    Args:
        x: First column of the square.
        y: First row of the square.
        side: Of the square in pixels.
        size: Height and width of the frame.

    Returns:
        (H, W, 3) uint8.
    """
    image = np.full((*size, 3), 40, np.uint8)
    image[..., 1] = np.linspace(0, 120, size[1]).astype(np.uint8)
    if side:
        image[y:y + side, x:x + side] = 255
    return image
