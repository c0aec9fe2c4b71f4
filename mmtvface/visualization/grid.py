# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Tables of images."""

from collections.abc import Sequence

import numpy as np

from mmtvface.io.video_writer import fit_frame


def image_grid(rows: Sequence[Sequence[np.ndarray]],
               cell: tuple[int, int] | None = None,
               gap: int = 2, background: int = 255) -> np.ndarray:
    """Arrange images in rows and columns.

    Args:
        rows: Images (H, W, 3) uint8; rows may differ in length.
        cell: Height and width of a cell; images are fitted into it. Default:
            the size of the first image.
        gap: Pixels between the cells.
        background: Grey of gaps and of missing cells, 0 to 255.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: If there is no image.
    """
    rows = [row for row in rows if len(row)]
    if not rows:
        raise ValueError('There is no image to arrange.')
    height, width = cell or rows[0][0].shape[:2]
    columns = max(map(len, rows))
    grid = np.full((len(rows) * (height + gap) - gap,
                    columns * (width + gap) - gap, 3), background, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            grid[top:top + height, left:left + width] = fit_frame(
                image, height, width)
    return grid


def spread(count: int, most: int) -> list[int]:
    """Up to ``most`` indices spread evenly over 0 .. count - 1."""
    picks = np.linspace(0, count - 1, min(count, most))
    return np.unique(np.rint(picks).astype(int)).tolist() if count else []
