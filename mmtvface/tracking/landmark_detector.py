# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Detection of faces and their 68 landmarks in images."""

from collections.abc import Callable
from types import TracebackType

import numpy as np

from .detectors import FaceLandmarks, build_backend
from .face_tracker import FaceTracker

#: What finds faces: an (H, W, 3) uint8 RGB image in, one (68, 2) array of
#: pixel indices per face out. Any callable of this kind can replace
#: MediaPipe in :class:`mmtvface.apis.FaceReconstructor`.
LandmarkDetector = Callable[[np.ndarray], list[np.ndarray]]


class MediaPipeLandmarkDetector:
    """All faces of an image by MediaPipe, as 68 landmarks each.

    What :mod:`~mmtvface.dataset_tools.clip_maker` makes training clips with:
    a :class:`~.face_tracker.FaceTracker` on
    :class:`~.detectors.mediapipe_detector.MediaPipeBackend`. Large and
    small faces are looked for alike, and faces that are cut by the edge of
    the image. The networks are inside the package: nothing is downloaded.

    Use it as a context manager or call :meth:`close`; it is not safe to
    share between threads.

    Args:
        video: The images are consecutive frames: faces are followed and only
            now and then searched, which is faster and steadier than
            searching each image anew.
        max_faces: Most faces per image, the largest ones; 0: all.
        min_confidence: Threshold of the detectors in [0, 1].

    Raises:
        ImportError: If mediapipe is not installed.
        ValueError: If a number is out of its range.
    """

    def __init__(self, video: bool = False, max_faces: int = 0,
                 min_confidence: float = 0.5) -> None:
        self._video = video
        self._backend = build_backend('mediapipe',
                                      min_confidence=min_confidence)
        self._tracker = FaceTracker(self._backend, max_faces=max_faces,
                                    min_score=min_confidence)

    def __call__(self, image: np.ndarray,
                 cut: bool = False) -> list[np.ndarray]:
        """Find the faces of an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            cut: Of a video, this frame begins another shot; the faces of the
                last one are forgotten and the frame is searched thoroughly.

        Returns:
            One (68, 2) float64 array per face, pixel indices; parts of a
            face may lie outside the image.
        """
        return [face.points for face in self.faces(image, cut)]

    def meshes(self, image: np.ndarray,
               cut: bool = False) -> list[np.ndarray]:
        """Find the full face meshes of an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            cut: See :meth:`__call__`.

        Returns:
            One (478, 3) float64 array per face, irises last: x and y pixel
            indices, z in pixels, smaller nearer, relative to the head's
            centre.
        """
        return [face.mesh for face in self.faces(image, cut)]

    def faces(self, image: np.ndarray,
              cut: bool = False) -> list[FaceLandmarks]:
        """Find the faces of an image: landmarks, mesh and confidence.

        Args:
            image: (H, W, 3) uint8 RGB.
            cut: See :meth:`__call__`.

        Returns:
            One entry per face.
        """
        return [face.landmarks for face in self._tracker.update(
            image, cut or not self._video)]

    def close(self) -> None:
        """Free the networks."""
        self._tracker.close()
        self._backend.close()

    def __enter__(self) -> 'MediaPipeLandmarkDetector':
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
