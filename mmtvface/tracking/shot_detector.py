# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Shot boundaries of a video that is read frame by frame."""

from collections import deque

import cv2
import numpy as np

from mmtvface.utils.deps import require

_INSTALL = "pip install --no-deps 'scenedetect>=0.6.4,<0.8'"
_PURPOSE = 'Finding shot boundaries'
# Frames whose mean score says how much happens in a shot.
_HISTORY, _LEAST_HISTORY = 8, 2
# Times the usual score of a shot that a cut has at least.
_RESTLESS = 1.5


class ShotDetector:
    """Hard cuts by PySceneDetect's ContentDetector, one frame at a time.

    The score of a frame is the mean difference of its hue, saturation and
    lightness from those of the frame before. A frame begins a shot if its
    score is at least ``threshold`` and one and a half times the mean score
    of the frames since the last cut (of the last eight at most; a shaking
    camera in the dark has high scores all the time), or at least half of
    the threshold and ``ratio`` times that mean: cuts between dark or similar
    pictures, as PySceneDetect's AdaptiveDetector finds them, but without
    looking ahead.

    Unlike in PySceneDetect's own pipeline a cut is reported at once and shots
    may be short: a false cut costs a little of a track, a missed one mixes
    two people. Dissolves are not found; there the tracker loses the faces, or
    moves from one to the other while both are visible.

    Args:
        threshold: Mean difference in 8-bit units, > 0. PySceneDetect's
            default, 27, suits videos; people who move in front of a still
            camera stay far below it.
        ratio: See above, > 1; infinity leaves the threshold alone.
        width: Frames are shrunk to at most this width before; > 0.

    Raises:
        ImportError: If scenedetect is not installed.
        ValueError: If an argument is out of its range.
    """

    def __init__(self, threshold: float = 27., ratio: float = 4.,
                 width: int = 160) -> None:
        if threshold <= 0 or width <= 0 or ratio <= 1:
            raise ValueError(
                'threshold and width must be positive and ratio above 1, got '
                f'{threshold}, {width} and {ratio}.')
        package = require('scenedetect', _PURPOSE, _INSTALL)
        detectors = require('scenedetect.detectors', _PURPOSE, _INSTALL)
        self._timecode = package.FrameTimecode
        # Without a least length of scenes it answers immediately.
        self._make = lambda: detectors.ContentDetector(
            threshold=threshold, min_scene_len=0)
        self._threshold, self._ratio, self._width = threshold, ratio, width
        self._detector = self._make()
        self._shape: tuple[int, ...] | None = None
        self._count = 0
        self._scores: deque[float] = deque(maxlen=_HISTORY)

    def is_cut(self, frame: np.ndarray) -> bool:
        """Take the next frame.

        Args:
            frame: (H, W, 3) uint8 RGB. PySceneDetect takes it for BGR, which
                only mirrors the circle of hues. That helps: it does not
                close the circle, and the gap, at red, would lie in skin,
                whose noise would then count as change.

        Returns:
            Whether it begins a new shot. The first frame does not; a frame
            of another size does.

        Raises:
            ValueError: If it is no colour frame.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or (
                frame.dtype != np.uint8 or not frame.size):
            raise ValueError('frame must be (H, W, 3) uint8, but it is '
                             f'{frame.shape} {frame.dtype}.')
        known, self._shape = self._shape, frame.shape
        if known != frame.shape:
            self._detector = self._make()
            self._scores.clear()
        cuts = self._detector.process_frame(
            self._timecode(self._count, fps=25.), self._shrink(frame))
        self._count += 1
        if known != frame.shape:  # nothing to compare with
            return known is not None
        # What PySceneDetect's own AdaptiveDetector builds upon, too.
        score = float(self._detector._frame_score)
        calm = len(self._scores) >= _LEAST_HISTORY
        usual = np.mean(self._scores) if calm else 0.
        if (cuts and score >= _RESTLESS * usual) or (
                calm and score >= self._threshold / 2 and
                score >= self._ratio * usual):
            self._scores.clear()
            return True
        self._scores.append(score)
        return False

    def _shrink(self, frame: np.ndarray) -> np.ndarray:
        height, width = frame.shape[:2]
        if width <= self._width:
            return frame
        size = self._width, max(round(height * self._width / width), 1)
        # Every n-th pixel first: averaging all of a 4K frame is slow. Enough
        # remain to average out noise, which makes the hue of dark pictures
        # jump.
        step = width // (4 * self._width)
        if step > 1:
            frame = cv2.resize(
                frame, (width // step, max(height // step, 1)),
                interpolation=cv2.INTER_NEAREST)
        return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
