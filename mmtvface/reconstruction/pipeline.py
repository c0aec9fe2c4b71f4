# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The steps from frames to finished codes, which run at the same time."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from mmengine.logging import print_log

from mmtvface.geometry.crop import warp
from mmtvface.models.reconstructors import TemporalDECA
from mmtvface.tracking.detectors import FaceDetector, LandmarkFunction
from mmtvface.tracking.face_track import CropPlan, Face
from mmtvface.tracking.frame_source import Frame, FrameSource
from mmtvface.tracking.shots import (
    Progress,
    Shot,
    ShotBuilder,
    build_tracker,
    find_faces,
)
from mmtvface.tracking.track_store import TrackStore
from mmtvface.utils.threads import prefetch

from .appearance import AppearancePass, has_colors
from .encode import EncoderPass
from .finish import Statistics, TrackFinisher
from .settings import ReconstructSettings

#: Bytes that the decoded frames of an input may take. Those of a longer one
#: are decoded twice: to look for faces, and to encode them.
FRAME_MEMORY = 256 << 20

_SHOTS_AHEAD = 2  # whose faces are known before they are encoded
_FRAMES_AHEAD = 2


class _Stopped(Exception):
    """Nobody waits for the results any more."""


class Pipeline:
    """Finds faces, encodes them, and finishes their tracks.

    Three threads work at the same time, each on a shot of its own: one
    decodes frames, one looks for faces in them, one encodes the faces (and
    has a fourth decode the frames again for it, if they take more than
    :data:`FRAME_MEMORY`). Who takes the finished shots writes results
    meanwhile. Queues between them are short.

    Args:
        model: In evaluation mode.
        detector: Finds faces, None for MediaPipe; called in one thread only.
        settings: With a clip length, an overlap and steps of refinement.
        crop: How faces are cut out.
        store: Where faces and codes are noted.
        progress: Called with the step, frames done and in all, by several
            threads.
    """

    def __init__(self, model: TemporalDECA,
                 detector: FaceDetector | LandmarkFunction | None,
                 settings: ReconstructSettings, crop: CropPlan,
                 store: TrackStore, progress: Progress) -> None:
        self._model, self._detector = model, detector
        self._settings, self._crop, self._store = settings, crop, store
        self._report_progress = progress
        self._stop = threading.Event()
        self.statistics = Statistics()
        # Needs the crops once more.
        self._with_appearance = (bool(settings.finish.refine)
                                 and has_colors(model))

    def _check_cancelled(self) -> None:
        """All steps come by here often, so that they can be stopped."""
        if self._stop.is_set():
            raise _Stopped

    def _progress(self, step: str, done: int, total: int) -> None:
        self._check_cancelled()
        self._report_progress(step, done, total)

    def __call__(self, source: FrameSource) -> Iterator[Shot]:
        """Shots in order, whose codes in the store are as they shall be."""
        return prefetch(self._finish(source), 1, self._stop.set)

    def _shots(self, source: FrameSource, frames: '_Frames'
               ) -> Iterator[Shot]:
        tracking = self._settings.tracking
        build = ShotBuilder(self._store, self._crop, tracking.faces,
                            tracking.fill_gaps, source.consecutive)
        with build_tracker(self._detector, tracking.fill_gaps) as tracker:
            yield from build(find_faces(source, tracker, self._progress,
                                        self._store, frames.keep))

    def _finish(self, source: FrameSource) -> Iterator[Shot]:
        encoder = self._settings.encoder
        windows = ((encoder.clip_length, encoder.overlap)
                   if source.consecutive else (1, 0))
        encode = EncoderPass(self._model, self._crop.size,
                             encoder.batch_size, *windows)
        finish = TrackFinisher(self._model, self._crop.size, source.fps,
                               self._settings.finish, self.statistics,
                               self._check_cancelled)
        color = AppearancePass(
            self._model, self.statistics,
            self._check_cancelled) if self._with_appearance else None
        with contextlib.ExitStack() as stack:
            frames = _Frames(source, self._check_cancelled)
            stack.callback(frames.close)
            shots = stack.enter_context(contextlib.closing(
                prefetch(self._shots(source, frames), _SHOTS_AHEAD)))
            # First of all, when this fails, the others are stopped.
            stack.push(self._stop_after)
            for shot in shots:
                self._encode(shot, encode, frames, len(source))
                for track in shot.tracks:
                    finish(track, self._store)
                    if color is not None:
                        color(track, self._store)
                    self._progress('Finishing', shot.stop, len(source))
                yield shot

    def _stop_after(self, kind: type[BaseException] | None,
                    *_: object) -> None:
        if kind is not None:
            self._stop.set()

    def _encode(self, shot: Shot, encode: EncoderPass, frames: '_Frames',
                total: int) -> None:
        store, done = self._store, shot.first
        known = {track.track_id: store.known_codes(track)
                 for track in shot.tracks}

        def shown() -> Iterator[tuple[Frame | None, list[Face]]]:
            for detections, faces in shot.frames():
                self._check_cancelled()
                frame = frames.at(detections.index) if faces else None
                if (self._with_appearance and frame
                        and frame.image is not None):
                    for face in faces:
                        store.write_crop(face, warp(
                            frame.image, face.crop_matrix, self._crop.size))
                yield frame, faces
            frames.drop(shot.stop)

        for coded in encode(shown(), known):
            store.write_codes(*coded)
            done = max(done, int(coded.track.frames[coded.places[-1]]) + 1)
            self._progress('Reconstructing', done, total)


class _Frames:
    """Frames for the encoder, from memory, or decoded again, in order.

    Args:
        source: Whose they are.
        check_cancelled: Called now and then; what it raises ends the work.
    """

    def __init__(self, source: FrameSource,
                 check_cancelled: Callable[[], None]) -> None:
        self._source, self._check_cancelled = source, check_cancelled
        self._kept: dict[int, Frame] = {}
        self._bytes = 0  # of all frames that were kept
        self._fits = not source.in_memory
        self._again: Iterator[Frame] | None = None
        self._next: Frame | None = None

    def keep(self, frame: Frame) -> None:
        """Take a frame that was decoded; called by another thread."""
        size = 0 if frame.image is None else frame.image.nbytes
        self._bytes += size
        left = max(0, len(self._source) - frame.index - 1)
        if not self._fits or self._bytes + left * size > FRAME_MEMORY:
            self._fits = False
            self._kept.clear()
        else:
            self._kept[frame.index] = frame

    def at(self, index: int) -> Frame | None:
        """A frame; None if it cannot be read any more."""
        if frame := self._kept.get(index):
            return frame
        if self._again is None:
            if not self._source.in_memory:
                print_log(
                    f'The frames of {self._source.name} take more than the '
                    f'{FRAME_MEMORY >> 20} MB that are kept in memory: they '
                    'are decoded twice.', logger='current', level=20)
            self._again = prefetch(iter(self._source), _FRAMES_AHEAD)
        while self._next is None or self._next.index < index:
            self._check_cancelled()
            self._next = next(self._again, None)
            if self._next is None:
                return None
        return self._next if self._next.index == index else None

    def drop(self, stop: int) -> None:
        """Frames before this one are not asked for any more."""
        for index in [index for index in tuple(self._kept) if index < stop]:
            self._kept.pop(index, None)

    def close(self) -> None:
        """End the reading."""
        self._kept.clear()
        if self._again is not None:
            self._again.close()
