# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Follow one face through the frames of a clip and steady its crop."""

import bisect
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmtvface.geometry.crop import landmark_box, square_matrix, track_squares

Box = tuple[float, float, float, float]


def box_iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(0., width) * max(0., height)
    total = _area(first) + _area(second) - common
    return common / total if total > 0 else 0.


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def prominence(box: Box, frame_size: tuple[int, int]) -> float:
    """How much a face is the subject of its frame: large and central.

    Args:
        box: left, top, right, bottom in pixels.
        frame_size: Height and width of the frame.

    Returns:
        Share of the frame's area, halved for a face in a corner.
    """
    height, width = frame_size
    off_x = ((box[0] + box[2]) / width - 1)**2
    off_y = ((box[1] + box[3]) / height - 1)**2
    return _area(box) / (height * width) / (1 + (off_x + off_y) / 2)


@dataclass(eq=False)
class LinkedTrack:
    """Where one face is, frame by frame.

    Attributes:
        number: Of the track in order of appearance.
        frame_size: Height and width of its frames; it ends where they change.
        shot: Of all its frames.
        box: The last one.
        weight: Sum of :func:`prominence`.
        times: Frames in which it is seen, increasing.
        faces: Number of the face in each of them.
    """

    number: int
    frame_size: tuple[int, int]
    shot: int
    box: Box
    weight: float = 0.
    times: array = field(default_factory=lambda: array('q'))
    faces: array = field(default_factory=lambda: array('i'))

    @property
    def first(self) -> int:
        """First frame in which it is seen."""
        return self.times[0]

    @property
    def last(self) -> int:
        """Last frame in which it is seen."""
        return self.times[-1]


class FaceLinker:
    """Links the faces of successive frames by the overlap of their boxes.

    What is kept grows by 12 bytes per face, until :meth:`take`.

    Args:
        max_gap: Frames for which a face may be missed without losing it.
        min_iou: Least overlap of its boxes before and after.
    """

    def __init__(self, max_gap: int = 5, min_iou: float = 0.3) -> None:
        self._max_gap, self._min_iou = max_gap, min_iou
        self._count = 0
        self._tracks: list[LinkedTrack] = []
        # A video has thousands of tracks, of which a few may still go on.
        self._recent: list[LinkedTrack] = []

    def update(self, time: int, boxes: Sequence[Box],
               frame_size: tuple[int, int] | None, shot: int = 0
               ) -> list[LinkedTrack]:
        """Take the faces of the next frame.

        Args:
            time: Its number.
            boxes: Of its faces.
            frame_size: Height and width; None if unknown, without faces. A
                change ends all tracks.
            shot: Number of its shot, with which all tracks end.

        Returns:
            The track of each face, this frame included.
        """
        self._recent = [track for track in self._recent
                        if time - track.last <= self._max_gap + 1]
        live = [track for track in self._recent
                if (track.frame_size, track.shot) == (frame_size, shot)]
        # Of two that fit equally well, that which was seen last goes on.
        live.sort(key=lambda track: track.last)
        pairs = sorted(((box_iou(track.box, box), i, number)
                        for i, track in enumerate(live)
                        for number, box in enumerate(boxes)), reverse=True)
        owner: dict[int, LinkedTrack] = {}
        taken: set[int] = set()
        for iou, i, number in pairs:
            if iou < self._min_iou:
                break
            if i not in taken and number not in owner:
                taken.add(i)
                owner[number] = live[i]
        for number, box in enumerate(boxes):
            if number not in owner:
                owner[number] = LinkedTrack(self._count, frame_size, shot, box)
                self._count += 1
                self._tracks.append(owner[number])
                self._recent.append(owner[number])
            track = owner[number]
            track.box = box
            track.weight += prominence(box, frame_size)
            track.times.append(time)
            track.faces.append(number)
        return [owner[number] for number in range(len(boxes))]

    def take(self) -> list[LinkedTrack]:
        """All tracks so far; none of them goes on."""
        tracks, self._tracks, self._recent = self._tracks, [], []
        return tracks


def main_tracks(tracks: Sequence[LinkedTrack]) -> list[LinkedTrack]:
    """Tracks that do not overlap in time, the weightiest first, by time."""
    kept: list[LinkedTrack] = []  # by time
    for track in sorted(tracks, key=lambda t: -t.weight):
        place = bisect.bisect(kept, track.first, key=lambda t: t.first)
        if (place == 0 or kept[place - 1].last < track.first) and (
                place == len(kept) or track.last < kept[place].first):
            kept.insert(place, track)
    return kept


def follow_face(detections: Sequence[Sequence[np.ndarray]],
                frame_sizes: Sequence[tuple[int, int] | None],
                max_gap: int = 5, min_iou: float = 0.3,
                shots: Sequence[int] | None = None
                ) -> tuple[np.ndarray, np.ndarray]:
    """Choose one face per frame, the same one as long as it is in sight.

    Faces are linked by :class:`FaceLinker`. The most prominent track
    (:func:`prominence`, summed over its frames) is kept, then the most
    prominent one that does not overlap it in time, and so on: when the
    picture cuts to another face, that one is followed.

    Args:
        detections: For every frame the landmarks (N, 2) of its faces.
        frame_sizes: For every frame (height, width), None if unknown; a
            change of size ends all tracks.
        max_gap: See :class:`FaceLinker`.
        min_iou: See :class:`FaceLinker`.
        shots: For every frame the number of its shot, with which all tracks
            end; default: a single one.

    Returns:
        Number of the chosen face in every frame, -1 if none, and the number
        of its track, -1 if none, counted in order of appearance. Both (T,).
    """
    linker = FaceLinker(max_gap, min_iou)
    for time, faces in enumerate(detections):
        linker.update(time, [landmark_box(face) for face in faces],
                      frame_sizes[time], shots[time] if shots else 0)
    face = np.full(len(detections), -1)
    ids = np.full(len(detections), -1)
    for number, track in enumerate(main_tracks(linker.take())):
        times = list(track.times)
        face[times] = list(track.faces)
        ids[times] = number
    return face, ids


def steady_crop_matrices(landmarks: np.ndarray, out_size: int, scale: float,
                         sigma: float = 2.) -> np.ndarray:
    """Crops of one face over time that do not tremble with its landmarks.

    Squares are smoothed over time (:func:`~mmtvface.geometry.crop.
    track_squares`) before the matrices are made; results are mapped back
    through the very same matrices, so smoothing costs no accuracy.

    Args:
        landmarks: (T, N, 2) pixel indices.
        out_size: Side of the crop in pixels.
        scale: Side of the square relative to the landmark box.
        sigma: Standard deviation of the smoothing in frames.

    Returns:
        (T, 3, 3) float64, original pixel indices -> crop pixel indices.
    """
    boxes = np.array([landmark_box(face) for face in landmarks])
    squares = track_squares(boxes, scale, mode='smooth', sigma=sigma)
    return np.stack([square_matrix(center, side, out_size)
                     for center, side in zip(*squares, strict=True)])
