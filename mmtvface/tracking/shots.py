# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From frames to shots, each with the tracks of its faces.

No track crosses a cut. So everything about a track is known when its shot
ends, and a long video is reconstructed shot by shot while later ones are
still searched for faces.
"""

import bisect
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.logging import print_log

from mmtvface.utils.threads import prefetch

from .detectors import (
    FaceDetector,
    FaceLandmarks,
    LandmarkFunction,
    build_detector,
)
from .face_track import (
    INTERPOLATED,
    CropPlan,
    Face,
    FaceTrack,
    FrameDetections,
    TrackedFace,
)
from .face_tracker import MAX_GAP, FaceTracker
from .frame_source import Frame, FrameSource
from .shot_detector import ShotDetector
from .track_store import TrackStore

#: Called with the step, the frames done, and the frames in all (0: not known).
Progress = Callable[[str, int, int], None]

_LEAST = 50  # frames of a shot, if a cut can end it
_MEMORY = 10  # frames that a detector of cuts looks back
_AHEAD = 2  # frames that are decoded before they are searched


def choose_detector(detector: FaceDetector | LandmarkFunction | str | None,
                    device: str | torch.device
                    ) -> FaceDetector | LandmarkFunction | None:
    """Detector by its name; None stands for MediaPipe, started if needed.

    Args:
        detector: A name (:data:`~.detectors.DETECTORS`), a detector, a
            function of an image, or None.
        device: Where a detector of torch runs.

    Raises:
        ValueError: If there is no detector of this name.
        ImportError: If its package is not installed.
        FileNotFoundError: If its weights are not there.
    """
    if detector is None or not isinstance(detector, str):
        return detector
    if detector == 'mediapipe':
        return None
    return build_detector(detector, device=device)


def find_faces(source: FrameSource, tracker: FaceTracker,
               progress: Progress, store: TrackStore | None = None,
               decoded: Callable[[Frame], None] = lambda _: None
               ) -> Iterator[FrameDetections]:
    """Faces of all frames with their tracks, frame by frame.

    Landmarks that came with a frame are used as they are.

    Args:
        source: The frames.
        tracker: Finds faces.
        progress: Called after every frame.
        store: May have the first frames from an earlier run.
        decoded: Called with every frame.

    Yields:
        What is known of every frame.

    Raises:
        ImportError: If MediaPipe is needed and not installed.
    """
    count = 0 if store is None else len(store)
    known = iter(() if store is None else store.frames(0, count, found=True))
    is_cut = _cut_detector(source)
    frames = prefetch(iter(source), _AHEAD)
    try:
        for frame in frames:
            decoded(frame)
            image, index = frame.image, frame.index
            # Those before an interruption tell what is usual in a shot.
            cut = (index >= count - _MEMORY and image is not None
                   and is_cut(image))
            alone = cut or not source.consecutive
            if index < count:
                detections = next(known)
                tracker.replay(detections.faces, detections.size,
                               detections.cut or not source.consecutive)
            else:
                given = frame.landmarks
                detections = FrameDetections(
                    index, frame.name,
                    None if image is None else image.shape[:2],
                    tracker.update(image, alone,
                                   None if given is None else [given]),
                    frame.problem, cut, frame.time)
            yield detections
            progress('Looking for faces', index + 1, len(source))
    finally:
        frames.close()


def _cut_detector(source: FrameSource) -> Callable[[np.ndarray], bool]:
    """Tells whether a frame begins a shot."""
    if not source.consecutive or len(source) == 1:
        return lambda _: False
    try:
        return ShotDetector().is_cut
    except ImportError as error:
        print_log(f'Cuts are not looked for: {error}', logger='current',
                  level=30)
        return lambda _: False


def prominence(box: Sequence[float], frame_size: tuple[int, int]) -> float:
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
    area = (box[2] - box[0]) * (box[3] - box[1])
    return area / (height * width) / (1 + (off_x + off_y) / 2)


@dataclass(eq=False)
class OpenTrack:
    """A face in the frames so far.

    Attributes:
        track_id: See :class:`TrackedFace`.
        frame_size: Height and width of its frames.
        weight: Sum of :func:`prominence`.
        frames: In which it is, increasing.
        boxes: Of its landmarks, four numbers for each of them.
        last: Its landmarks where it was found last.
    """

    track_id: int
    frame_size: tuple[int, int]
    weight: float = 0.
    frames: array = field(default_factory=lambda: array('q'))
    boxes: array = field(default_factory=lambda: array('d'))
    last: np.ndarray | None = None

    def add(self, index: int, face: TrackedFace) -> None:
        """Take the face of the next frame."""
        self.frames.append(index)
        self.boxes.extend(face.box)
        if face.origin != INTERPOLATED:
            self.weight += prominence(face.box, self.frame_size)
            self.last = face.landmarks.points

    def between(self, index: int, face: TrackedFace, longest: int
                ) -> Iterator[tuple[int, TrackedFace]]:
        """Frames since the last one and the face in them, if not many."""
        if self.last is None or index - self.frames[-1] > longest + 1:
            return
        first = self.frames[-1]
        for missed in range(first + 1, index):
            share = (missed - first) / (index - first)
            points = self.last + share * (face.landmarks.points - self.last)
            yield missed, TrackedFace(self.track_id, FaceLandmarks(points),
                                      INTERPOLATED)


def main_tracks(tracks: Iterable[OpenTrack]) -> list[OpenTrack]:
    """Tracks that do not overlap in time, the weightiest first, by time."""
    kept: list[OpenTrack] = []  # by time
    for track in sorted(tracks, key=lambda t: -t.weight):
        place = bisect.bisect(kept, track.frames[0], key=lambda t: t.frames[0])
        if (place == 0 or kept[place - 1].frames[-1] < track.frames[0]) and (
                place == len(kept)
                or track.frames[-1] < kept[place].frames[0]):
            kept.insert(place, track)
    return kept


@dataclass(eq=False)
class Shot:
    """Frames between two cuts; some shots in a row, if they are short.

    Attributes:
        first: Index of the first frame.
        stop: One after the last.
        tracks: Of the faces to reconstruct, by their ids.
        store: Of all frames.
    """

    first: int
    stop: int
    tracks: list[FaceTrack]
    store: TrackStore

    def frames(self) -> Iterator[tuple[FrameDetections, list[Face]]]:
        """All frames with their faces to reconstruct, by track id."""
        tracks = {track.tracker_id: track for track in self.tracks}
        places = dict.fromkeys(tracks, 0)
        for frame in self.store.frames(self.first, self.stop):
            faces = []
            for face in frame.faces:
                if track := tracks.get(face.track_id):
                    faces.append(Face(track, places[face.track_id],
                                      face.landmarks.points, face.origin))
                    places[face.track_id] += 1
            yield frame, sorted(faces, key=lambda face: face.track.track_id)


class ShotBuilder:
    """Cuts a source into shots, and decides who is reconstructed.

    Args:
        store: To which frames go that are not in it yet.
        crop: How faces are cut out.
        faces: 'main': of the faces of a frame, one, which is followed as
            long as it is in sight, the most prominent (:func:`prominence`,
            summed over its frames), then the most prominent one that does
            not overlap it in time, and so on. 'all': all.
        fill_gaps: Longest gap, in frames, in which a face that is not found
            is taken to be between where it was and where it is afterwards.
        consecutive: The frames follow one another in time.
    """

    def __init__(self, store: TrackStore, crop: CropPlan,
                 faces: str = 'main', fill_gaps: int = 0,
                 consecutive: bool = True) -> None:
        self._store, self._crop, self._all = store, crop, faces == 'all'
        self._fill, self._consecutive = fill_gaps, consecutive

    def __call__(self, frames: Iterable[FrameDetections]) -> Iterator[Shot]:
        """Shots, as soon as they end.

        Args:
            frames: All in order, those in the store first.
        """
        known, first, stop, next_id = len(self._store), 0, 0, 0
        tracks: dict[int, OpenTrack] = {}

        def shot() -> Shot:
            nonlocal next_id
            chosen = list(tracks.values())
            if not self._all:
                chosen = main_tracks(chosen)
            done = [FaceTrack(
                next_id + number, track.track_id,
                np.frombuffer(track.frames, np.int64),
                np.frombuffer(track.boxes).reshape(-1, 4), track.frame_size,
                self._crop) for number, track in enumerate(chosen)]
            next_id += len(done)
            return Shot(first, stop, done, self._store)

        for frame in frames:
            begins = frame.cut or not self._consecutive
            if begins and frame.index - first >= _LEAST:
                yield shot()
                first, tracks = frame.index, {}
            stop = frame.index + 1
            if frame.index >= known:
                self._store.add_frame(frame)
            filled = []
            for face in frame.faces:
                track = tracks.setdefault(face.track_id, OpenTrack(
                    face.track_id, frame.size))
                for missed in track.between(frame.index, face, self._fill):
                    filled.append(missed)
                    track.add(*missed)
                track.add(frame.index, face)
            if filled:
                self._store.add_faces(filled)
        if stop > first:
            yield shot()


def build_tracker(detector: FaceDetector | LandmarkFunction | None,
                  fill_gaps: int = 0) -> FaceTracker:
    """The tracker of a reconstruction; gaps to be filled end no track."""
    return FaceTracker(detector, max_gap=max(MAX_GAP, fill_gaps))
