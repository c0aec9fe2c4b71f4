# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""First pass over an input: which face is where, and how it is cropped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.logging import print_log

from mmtvface.preprocessing.face_alignment_detector import (
    FaceAlignmentLandmarkDetector,
)
from mmtvface.preprocessing.landmark_detector import (
    LandmarkDetector,
    MediaPipeLandmarkDetector,
)
from mmtvface.preprocessing.shots import ShotDetector
from mmtvface.preprocessing.tracking import follow_face, steady_crop_matrices

from .inputs import FrameSource
from .results import NO_FACE, OK, UNREADABLE
from .windows import plan_windows

#: Told the step, the frames done, and the frames in all (0: not known).
Progress = Callable[[str, int, int], None]

#: Names of the detectors that :func:`choose_detector` knows.
DETECTORS = ('mediapipe', 'face-alignment')

_MEMORY = 10  # frames that a detector of cuts looks back


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
        shot: Number of its shot; no track goes on into another.
        face: Number of the chosen face, -1 if none.
        track_id: Of the chosen face, -1 if none.
        crop_matrix: (3, 3), None without a face.
    """

    index: int
    name: str
    size: tuple[int, int] | None
    faces: list[np.ndarray] = field(default_factory=list)
    origin: str = ''
    problem: str = ''
    shot: int = 0
    face: int = -1
    track_id: int = -1
    crop_matrix: np.ndarray | None = None

    @property
    def status(self) -> str:
        """Status before the model has run."""
        if self.size is None:
            return UNREADABLE
        return OK if self.face >= 0 else NO_FACE

    @property
    def detection(self) -> np.ndarray | None:
        """(68, 2) landmarks of the chosen face."""
        return self.faces[self.face] if self.face >= 0 else None


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
               progress: Progress, known: Sequence[FramePlan] = (),
               note: Callable[[FramePlan], None] = lambda _: None
               ) -> list[FramePlan]:
    """Landmarks of all faces in all frames.

    Landmarks that came with a frame are used as they are. MediaPipe is
    started when the first frame without landmarks is met, unless another
    detector is given.

    Args:
        source: The frames.
        detector: Finds faces, None for MediaPipe.
        progress: Called after every frame.
        known: The first frames, from an earlier run.
        note: Told every further frame.

    Returns:
        One plan per frame, without a chosen face yet.

    Raises:
        ImportError: If MediaPipe is needed and not installed.
    """
    plans, own = [], None
    cuts = _cut_detector(source)
    try:
        for frame in source:
            # Those before an interruption tell what is usual in a shot.
            cut = (frame.index >= len(known) - _MEMORY
                   and frame.image is not None and cuts(frame.image))
            if frame.index < len(known):
                plans.append(known[frame.index])
                continue
            plan = FramePlan(frame.index, frame.name,
                             frame.image.shape[:2]
                             if frame.image is not None else None,
                             problem=frame.problem,
                             shot=(plans[-1].shot if plans else 0) + cut)
            plans.append(plan)
            if frame.landmarks is not None and plan.size:
                plan.faces, plan.origin = [frame.landmarks], 'given'
            elif plan.size:
                if detector is None:
                    detector = own = MediaPipeLandmarkDetector(
                        video=source.consecutive and len(source) != 1)
                plan.origin = 'detected'
                plan.faces = [
                    np.asarray(face, np.float64)
                    for face in detector(frame.image)
                    if np.isfinite(face).all() and np.ptp(face, 0).min() > 0]
            note(plan)
            progress('Looking for faces', len(plans), len(source))
    finally:
        if own is not None:
            own.close()
    return plans


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


def choose_faces(plans: list[FramePlan], source: FrameSource) -> None:
    """Fill in the face that is followed, and report frames without one.

    Raises:
        ValueError: If no frame has a face.
    """
    if source.consecutive:
        face, track = follow_face([plan.faces for plan in plans],
                                  [plan.size for plan in plans],
                                  shots=[plan.shot for plan in plans])
    else:
        alone = [follow_face([plan.faces], [plan.size]) for plan in plans]
        face = np.array([chosen[0] for chosen, _ in alone], int)
        track = np.where(face >= 0, np.cumsum(face >= 0) - 1, -1)
    for plan, number, track_id in zip(plans, face.tolist(), track.tolist(),
                                      strict=True):
        plan.face, plan.track_id = number, track_id
        if plan.status == NO_FACE and not plan.problem:
            plan.problem = ('another face is followed' if plan.faces
                            else 'no face was found')
    lost = [plan for plan in plans if plan.status != OK]
    if len(lost) == len(plans):
        raise ValueError(_nothing_found(plans, source))
    if lost:
        shown = ', '.join(plan.name for plan in lost[:5])
        unreadable = sum(plan.status == UNREADABLE for plan in lost)
        print_log(
            f'{source.name}: {len(lost)} of {len(plans)} frames are skipped '
            f'({unreadable} unreadable, {len(lost) - unreadable} without '
            f'the face): {shown}{", ..." if len(lost) > 5 else ""}. '
            f'First reason: {lost[0].problem}.', logger='current', level=30)


def _nothing_found(plans: list[FramePlan], source: FrameSource) -> str:
    if not plans:
        return f'{source.name} has no frames.'
    if all(plan.status == UNREADABLE for plan in plans):
        return (f'None of the {len(plans)} frames of {source.name} can be '
                f'read: {plans[0].problem}.')
    return (f'No face was found in any of the {len(plans)} frames of '
            f'{source.name}. A face should be upright, lit, and not much '
            'smaller than 1/20 of the frame; crop the frames, or give the 68 '
            'landmarks in a clip folder (jpg/<name>.jpg with '
            'kpt/<name>_kpt2d.npy).')


def place_crops(plans: list[FramePlan], image_size: int, scale: float,
                sigma: float) -> list[list[FramePlan]]:
    """Set the crop of every frame, smoothly along each track.

    Args:
        plans: All frames, with their chosen faces.
        image_size: Side of the crops.
        scale: Side of the crops relative to the landmark box.
        sigma: Smoothing over time in frames.

    Returns:
        The frames with a face, track by track, in order of time.
    """
    tracks: dict[int, list[FramePlan]] = {}
    for plan in plans:
        if plan.status == OK:
            tracks.setdefault(plan.track_id, []).append(plan)
    for track in tracks.values():
        matrices = steady_crop_matrices(
            np.stack([plan.detection for plan in track]), image_size, scale,
            sigma)
        for plan, matrix in zip(track, matrices, strict=True):
            plan.crop_matrix = matrix
    return list(tracks.values())


def cut_clips(tracks: list[list[FramePlan]], clip_length: int
              ) -> list[list[FramePlan]]:
    """Overlapping clips for the model, in order of time."""
    return [track[window.start:window.stop] for track in tracks
            for window in plan_windows(len(track), clip_length)]
