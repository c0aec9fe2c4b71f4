# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Faces in frames, and faces over time: what the steps hand to each other."""

from dataclasses import dataclass, field

import numpy as np

from mmtvface.geometry.crop import landmark_box, square_matrix, track_squares

from .detectors import FaceLandmarks

#: Where landmarks come from: with the frame, from a detector, or from the
#: frames before and after, in which the face was found.
GIVEN, DETECTED, INTERPOLATED = 'given', 'detected', 'interpolated'


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """One face in one frame.

    Attributes:
        track_id: Of its track, counted from 0, never used again.
        landmarks: Where it is.
        origin: :data:`GIVEN`, :data:`DETECTED` or :data:`INTERPOLATED`.
        searched: A search of this very frame found it too.
    """

    track_id: int
    landmarks: FaceLandmarks
    origin: str = DETECTED
    searched: bool = False

    @property
    def box(self) -> np.ndarray:
        """(4,) float64 of the landmarks: left, top, right, bottom."""
        return np.array(landmark_box(self.landmarks.points))


@dataclass(eq=False)
class FrameDetections:
    """What is known of one frame.

    Attributes:
        index: Position in the source.
        name: Of the frame.
        size: Height and width, None if unreadable.
        faces: All of them, by their tracks.
        problem: See :class:`~.frame_source.Frame`.
        cut: It begins another shot.
        time: See :class:`~.frame_source.Frame`.
    """

    index: int
    name: str
    size: tuple[int, int] | None
    faces: list[TrackedFace] = field(default_factory=list)
    problem: str = ''
    cut: bool = False
    time: float | None = None


@dataclass(frozen=True)
class CropPlan:
    """How faces are cut out of frames.

    Attributes:
        size: Side of the crops in pixels.
        scale: Side of the square relative to the landmark box.
        sigma: Smoothing over time in frames.
    """

    size: int
    scale: float
    sigma: float


class FaceTrack:
    """A face in all its frames. Some 30 bytes per frame.

    Squares are smoothed over time before the crops are made; results are
    mapped back through the very same matrices, so smoothing costs no
    accuracy.

    Args:
        track_id: Of the track among those that are reconstructed.
        tracker_id: Of the track among all that there are, see
            :class:`TrackedFace`; its rows in the store have it.
        frames: T indices, increasing.
        boxes: (T, 4) of the landmarks.
        frame_size: Height and width of the frames.
        crop: How the face is cut out.
    """

    def __init__(self, track_id: int, tracker_id: int, frames: np.ndarray,
                 boxes: np.ndarray, frame_size: tuple[int, int],
                 crop: CropPlan) -> None:
        self.track_id, self.tracker_id = track_id, tracker_id
        self.frames, self.frame_size = frames, frame_size
        self._size = crop.size
        self._squares = np.column_stack(track_squares(
            boxes, crop.scale, mode='smooth', sigma=crop.sigma))

    def __len__(self) -> int:
        return len(self.frames)

    def crop_matrix(self, place: int) -> np.ndarray:
        """(3, 3) pixels of a frame -> pixels of its crop.

        Args:
            place: Of the frame in the track.
        """
        x, y, side = self._squares[place]
        return square_matrix((x, y), side, self._size)


@dataclass(frozen=True, eq=False)
class Face:
    """A face to reconstruct in one frame.

    Attributes:
        track: Its track.
        place: Of the frame in the track.
        landmarks: (68, 2) pixel indices.
        origin: See :class:`TrackedFace`.
    """

    track: FaceTrack
    place: int
    landmarks: np.ndarray
    origin: str

    @property
    def crop_matrix(self) -> np.ndarray:
        """(3, 3) pixels of the frame -> pixels of the crop."""
        return self.track.crop_matrix(self.place)
