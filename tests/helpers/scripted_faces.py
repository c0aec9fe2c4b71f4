# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A back-end that finds what a script says, for tests of the tracker."""

from collections.abc import Mapping, Sequence

import numpy as np

from mmtvface.geometry.crop import landmark_box
from mmtvface.tracking.detectors import FaceDetection, FaceLandmarks

from .toy_pictures import POINTS

#: For every frame the boxes (left, top, right, bottom) of who is in sight.
Script = Sequence[Mapping[str, tuple[float, float, float, float]]]


def box_around(x: float, y: float, size: float = 80.
               ) -> tuple[float, float, float, float]:
    """Square box around a point, pixel indices."""
    return x - size / 2, y - size / 2, x + size / 2, y + size / 2


def numbered_frame(number: int, size: tuple[int, int] = (360, 640)
                   ) -> np.ndarray:
    """A black frame (H, W, 3) uint8 whose first pixel holds its number."""
    frame = np.zeros((*size, 3), np.uint8)
    frame[0, 0, :2] = divmod(number, 256)
    return frame


class ScriptedDetector:
    """Plays a script; frames are recognised by their number.

    Args:
        script: Who is where.
        miss: Frames in which the detector finds nothing.
        score: Of all detections.
    """

    def __init__(self, script: Script, miss: Sequence[int] = (),
                 score: float = 0.9) -> None:
        self.script, self.miss, self.score = script, set(miss), score
        self.searched: list[int] = []
        self.searched_thoroughly: list[int] = []
        self.open_followers = 0

    def visible(self, image: np.ndarray) -> Mapping[str, tuple]:
        """Boxes by name in a frame."""
        return self.script[self.number(image)]

    @staticmethod
    def number(image: np.ndarray) -> int:
        """Number of a frame."""
        return int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])

    def detect(self, image: np.ndarray,
               thorough: bool = True) -> list[FaceDetection]:
        """All faces of the frame; the frame is noted in ``searched``."""
        self.searched.append(self.number(image))
        if thorough:
            self.searched_thoroughly.append(self.number(image))
        if self.number(image) in self.miss:
            return []
        return [FaceDetection(np.array(box, float), self.score)
                for box in self.visible(image).values()]

    def follower(self) -> 'ScriptedFollower':
        """A follower, counted in ``open_followers`` until it is closed."""
        self.open_followers += 1
        return ScriptedFollower(self)

    def close(self) -> None:
        """Nothing to free."""


class ScriptedFollower:
    """Takes the nearest face within half its size, whoever it is.

    Args:
        backend: Whose script is played.
    """

    def __init__(self, backend: ScriptedDetector) -> None:
        self._backend = backend
        self._last: np.ndarray | None = None

    def follow(self, image: np.ndarray, box: np.ndarray,
               keypoints: np.ndarray | None = None) -> FaceLandmarks | None:
        """The face nearest to the last one, at first to the box."""
        near = box if self._last is None else self._last
        best, least = None, 0.5
        for other in self._backend.visible(image).values():
            apart = np.hypot(*(np.add(other[:2], other[2:]) -
                               np.add(near[:2], near[2:])) / 2)
            if apart < least * (other[2] - other[0]):
                best, least = other, apart / (other[2] - other[0])
        self._last = None
        if best is None:
            return None
        self._last = np.array(best, float)
        points = POINTS * (self._last[2:] - self._last[:2]) + self._last[:2]
        return FaceLandmarks(points, 0.9)

    def reset(self) -> None:
        """Forget the last face."""
        self._last = None

    def close(self) -> None:
        """Tell the back-end."""
        self._backend.open_followers -= 1


def name_of(points: np.ndarray, visible: Mapping[str, tuple]) -> str:
    """Whose box in a frame the landmarks (68, 2) fill."""
    box = landmark_box(points)
    return next(name for name, other in visible.items()
                if np.allclose(box, other))
