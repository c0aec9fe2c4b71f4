# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A square that follows a face calmly while the video runs."""

import numpy as np

# Share of the way to the face that the square goes in each frame.
_CENTER_RATE = 0.15
_SIDE_RATE = 0.05
# The face's box, enlarged by this factor, stays inside of the square.
_ROOM = 1.6
# Limits of a square of whole pixels, relative to the one asked for.
_LEAST, _MOST = .82, 1.3


class LazySquare:
    """Square around a face that only looks back in time.

    Training crops anew by the landmarks, so the stored square need not be
    centred: it must hold the face with enough around it and move evenly. It
    lags behind a face that moves, but never so much that the surroundings of
    the face are cut off.

    Args:
        box: left, top, right, bottom of the face in the first frame, pixel
            indices.
        margin: Side relative to the mean side of the box.
    """

    def __init__(self, box: np.ndarray, margin: float) -> None:
        self.margin = margin
        self._center, size = _center_size(box)
        self._side = size * margin

    def follow(self, box: np.ndarray) -> tuple[np.ndarray, float]:
        """Square of the next frame.

        Args:
            box: (4,) left, top, right, bottom, pixel indices.

        Returns:
            centre (2,) and side in pixels.
        """
        center, size = _center_size(box)
        self._side += _SIDE_RATE * (size * self.margin - self._side)
        room = min(_ROOM, self.margin) * float(max(
            box[2] - box[0], box[3] - box[1]))
        self._side = max(self._side, room)
        self._center = self._center + _CENTER_RATE * (center - self._center)
        reach = (self._side - room) / 2
        self._center = np.clip(self._center, center - reach, center + reach)
        return self._center.copy(), self._side


def on_pixels(center: np.ndarray, side: float, box: np.ndarray,
              pixels: int) -> tuple[np.ndarray, float]:
    """The square of whole pixels of the frame that can stand for another one.

    What is copied pixel by pixel is cropped for training as it would be from
    the frame itself; what is resampled here is resampled twice.

    Args:
        center: (2,) of the square, pixel indices.
        side: Of the square in pixels.
        box: (4,) left, top, right, bottom of the face in it.
        pixels: Side of the stored image.

    Returns:
        Centre and side: ``pixels`` wide with its edges between pixels, if
        that is neither much smaller nor much larger than asked for and holds
        the face; else as it came.
    """
    face, _ = _center_size(box)
    reach = (pixels - _ROOM * float((box[2:] - box[:2]).max())) / 2
    if reach < 0 or not _LEAST * side <= pixels <= _MOST * side:
        return center, side
    half = (pixels - 1) / 2
    return np.rint(np.clip(center, face - reach, face + reach) -
                   half) + half, float(pixels)


def _center_size(box: np.ndarray) -> tuple[np.ndarray, float]:
    box = np.asarray(box, np.float64)
    return (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).mean())
