# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""First pass over an input: which face is where, and how it is cropped."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.logging import print_log

from mmtvface.geometry.crop import landmark_box
from mmtvface.utils.threads import prefetch

from .crop_track import box_iou
from .face_alignment_detector import FaceAlignmentLandmarkDetector
from .frame_source import FrameSource
from .landmark_detector import LandmarkDetector, MediaPipeLandmarkDetector
from .settings import DETECTORS
from .shot_detector import ShotDetector

#: Told the step, the frames done, and the frames in all (0: not known).
Progress = Callable[[str, int, int], None]

_MEMORY = 10  # frames that a detector of cuts looks back
_SAME = .5  # overlap from which on two faces are one that was found twice
_AHEAD = 2  # frames that are decoded before they are searched


@dataclass
class FramePlan:
    """What the first pass found out about one frame.

    Attributes:
        index: Position in the source.
        name: Of the frame.
        size: Height and width, None if unreadable.
        faces: (68, 2) pixel indices of every face.
        origin: 'given' or 'detected'.
        problem: See :class:`FrameResult`.
        cut: It begins another shot.
        numbers: Of the track of each face, over the whole source.
        time: See :class:`~.frame_source.Frame`.
        end: Where the next one begins in the log of faces, in bytes.
    """

    index: int
    name: str
    size: tuple[int, int] | None
    faces: list[np.ndarray] = field(default_factory=list)
    origin: str = ''
    problem: str = ''
    cut: bool = False
    numbers: list[int] = field(default_factory=list)
    time: float | None = None
    end: int = 0


def choose_detector(detector: LandmarkDetector | str | None,
                    device: str | torch.device) -> LandmarkDetector | None:
    """Detector by its name; None stands for MediaPipe, started if needed.

    Args:
        detector: One of :data:`DETECTORS`, a detector, or None.
        device: Where a detector of torch runs.

    Raises:
        ValueError: If there is no detector of this name.
        ImportError: If its package is not installed.
    """
    if detector is None or callable(detector):
        return detector
    if detector not in DETECTORS:
        raise ValueError(f'detector must be one of {DETECTORS} or a function '
                         f'of an image, but it is {detector!r}.')
    return (FaceAlignmentLandmarkDetector(device)
            if detector == 'face-alignment' else None)


def find_faces(source: FrameSource, detector: LandmarkDetector | None,
               progress: Progress, known: Iterable[FramePlan] = (),
               num_known: int = 0) -> Iterator[FramePlan]:
    """Landmarks of all faces in all frames, frame by frame.

    Landmarks that came with a frame are used as they are. MediaPipe is
    started when the first frame without landmarks is met, unless another
    detector is given.

    Args:
        source: The frames.
        detector: Finds faces, None for MediaPipe.
        progress: Called after every frame.
        known: The first frames, from an earlier run.
        num_known: How many these are.

    Yields:
        One plan per frame, without tracks yet.

    Raises:
        ImportError: If MediaPipe is needed and not installed.
    """
    own, known = None, iter(known)
    before: deque[tuple[np.ndarray, bool]] = deque(maxlen=_MEMORY)
    cuts = _cut_detector(source)
    frames = prefetch(iter(source), _AHEAD)
    try:
        for frame in frames:
            # Those before an interruption tell what is usual in a shot.
            cut = (frame.index >= num_known - _MEMORY
                   and frame.image is not None and cuts(frame.image))
            if frame.index < num_known:
                if frame.image is not None:
                    before.append((frame.image, cut))
                yield next(known)
                progress('Looking for faces', frame.index + 1, len(source))
                continue
            plan = FramePlan(frame.index, frame.name,
                             frame.image.shape[:2]
                             if frame.image is not None else None,
                             problem=frame.problem, cut=cut, time=frame.time)
            if frame.landmarks is not None and plan.size:
                plan.faces, plan.origin = [frame.landmarks], 'given'
            elif plan.size:
                if detector is None and own is None:
                    own = MediaPipeLandmarkDetector(
                        video=source.consecutive and len(source) != 1)
                    for image, began in before:
                        # It looks where the faces were before, too.
                        own(image, began)
                plan.origin = 'detected'
                plan.faces = _different([
                    np.asarray(face, np.float64)
                    for face in (own(frame.image, cut) if own is not None
                                 else detector(frame.image))
                    if np.isfinite(face).all() and np.ptp(face, 0).min() > 0])
            yield plan
            progress('Looking for faces', frame.index + 1, len(source))
    finally:
        frames.close()
        if own is not None:
            own.close()


def _different(faces: list[np.ndarray]) -> list[np.ndarray]:
    """Faces without those that a detector has found twice."""
    kept: list[np.ndarray] = []
    for face in faces:
        box = landmark_box(face)
        if all(box_iou(box, landmark_box(other)) < _SAME for other in kept):
            kept.append(face)
    return kept


def _cut_detector(source: FrameSource) -> Callable[[np.ndarray], bool]:
    """Tells whether a frame begins a shot."""
    if not source.consecutive or len(source) == 1:
        return lambda _: False
    try:
        return ShotDetector().is_cut
    except ImportError as error:
        print_log(f'Shots are not told apart: {error}', logger='current',
                  level=30)
        return lambda _: False
