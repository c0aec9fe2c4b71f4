# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A face that is reconstructed, and its crops."""

from dataclasses import dataclass

import numpy as np

from mmtvface.geometry.crop import square_matrix, track_squares

INTERPOLATED = 'interpolated'
"""Source of landmarks between two frames in which the face was found."""


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

    Args:
        track_id: Of the track among those that are reconstructed.
        frames: T indices, increasing.
        boxes: (T, 4) of the landmarks.
        frame_size: Height and width of the frames.
        crop: How the face is cut out.
    """

    def __init__(self, track_id: int, frames: np.ndarray, boxes: np.ndarray,
                 frame_size: tuple[int, int], crop: CropPlan) -> None:
        self.track_id, self.frames = track_id, frames
        self.frame_size = frame_size
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
        origin: 'given', 'detected' or 'interpolated'.
    """

    track: FaceTrack
    place: int
    landmarks: np.ndarray
    origin: str

    @property
    def crop_matrix(self) -> np.ndarray:
        """(3, 3) pixels of the frame -> pixels of the crop."""
        return self.track.crop_matrix(self.place)
