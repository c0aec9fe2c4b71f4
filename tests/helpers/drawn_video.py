# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Videos of any length that take no space."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from mmtvface.tracking.frame_source import Frame, FrameSource


class DrawnVideo(FrameSource):
    """Frames that are drawn when they are read.

    Args:
        length: Frames.
        draw: The index of a frame in, (H, W, 3) uint8 RGB out.
        files: Whether it passes for files, of which a journal can be kept.
    """

    name = 'a drawn video'

    def __init__(self, length: int, draw: Callable[[int], np.ndarray],
                 files: bool = False) -> None:
        self._length, self._draw, self._files = length, draw, files

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._length):
            yield Frame(index, f'{index:06d}', self._draw(index))

    def fingerprint(self) -> list | None:
        """See :class:`FrameSource`."""
        return [self.name] if self._files else None


def rooms(count: int) -> list[np.ndarray]:
    """Dark pictures (120, 160, 3) that differ as shots of a video do."""
    rng = np.random.default_rng(0)
    return [cv2.resize(rng.integers(0, 180, (6, 8, 3), dtype=np.uint8),
                       (160, 120)) for _ in range(count)]


def with_face(room: np.ndarray, x: int = 40) -> np.ndarray:
    """A room with a face of 40 pixels, as toy pictures have it."""
    frame = room.copy()
    frame[30:70, x:x + 40] = 255
    return frame
