# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Statistics that tell how well a clip was reconstructed."""

import math
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch

from mmtvface.evaluation.functional import (
    HEAD_ANGLES,
    LANDMARK_SIGNALS,
    MIN_MOTION,
    SIGNALS,
    MotionTerms,
    RunningMotion,
    angle_signals,
    box_size,
    jitter,
    landmark_signals,
    normalized_mean_error,
    pooled,
)
from mmtvface.geometry.head_pose import STABLE, head_pose
from mmtvface.io.column_store import ColumnStore
from mmtvface.tracking.face_track import INTERPOLATED

from .results import FrameResult, head_rotation

#: Signals of ``motion`` in the metrics, and how they are called in texts.
MOTION_NAMES = {name: SIGNALS[name]
                for name in (*LANDMARK_SIGNALS, *HEAD_ANGLES)}

_CHUNK = 4096  # rows
# Standard deviation of a true signal below which it is the detector's noise:
# of angles that are estimated from its points, degrees.
_MIN_MOTION = MIN_MOTION | dict.fromkeys(HEAD_ANGLES, 1.)


class _Seen(NamedTuple):
    """What is remembered of a face for the next two frames."""

    index: int
    shape: np.ndarray
    landmarks: tuple[np.ndarray, np.ndarray] | None


def motion_signals(result: FrameResult
                   ) -> tuple[dict[str, float], dict[str, float]]:
    """Signals of a valid result, and those of the detector's landmarks.

    See :func:`landmark_signals`, and ``yaw``, ``pitch`` and ``roll`` of the
    head as it is seen. Those of the detector are of a generic head that is
    fitted to the landmarks of :data:`STABLE`. Points in two dimensions do not
    tell an open jaw from parted lips, so that there is no signal of the jaw.
    """
    yaw, pitch, roll = head_pose(result.detection, STABLE)
    return (landmark_signals(result.landmarks2d)
            | angle_signals(head_rotation(result)),
            landmark_signals(result.detection)
            | dict(yaw=yaw, pitch=pitch, roll=roll))


class _Mean:
    """A running mean; None of nothing."""

    def __init__(self) -> None:
        self._sum, self._count = 0., 0

    def add(self, value: float) -> None:
        self._sum, self._count = self._sum + value, self._count + 1

    @property
    def value(self) -> float | None:
        return self._sum / self._count if self._count else None


class Summary:
    """Collects statistics while results go by.

    Per result an error with its name is kept, about 200 bytes, per frame
    that is skipped its name, and per face the sum of its shapes and sums of
    its motion, 3 kB. Shapes that change wait on the disk. A context manager,
    which gives that space back.

    Args:
        folder: Where shapes wait; None: the system's.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._skipped: dict[str, list[str]] = {}
        self._nme: dict[str, float] = {}
        self._sources: set[str] = set()
        self._frames = self._done = self._faces = 0
        self._last = self._last_done = -1  # index of a frame
        # Of each face: its number, the sum of its shapes, and how many.
        self._tracks: dict[int, tuple[int, np.ndarray, int]] = {}
        self._shapes = ColumnStore(folder)
        self._recent: dict[int, list[_Seen]] = {}
        self._jitter = _Mean(), _Mean()
        self._motion: dict[int, RunningMotion] = {}

    def __enter__(self) -> 'Summary':
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._shapes.close()

    def add(self, result: FrameResult) -> None:
        """Take note of a result; those of one frame follow one another."""
        if result.index != self._last:
            self._frames, self._last = self._frames + 1, result.index
        if not result.valid:
            self._skipped.setdefault(result.status, []).append(result.name)
            return
        self._faces += 1
        if result.index != self._last_done:
            self._done, self._last_done = self._done + 1, result.index
        points = None
        if result.detection_source != INTERPOLATED:
            points = result.landmarks2d, result.detection
            self._nme[result.name] = normalized_mean_error(
                *(torch.tensor(array[None]) for array in points)).item()
            self._sources.add(result.detection_source)
            self._motion.setdefault(result.track_id, RunningMotion()).add(
                *motion_signals(result))
        self._follow(result.track_id, _Seen(
            result.index, result.codes['shape'], points))

    def _follow(self, track: int, seen: _Seen) -> None:
        """Compare a face with itself in the frames before."""
        self._recent = {number: faces for number, faces in
                        self._recent.items()
                        if faces[-1].index >= seen.index - 1}
        faces = self._recent.get(track, [])
        number, total, count = self._tracks.get(track, (
            len(self._tracks), np.zeros(seen.shape.shape), 0))
        self._tracks[track] = number, total + seen.shape, count + 1
        # One shape for the whole track is kept once, not once per frame.
        if not (faces and np.array_equal(faces[-1].shape, seen.shape)):
            self._shapes.append(dict(track=number, shape=seen.shape))
        faces = self._recent[track] = [*faces[-2:], seen]
        if len(faces) == 3 and all(face.landmarks for face in faces):
            for mean, arrays in zip(self._jitter, zip(
                    *(face.landmarks for face in faces), strict=True),
                    strict=True):
                points = torch.from_numpy(np.stack(arrays))
                mean.add((jitter(points) / box_size(points[1:2])).item())

    def _spread(self) -> dict[str, float]:
        """Of the shapes of each face, as :func:`code_spread` measures it."""
        if not self._tracks:
            return {}
        means = np.stack([total / count for _, total, count
                          in self._tracks.values()])
        farthest = np.zeros(len(means))
        track, shape = map(self._shapes.column, ('track', 'shape'))
        for start in range(0, len(self._shapes), _CHUNK):
            owner = track[start:start + _CHUNK]
            np.maximum.at(farthest, owner, np.linalg.norm(
                shape[start:start + _CHUNK] - means[owner], axis=1))
        spread = farthest / np.linalg.norm(means, axis=1).clip(1e-12)
        return dict(zip(map(str, self._tracks), spread.tolist(),
                        strict=True))

    def _motion_statistics(self) -> dict[str, dict[str, float | None]]:
        """Amplitude and correlation of each signal."""
        found = pooled(running.terms for running in self._motion.values())

        def known(value: float) -> float | None:
            return value if math.isfinite(value) else None

        motion = {}
        for name in MOTION_NAMES:
            terms, least = found.get(name, MotionTerms()), _MIN_MOTION[name]
            motion[name] = dict(amplitude=known(terms.amplitude(least)),
                                correlation=known(terms.correlation(least)))
        return motion

    def metrics(self) -> dict[str, Any]:
        """All statistics, fit for JSON.

        Returns:
            ``frames``, ``frames_reconstructed`` (with at least one face),
            ``faces_reconstructed`` where some frame has several;
            ``skipped`` (status -> names), ``num_tracks``; ``landmark_nme``:
            ``mean``, ``max``, ``per_frame`` (by the names of the results)
            and ``reference`` ('given', 'detected' or both), fractions of the
            landmark box; ``shape_spread`` per track: largest distance of the
            shape code from its mean over the mean's norm;
            ``landmark_jitter``: mean acceleration of predicted and of
            reference landmarks, fraction of the box per frame squared (None
            below three consecutive frames); ``motion``, of each signal of
            :func:`motion_signals`: ``amplitude`` (standard deviation over
            the reference's) and ``correlation``, of the motion of each face
            about its mean; None where the reference hardly moves. Landmarks
            that were interpolated are no reference: such frames are left out
            of error, jitter and motion.
        """
        nme = np.fromiter(self._nme.values(), float)
        several = (dict(faces_reconstructed=self._faces)
                   if self._faces > self._done else {})
        predicted, reference = self._jitter
        return dict(
            frames=self._frames, frames_reconstructed=self._done, **several,
            skipped=self._skipped, num_tracks=len(self._tracks),
            landmark_nme=dict(
                mean=float(nme.mean()), max=float(nme.max()),
                reference='+'.join(sorted(self._sources)),
                per_frame=self._nme) if len(nme) else None,
            shape_spread=self._spread(),
            landmark_jitter=dict(predicted=predicted.value,
                                 reference=reference.value),
            motion=self._motion_statistics())
