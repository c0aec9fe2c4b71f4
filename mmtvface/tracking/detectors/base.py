# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What a back-end that finds faces and their landmarks has to offer.

Coordinates are pixel indices of the given image: the centre of its first
pixel is 0. Images are RGB.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True, eq=False)
class FaceDetection:
    """A face found by searching an image.

    Attributes:
        box: (4,) float64 left, top, right, bottom.
        score: Of the detector, 0 to 1.
        keypoints: (K, 2) float64 points of the detector, None if it has
            none. MediaPipe's six are right eye, left eye, tip of the nose,
            mouth, right ear, left ear ("right" is the person's own).
    """

    box: np.ndarray
    score: float
    keypoints: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class FaceLandmarks:
    """Landmarks of one face in one frame.

    Attributes:
        points: (68, 2) float64, iBUG order; they may lie outside the image.
        confidence: 0 to 1; its meaning is documented by the back-end.
        mesh: (478, 3) float64 mesh of MediaPipe with irises (x and y pixel
            indices, z in pixels, smaller nearer, relative to the head's
            centre), None of other back-ends.
    """

    points: np.ndarray
    confidence: float
    mesh: np.ndarray | None = None


@runtime_checkable
class LandmarkFollower(Protocol):
    """Follows one face from frame to frame."""

    def follow(self, image: np.ndarray, box: np.ndarray,
               keypoints: np.ndarray | None = None) -> FaceLandmarks | None:
        """Landmarks of the face near a box.

        Args:
            image: (H, W, 3) uint8 RGB, the frame after that of the last
                call.
            box: (4,) where the face is expected: left, top, right, bottom.
            keypoints: Of the detection that the box comes from, see
                :class:`FaceDetection`; they tell how the head is turned.

        Returns:
            None if there is no face.
        """

    def reset(self) -> None:
        """Forget the last frame: the next one is another shot or face."""

    def close(self) -> None:
        """Free what it holds; it is not used afterwards."""


@runtime_checkable
class FaceBackend(Protocol):
    """Finds faces and makes what follows them. Not safe between threads."""

    def detect(self, image: np.ndarray,
               thorough: bool = True) -> list[FaceDetection]:
        """Search an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            thorough: Also look for what is hard to find, however long it
                takes.

        Returns:
            All faces, each once.
        """

    def follower(self) -> LandmarkFollower:
        """A new follower, for one track; cheap."""

    def close(self) -> None:
        """Free the networks; its followers are unusable afterwards."""
