# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Shot boundaries of a video that is read frame by frame."""

import cv2
import numpy as np

from mmtvface.utils.deps import require

_INSTALL = "pip install --no-deps 'scenedetect>=0.6.4,<0.8'"
_PURPOSE = 'Finding shot boundaries'


class ShotDetector:
    """Hard cuts by PySceneDetect's ContentDetector, one frame at a time.

    A frame begins a shot if its hue, saturation and lightness differ from
    those of the frame before by more than ``threshold`` in the mean over
    pixels and channels. Unlike in PySceneDetect's own pipeline a cut is
    reported at once and shots may be short: a false cut costs a little of a
    track, a missed one mixes two people. Dissolves are not found; there the
    tracker loses the faces, or moves from one to the other while both are
    visible (PySceneDetect would need to look ahead).

    Args:
        threshold: Mean difference in 8-bit units, > 0. PySceneDetect's
            default, 27, suits films; people who move in front of a still
            camera stay far below it.
        width: Frames are shrunk to at most this width before; > 0.

    Raises:
        ImportError: If scenedetect is not installed.
        ValueError: If an argument is out of its range.
    """

    def __init__(self, threshold: float = 27., width: int = 160) -> None:
        if threshold <= 0 or width <= 0:
            raise ValueError('threshold and width must be positive, got '
                             f'{threshold} and {width}.')
        package = require('scenedetect', _PURPOSE, _INSTALL)
        detectors = require('scenedetect.detectors', _PURPOSE, _INSTALL)
        self._timecode = package.FrameTimecode
        # Without a least length of scenes it answers immediately.
        self._make = lambda: detectors.ContentDetector(
            threshold=threshold, min_scene_len=0)
        self._width = width
        self._detector = self._make()
        self._shape: tuple[int, ...] | None = None
        self._count = 0

    def is_cut(self, frame_bgr: np.ndarray) -> bool:
        """Take the next frame.

        Args:
            frame_bgr: (H, W, 3) uint8 BGR.

        Returns:
            Whether it begins a new shot. The first frame does not; a frame
            of another size does.

        Raises:
            ValueError: If it is no colour frame.
        """
        if frame_bgr.ndim != 3 or frame_bgr.shape[2] != 3 or (
                frame_bgr.dtype != np.uint8 or not frame_bgr.size):
            raise ValueError('frame_bgr must be (H, W, 3) uint8, but it is '
                             f'{frame_bgr.shape} {frame_bgr.dtype}.')
        changed = self._shape not in (None, frame_bgr.shape)
        if changed:
            self._detector = self._make()
        self._shape = frame_bgr.shape
        cuts = self._detector.process_frame(
            self._timecode(self._count, fps=25.), self._shrink(frame_bgr))
        self._count += 1
        return changed or bool(cuts)

    def _shrink(self, frame: np.ndarray) -> np.ndarray:
        height, width = frame.shape[:2]
        if width <= self._width:
            return frame
        size = self._width, max(round(height * self._width / width), 1)
        # Every n-th pixel first: averaging all of a 4K frame is slow, and
        # shots differ far more than the aliasing.
        step = max(width // (2 * self._width), 1)
        return cv2.resize(frame[::step, ::step], size,
                          interpolation=cv2.INTER_LINEAR)
