# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A source in pieces between cuts, each with the tracks of its faces.

No track crosses a cut. So everything about a track is known when its piece
ends, and a long video is reconstructed piece by piece while later ones are
still searched for faces.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from mmtvface.geometry.crop import landmark_box

from .crop_track import FaceLinker, main_tracks
from .detection import FramePlan
from .face_log import FaceLog
from .face_track import INTERPOLATED, CropPlan, Face, FaceTrack

_LEAST = 50  # frames of a segment, if a cut can end it
_MAX_GAP = 5  # frames for which a face may be missed without losing it
Filled = dict[int, list[tuple[int, np.ndarray]]]


@dataclass(eq=False)
class Segment:
    """Frames between two cuts; some scenes, if they are short.

    Attributes:
        first: Index of the first frame.
        stop: One after the last.
        start: Where its frames begin in the log.
        log: Of all frames.
        numbered: Number of a face in the log -> track, of the faces to
            reconstruct, in order of appearance.
        filled: Frame -> number and landmarks of faces that were not found.
    """

    first: int
    stop: int
    start: int
    log: FaceLog
    numbered: dict[int, FaceTrack]
    filled: Filled

    @property
    def tracks(self) -> list[FaceTrack]:
        """Of the faces to reconstruct, by their ids."""
        return list(self.numbered.values())

    def frames(self) -> Iterator[tuple[FramePlan, list[Face]]]:
        """All frames with their faces to reconstruct, by track id."""
        places = dict.fromkeys(self.numbered, 0)
        for plan in self.log.read(self.start, self.first,
                                  self.stop - self.first):
            found = [(number, points, plan.origin) for number, points in zip(
                plan.numbers, plan.faces, strict=True)]
            found += [(number, points, INTERPOLATED)
                      for number, points in self.filled.get(plan.index, ())]
            faces = []
            for number, points, origin in found:
                if number in self.numbered:
                    faces.append(Face(self.numbered[number], places[number],
                                      points, origin))
                    places[number] += 1
            yield plan, sorted(faces, key=lambda face: face.track.track_id)


@dataclass
class _Part:
    """The segment that is being read."""

    first: int
    start: int
    boxes: dict[int, array] = field(default_factory=dict)
    times: dict[int, array] = field(default_factory=dict)
    filled: Filled = field(default_factory=dict)
    # Frame and landmarks in which a face was seen last
    seen: dict[int, tuple[int, np.ndarray]] = field(default_factory=dict)

    def add(self, number: int, index: int, face: np.ndarray) -> None:
        """A face in a frame."""
        self.times.setdefault(number, array('q')).append(index)
        self.boxes.setdefault(number, array('d')).extend(landmark_box(face))

    def fill(self, number: int, index: int, face: np.ndarray,
             longest: int) -> None:
        """The gap before a face, if it is not too long."""
        last, before = self.seen.get(number, (index - 1, face))
        self.seen[number] = index, face
        if index - last > longest + 1:
            return
        for missed in range(last + 1, index):
            share = (missed - last) / (index - last)
            between = before + share * (face - before)
            self.filled.setdefault(missed, []).append((number, between))
            self.add(number, missed, between)


class SegmentCutter:
    """Links faces to tracks and cuts a source into segments.

    Args:
        log: To which frames go that are not in it yet.
        crop: How faces are cut out.
        faces: 'main': of the faces of a frame, one, which is followed as
            long as it is in sight, the most prominent. 'all': all.
        fill_gaps: Longest gap, in frames, in which a face that is not found
            is taken to be between where it was and where it is afterwards.
        consecutive: The frames follow one another in time.
    """

    def __init__(self, log: FaceLog, crop: CropPlan, faces: str = 'main',
                 fill_gaps: int = 0, consecutive: bool = True) -> None:
        self._log, self._crop, self._all = log, crop, faces == 'all'
        self._fill, self._consecutive = fill_gaps, consecutive
        self._linker = FaceLinker(max_gap=max(_MAX_GAP, fill_gaps))
        self._next_id = 0

    def __call__(self, plans: Iterable[FramePlan]) -> Iterator[Segment]:
        """Segments, as soon as they end.

        Args:
            plans: Of all frames in order; those that are in the log already
                come first, and their ``end`` says where.
        """
        known, shot, end = len(self._log), 0, 0
        part = _Part(0, 0)
        for index, plan in enumerate(plans):
            begins = plan.cut or not self._consecutive
            shot += begins
            if begins and index - part.first >= _LEAST:
                yield self._close(part, index)
                part = _Part(index, end)
            owners = self._linker.update(
                index, [landmark_box(face) for face in plan.faces],
                plan.size, shot)
            plan.numbers = [owner.number for owner in owners]
            for number, face in zip(plan.numbers, plan.faces, strict=True):
                if self._fill:
                    part.fill(number, index, face, self._fill)
                part.add(number, index, face)
            end = plan.end if index < known else self._log.append(plan)
        if end:
            yield self._close(part, index + 1)

    def _close(self, part: _Part, stop: int) -> Segment:
        linked = self._linker.take()
        numbered = {}
        for track in linked if self._all else main_tracks(linked):
            number = track.number
            numbered[number] = FaceTrack(
                self._next_id, np.frombuffer(part.times[number], np.int64),
                np.frombuffer(part.boxes[number]).reshape(-1, 4),
                track.frame_size, self._crop)
            self._next_id += 1
        return Segment(part.first, stop, part.start, self._log, numbered,
                       part.filled)
