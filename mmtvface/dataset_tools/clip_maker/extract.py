# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From one video to clips of single faces."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.io.video_reader import (
    DecodingLog,
    UnreadableVideoError,
    VideoFrame,
    decode_video,
    probe_video,
)
from mmtvface.tracking.detectors import FaceDetector, build_detector
from mmtvface.tracking.face_track import TrackedFace
from mmtvface.tracking.face_tracker import FaceTracker
from mmtvface.tracking.shot_detector import ShotDetector
from mmtvface.utils.threads import prefetch

from ..settings import ClipSettings
from .face_run import FaceRun, MaskMaker
from .frame_check import measure_face, refuse
from .video_state import VideoState

#: Called with the frames done so far and those in all (0: not known).
Progress = Callable[[int, int], None]

# Frames that may be decoded ahead.
_AHEAD = 6
# A pause of so many frame times (and this long) ends a run.
_PAUSE_FRAMES, _PAUSE_SECONDS = 3., 0.2
# Seldom enough to cost nothing, often enough to lose little.
_COMMIT_FRAMES = 250


def extract_clips(video: str | os.PathLike, state: VideoState,
                  settings: ClipSettings, mask_maker: MaskMaker,
                  detector: FaceDetector | None = None,
                  progress: Progress | None = None) -> VideoState:
    """Find the people of a video and write a clip of each run of frames.

    Streams: memory does not depend on the length of the video. Continues
    where the state stops. A video that cannot be read is no error: the
    state says what is wrong.

    Args:
        video: The file.
        state: Of its work folder; updated and committed.
        settings: What a clip must be like.
        mask_maker: Makes the mask of a frame.
        detector: Finds faces; default: that of the settings.
        progress: Called now and then.

    Returns:
        The state.

    Raises:
        ImportError: If the detector is not installed.
        FileNotFoundError: If there is no such file.
        OSError: If clips cannot be written.
    """
    if state.finished:
        return state
    own = detector is None
    detector = detector or build_detector(settings.backend,
                                          **settings.backend_options)
    try:
        with ThreadPoolExecutor(1) as pool:
            _Extraction(Path(video), state, settings, mask_maker, detector,
                        pool, progress or (lambda done, total: None)).run()
    finally:
        if own:
            detector.close()
    return state


class _Extraction:
    """The state of one pass over a video."""

    def __init__(self, video: Path, state: VideoState, settings: ClipSettings,
                 mask_maker: MaskMaker, detector: FaceDetector,
                 pool: Executor, progress: Progress) -> None:
        self.video = video
        self.state = state
        self.settings = settings
        self.pool = pool
        self.progress = progress
        self.shots = ShotDetector(settings.cut_threshold)
        self.tracker = FaceTracker(
            detector, detect_every=settings.detect_every,
            max_faces=settings.max_faces, max_gap=settings.max_gap)
        self.mask_maker = mask_maker
        self.first_track = state.next_track
        self.runs: dict[int, FaceRun] = {}
        self.begun = state.next_frame  # first frame of the piece
        # Times tell the frames apart. Not in recordings that were joined.
        self.ordered = not self.begun or state.next_time is not None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a part of the work."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.state.seconds[name] += time.perf_counter() - start

    def run(self) -> None:
        state, log, before = self.state, DecodingLog(), self.begun
        try:
            info = probe_video(self.video)
            state.fps = info.fps
            frames = decode_video(self.video, state.next_time,
                                  state.next_frame, log)
            with closing(prefetch(frames, _AHEAD)) as ahead:
                self._consume(ahead, info.num_frames)
        except UnreadableVideoError as error:
            state.problem = str(error)
        finally:
            self.tracker.close()
        self._end_runs()
        state.problem = state.problem or log.problem(before)
        state.finished = True
        state.commit()

    def _consume(self, frames: Iterator[VideoFrame], total: int) -> None:
        previous: VideoFrame | None = None
        state = self.state
        while True:
            with self.stage('decode'):
                frame = next(frames, None)
            if frame is None:
                break
            if previous is not None and frame.time <= previous.time:
                self.ordered = False
            with self.stage('shots'):
                cut = self._breaks(previous, frame)
            self._maybe_commit(frame, cut)
            if frame.damaged:
                state.lost_frames['damaged'] += 1
                self._end_runs()
            else:
                self._follow(frame, previous, cut)
            state.frames += 1
            state.next_frame, state.next_time = frame.index + 1, None
            previous = frame
            if frame.index % 10 == 0:
                self.progress(frame.index + 1, total)

    def _breaks(self, previous: VideoFrame | None, frame: VideoFrame) -> bool:
        """Whether this frame does not continue the one before."""
        cut = self.shots.is_cut(frame.image)
        if previous is None:
            return False
        pause = max(_PAUSE_FRAMES / max(self.state.fps, 1.), _PAUSE_SECONDS)
        return (cut or previous.damaged
                or abs(frame.time - previous.time) > pause)

    def _follow(self, frame: VideoFrame, previous: VideoFrame | None,
                cut: bool) -> None:
        """Find the faces of a frame and give each to its run."""
        state = self.state
        if cut:
            self._end_runs()
        with self.stage('tracking'):
            faces = self.tracker.update(frame.image, cut)
        state.faces += len(faces)
        if not faces:
            state.lost_frames['no face'] += 1
        old = (previous.image if previous is not None and not cut
               and not previous.damaged else None)
        for track in set(self.runs) - {face.track_id for face in faces}:
            self._end_run(track)
        for face in faces:
            self._keep(frame, old, face)

    def _keep(self, frame: VideoFrame, previous: np.ndarray | None,
              face: TrackedFace) -> None:
        """Append a face to its run, or end that."""
        state, number = self.state, face.track_id
        with self.stage('quality'):
            measures = measure_face(frame.image, previous, face)
            reason = refuse(measures, face.landmarks.points,
                            frame.image.shape[:2], self.settings)
        if reason:
            state.lost_frames[reason] += 1
            if number in self.runs:
                self._end_run(number)
            return
        if number not in self.runs:
            track = self.first_track + number
            state.next_track = max(state.next_track, track + 1)
            name = f'{state.key}_{frame.index:06d}_{track:03d}'
            self.runs[number] = FaceRun(
                name, track, face, state.piece / name, self.pool,
                self.settings, self.mask_maker)
        self.runs[number].add(frame, face, measures, self.stage)
        if len(self.runs[number]) >= self.settings.max_length:
            self._end_run(number)

    def _end_runs(self) -> None:
        for track in list(self.runs):
            self._end_run(track)

    def _end_run(self, track: int) -> None:
        run, state = self.runs.pop(track), self.state
        with self.stage('writing'):
            clip, reason = run.finish(self._meta())
        if clip is None:
            state.lost_clips[reason] += 1
            state.lost_frames[reason] += len(run)
        else:
            state.clips.append(clip)

    def _meta(self) -> dict[str, Any]:
        return dict(source=self.state.source, video=self.state.key,
                    fps=self.state.fps, backend=self.settings.backend,
                    masks=self.settings.masks,
                    settings=self.state.settings)

    def _maybe_commit(self, frame: VideoFrame, cut: bool) -> None:
        """Commit before this frame, if this is a good place."""
        done = frame.index - self.begun
        if cut and done >= _COMMIT_FRAMES or (
                done >= self.settings.segment_length and all(
                    len(run) >= self.settings.min_length
                    for run in self.runs.values())):
            self._end_runs()
            self.state.next_time = frame.time if self.ordered else None
            self.state.commit()
            self.begun = frame.index
