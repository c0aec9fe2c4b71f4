# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Follow one face through the frames of a clip and steady its crop."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .crop import landmark_box, square_matrix, track_squares

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


@dataclass
class _Track:
    """Boxes of one face; ``faces`` maps the frame to the face's number."""

    scene: tuple
    last: int
    box: Box
    weight: float = 0.
    faces: dict[int, int] = field(default_factory=dict)


def follow_face(detections: Sequence[Sequence[np.ndarray]],
                frame_sizes: Sequence[tuple[int, int] | None],
                max_gap: int = 5, min_iou: float = 0.3,
                shots: Sequence[int] | None = None
                ) -> tuple[np.ndarray, np.ndarray]:
    """Choose one face per frame, the same one as long as it is in sight.

    Faces are linked from frame to frame by the overlap of their boxes. The
    most prominent track (:func:`prominence`, summed over its frames) is
    kept, then the most prominent one that does not overlap it in time, and so
    on: when the picture cuts to another face, that one is followed.

    Args:
        detections: For every frame the landmarks (N, 2) of its faces.
        frame_sizes: For every frame (height, width), None if unknown; a
            change of size ends all tracks.
        max_gap: Frames for which a face may be missed without losing it.
        min_iou: Least overlap of its boxes before and after.
        shots: For every frame the number of its shot, with which all tracks
            end; default: a single one.

    Returns:
        Number of the chosen face in every frame, -1 if none, and the number
        of its track, -1 if none, counted in order of appearance. Both (T,).
    """
    tracks: list[_Track] = []
    # A film has thousands of tracks, of which a few may still go on.
    recent: list[_Track] = []
    for time, faces in enumerate(detections):
        boxes = [landmark_box(face) for face in faces]
        size = frame_sizes[time]
        scene = (size, shots[time] if shots is not None else 0)
        recent = [t for t in recent if time - t.last <= max_gap + 1]
        live = [t for t in recent if t.scene == scene]
        pairs = sorted(((box_iou(t.box, box), i, number)
                        for i, t in enumerate(live)
                        for number, box in enumerate(boxes)), reverse=True)
        owner: dict[int, _Track] = {}
        taken: set[int] = set()
        for iou, i, number in pairs:
            if iou < min_iou:
                break
            if i not in taken and number not in owner:
                taken.add(i)
                owner[number] = live[i]
        for number, box in enumerate(boxes):
            if number not in owner:
                owner[number] = _Track(scene, time, box)
                tracks.append(owner[number])
                recent.append(owner[number])
            track = owner[number]
            track.last, track.box = time, box
            track.weight += prominence(box, size)
            track.faces[time] = number
    return _timeline(tracks, len(detections))


def _timeline(tracks: list[_Track], length: int
              ) -> tuple[np.ndarray, np.ndarray]:
    """Fill the time axis with disjoint tracks, the weightiest first."""
    kept: list[_Track] = []
    for track in sorted(tracks, key=lambda t: -t.weight):
        first = min(track.faces)
        if all(track.last < min(other.faces) or first > other.last
               for other in kept):
            kept.append(track)
    face = np.full(length, -1)
    ids = np.full(length, -1)
    for number, track in enumerate(sorted(kept, key=lambda t: t.last)):
        times = list(track.faces)
        face[times] = list(track.faces.values())
        ids[times] = number
    return face, ids


def steady_crop_matrices(landmarks: np.ndarray, out_size: int, scale: float,
                         sigma: float = 2.) -> np.ndarray:
    """Crops of one face over time that do not tremble with its landmarks.

    Squares are smoothed over time (:func:`~mmtvface.preprocessing.crop.
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
    return np.stack([square_matrix(centre, side, out_size)
                     for centre, side in zip(*squares, strict=True)])
