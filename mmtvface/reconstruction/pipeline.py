# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The steps from frames to finished codes, which run at the same time."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmtvface.geometry.crop import warp
from mmtvface.models.reconstructors import TemporalDECA
from mmtvface.tracking.detection import FramePlan, Progress, find_faces
from mmtvface.tracking.face_track import CropPlan, Face
from mmtvface.tracking.frame_source import Frame, FrameSource
from mmtvface.tracking.landmark_detector import LandmarkDetector
from mmtvface.tracking.shots import Segment, SegmentCutter
from mmtvface.utils.threads import prefetch

from .appearance_pass import AppearancePass, has_colors
from .encoder_pass import EncoderPass
from .finish import FinishSettings, Statistics
from .finish_pass import TrackFinisher
from .resume_file import RunJournal
from .shot_codes import SegmentCodes

_SEGMENTS_AHEAD = 2  # whose faces are known before they are encoded
_FRAMES_AHEAD = 2


class FinishedSegment(NamedTuple):
    """A segment whose codes are as they shall be.

    Attributes:
        segment: Its frames and faces.
        codes: Of its tracks; to be closed.
    """

    segment: Segment
    codes: SegmentCodes


@dataclass(frozen=True)
class RunSettings:
    """How a source is reconstructed.

    Attributes:
        crop: How faces are cut out.
        faces: 'main' or 'all', see :class:`SegmentCutter`.
        fill_gaps: See :class:`SegmentCutter`.
        clip_length: Frames per clip.
        overlap: Frames in common, see :class:`EncoderPass`.
        batch_size: Clips at once.
        finish: What is done to the codes of a track.
    """

    crop: CropPlan
    faces: str
    fill_gaps: int
    clip_length: int
    overlap: int
    batch_size: int
    finish: FinishSettings


class _Stopped(Exception):
    """Nobody waits for the results any more."""


class Pipeline:
    """Finds faces, encodes them, and finishes their tracks.

    Three threads work at the same time, each on a segment of its own: one
    decodes frames, one looks for faces in them, one encodes the faces (and
    has a fourth decode the frames again for it). Who takes the finished
    segments writes results meanwhile. Queues between them are short.

    Args:
        model: In evaluation mode.
        detector: Finds faces, None for MediaPipe; called in one thread only.
        settings: Of the run.
        journal: Where faces and codes are noted.
        progress: Told the step, frames done and in all, by several threads.
    """

    def __init__(self, model: TemporalDECA, detector: LandmarkDetector | None,
                 settings: RunSettings, journal: RunJournal,
                 progress: Progress) -> None:
        self._model, self._detector = model, detector
        self._settings, self._journal = settings, journal
        self._report_progress = progress
        self._stop = threading.Event()
        self.statistics = Statistics()
        # Refinement looks at the crops once more.
        self._looks = bool(settings.finish.refine) and has_colors(model)

    def _check_cancelled(self) -> None:
        """All steps come by here often, so that they can be stopped."""
        if self._stop.is_set():
            raise _Stopped

    def _progress(self, step: str, done: int, total: int) -> None:
        self._check_cancelled()
        self._report_progress(step, done, total)

    def __call__(self, source: FrameSource) -> Iterator[FinishedSegment]:
        """Finished segments in order."""
        return prefetch(self._finish(source), 1, self._stop.set)

    def _segments(self, source: FrameSource) -> Iterator[Segment]:
        log, settings = self._journal.faces, self._settings
        cut = SegmentCutter(log, settings.crop, settings.faces,
                            settings.fill_gaps, source.consecutive)
        return cut(find_faces(source, self._detector, self._progress,
                              log.known(), len(log)))

    def _finish(self, source: FrameSource) -> Iterator[FinishedSegment]:
        settings = self._settings
        windows = ((settings.clip_length, settings.overlap)
                   if source.consecutive else (1, 0))
        encode = EncoderPass(self._model, settings.crop.size,
                             settings.batch_size, *windows)
        finish = TrackFinisher(self._model, settings.crop.size, source.fps,
                               settings.finish, self.statistics,
                               self._check_cancelled)
        color = AppearancePass(
            self._model, self.statistics,
            self._check_cancelled) if self._looks else None
        with contextlib.ExitStack() as stack:
            segments = stack.enter_context(contextlib.closing(
                prefetch(self._segments(source), _SEGMENTS_AHEAD)))
            frames = stack.enter_context(contextlib.closing(
                prefetch(iter(source), _FRAMES_AHEAD)))
            again = _Again(frames, self._check_cancelled)
            # First of all, when this fails, the others are told to end.
            stack.push(self._stop_after)
            for segment in segments:
                codes = SegmentCodes(segment)
                try:
                    self._encode(segment, codes, encode, again, len(source))
                    for track in segment.tracks:
                        finish(track, codes)
                        if color is not None:
                            color(track, codes)
                        self._progress('Finishing', segment.stop, len(source))
                except BaseException:
                    codes.close()
                    raise
                yield FinishedSegment(segment, codes)

    def _stop_after(self, kind: type[BaseException] | None,
                    *_: object) -> None:
        if kind is not None:
            self._stop.set()

    def _encode(self, segment: Segment, codes: SegmentCodes,
                encode: EncoderPass, again: '_Again', total: int) -> None:
        known = self._recall(segment, codes)
        done = segment.first

        def shown() -> Iterator[tuple[Frame | None, list[Face]]]:
            for plan, faces in segment.frames():
                self._check_cancelled()
                for face in faces:
                    codes.write_points(face)
                frame = again.at(plan) if faces else None
                if self._looks and frame and frame.image is not None:
                    for face in faces:
                        codes.write_crop(face, warp(
                            frame.image, face.crop_matrix,
                            self._settings.crop.size))
                yield frame, faces

        for coded in encode(shown(), known):
            self._journal.codes.append(
                coded.track.track_id, coded.track.frames[coded.places],
                coded.rows)
            codes.write(coded.track, coded.places, coded.rows)
            done = max(done, int(coded.track.frames[coded.places[-1]]) + 1)
            self._progress('Reconstructing', done, total)

    def _recall(self, segment: Segment, codes: SegmentCodes
                ) -> dict[int, int]:
        """Codes from before; track id -> first place that is not known."""
        by_id = {track.track_id: track for track in segment.tracks}
        first = dict.fromkeys(by_id, 0)
        for records in self._journal.codes.known(segment.stop):
            self._check_cancelled()
            for number, (frame, track_id, row) in enumerate(records):
                track = by_id.get(int(track_id))
                place = -1 if track is None else int(
                    np.searchsorted(track.frames, frame))
                if place < first.get(int(track_id), 0) or (
                        place == len(track) or track.frames[place] != frame):
                    self._journal.codes.forget(len(records) - number)
                    return first
                codes.write(track, np.array([place]), row[None])
                first[track.track_id] = place + 1
        return first


class _Again:
    """Frames that are read a second time, in order."""

    def __init__(self, frames: Iterator[Frame],
                 check_cancelled: Callable[[], None]) -> None:
        self._frames, self._check_cancelled = frames, check_cancelled
        self._next: Frame | None = None

    def at(self, plan: FramePlan) -> Frame | None:
        """A frame; None if it cannot be read any more."""
        while self._next is None or self._next.index < plan.index:
            self._check_cancelled()
            self._next = next(self._frames, None)
            if self._next is None:
                return None
        return self._next if self._next.index == plan.index else None
