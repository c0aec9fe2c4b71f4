# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Landmarks and captions on images, and tables of images."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmtvface.io.video_writer import fit_frame

GREEN = (40, 220, 60)
RED = (255, 70, 50)
WHITE = (255, 255, 255)

#: Runs of the 68 landmarks that are joined by lines, and whether they close.
_LINES = ((0, 17, False), (17, 22, False), (22, 27, False), (27, 31, False),
          (31, 36, False), (36, 42, True), (42, 48, True), (48, 60, True),
          (60, 68, True))
_SHIFT = 4  # OpenCV draws to 1/16 pixel


def draw_landmarks(image: np.ndarray, landmarks: np.ndarray,
                   color: tuple[int, int, int] = GREEN,
                   radius: float | None = None,
                   lines: bool = True) -> np.ndarray:
    """Draw landmarks, the 68 of iBUG joined by lines.

    Args:
        image: (H, W, 3) uint8.
        landmarks: (N, 2 or more) pixel indices; a third column is a
            visibility, points with 0 are left out. Points that are not
            finite or far outside are left out too.
        color: In the order of the image's channels.
        radius: Of the points in pixels; default: 1/150 of their box.
        lines: Join the points if there are 68.

    Returns:
        (H, W, 3) uint8, a new image.
    """
    image = np.ascontiguousarray(image).copy()
    points = np.asarray(landmarks, np.float64)
    limit = 4. * max(image.shape[:2])
    shown = np.isfinite(points[:, :2]).all(1)
    shown &= (np.abs(np.nan_to_num(points[:, :2])) < limit).all(1)
    if points.shape[1] > 2:
        shown &= points[:, 2] > 0
    if not shown.any():
        return image
    if radius is None:
        extent = np.ptp(points[shown, :2], axis=0).mean()
        radius = min(max(extent / 150, 0.75), 12.)
    fixed = np.rint(np.nan_to_num(points[:, :2]).clip(-limit, limit)
                    * 2**_SHIFT).astype(np.int32)
    if lines and len(points) == 68:
        thickness = max(1, round(radius * 0.8))
        for start, stop, closed in _LINES:
            order = [*range(start, stop), *([start] if closed else [])]
            for a, b in zip(order[:-1], order[1:], strict=True):
                if shown[a] and shown[b]:
                    cv2.line(image, fixed[a].tolist(), fixed[b].tolist(),
                             color, thickness, cv2.LINE_AA, _SHIFT)
    for point in fixed[shown].tolist():
        cv2.circle(image, point, round(radius * 2**_SHIFT), color, -1,
                   cv2.LINE_AA, _SHIFT)
    return image


def add_caption(image: np.ndarray, text: str) -> np.ndarray:
    """Write a line of text in the lower left corner, readable on anything.

    Args:
        image: (H, W, 3) uint8.
        text: ASCII text.

    Returns:
        (H, W, 3) uint8, a new image.
    """
    image = np.ascontiguousarray(image).copy()
    size = max(image.shape[0] / 500, 0.35)
    place = (round(8 * size), image.shape[0] - round(10 * size))
    for color, width in (((0, 0, 0), 3), (WHITE, 1)):
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size,
                    color, max(1, round(width * size)) + (width > 1),
                    cv2.LINE_AA)
    return image


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
