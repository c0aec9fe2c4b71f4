# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How well results follow the motion of a face.

A motionless result has small errors where the face moves little; here it has
an amplitude and a correlation of 0. Signals over time (how far the mouth is
open, ...) are compared with the true ones after the means of a clip are taken
away from both, so that only motion within clips counts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import torch

from mmtvface.geometry.head_pose import euler_angles
from mmtvface.geometry.landmarks import (
    EYELID_PAIRS,
    INNER_EYE_CORNERS,
    LIP_PAIRS,
    MOUTH_CORNERS,
    NOSE,
    NUM_LANDMARKS,
    OUTER_EYE_CORNERS,
)
from mmtvface.geometry.rotation import axis_angle_to_matrix

#: Signals of the landmarks, see :func:`landmark_signals`.
LANDMARK_SIGNALS = ('mouth_open', 'mouth_width', 'eye_right', 'eye_left')
#: Angles of the head, degrees.
HEAD_ANGLES = ('yaw', 'pitch', 'roll')
#: Signals of the codes, see :func:`code_signals`.
CODE_SIGNALS = ('jaw', *HEAD_ANGLES)
#: All signals, and how they are called in texts.
SIGNALS = dict(
    mouth_open='mouth opening', mouth_width='mouth width',
    eye_right='right eyelids', eye_left='left eyelids', jaw='jaw',
    yaw='yaw', pitch='pitch', roll='roll')
#: Standard deviation of a true signal below which nothing moves: what
#: follows is then the noise. Some 0.3 mm of lips and eyelids, and degrees.
MIN_MOTION = dict.fromkeys(LANDMARK_SIGNALS, .01) | dict.fromkeys(
    CODE_SIGNALS, .2)

# What expressions do not move: the nose and the corners of the eyes.
_RIGID = [*NOSE, *OUTER_EYE_CORNERS, *INNER_EYE_CORNERS]
_FIRST_OF_NOSE = NOSE[0]
# Share of the true amplitude below which a result stands still: its
# correlation would be one of rounding errors.
_STILL = 1e-4

Pair = tuple[torch.Tensor, torch.Tensor]


def face_scale(points: np.ndarray) -> np.ndarray:
    """Size of faces that does not change with the expression.

    The root mean square distance of the nose and the corners of the eyes from
    their mean. It changes by at most 6 % at a yaw of 40 degrees, too: as the
    distance of the eyes becomes shorter, the nose moves away from them to the
    side.

    Args:
        points: (..., 68, 2 or 3), any isotropic unit.

    Returns:
        (...,) in that unit, about a third of the distance of the outer
        corners of the eyes.

    Raises:
        ValueError: If these are no 68 landmarks.
    """
    points = np.asarray(points, np.float64)
    if points.ndim < 2 or points.shape[-2] != NUM_LANDMARKS or (
            points.shape[-1] not in (2, 3)):
        raise ValueError('points must have the shape (..., 68, 2 or 3), but '
                         f'they are {points.shape}. Take visibilities and '
                         'other columns away.')
    rigid = points[..., _RIGID, :]
    rigid = rigid - rigid.mean(-2, keepdims=True)
    return np.sqrt((rigid**2).sum(-1).mean(-1))


def landmark_signals(points: np.ndarray) -> dict[str, np.ndarray]:
    """How far mouth and eyes are open.

    Each face is measured by its own scale: with that of the truth, a
    motionless answer would move as the true scale does.

    Args:
        points: (..., 68, 2 or 3), any isotropic unit; NaN where they are not
            known.

    Returns:
        (...,) each: ``mouth_open``, the mean gap of the inner lips, and
        ``mouth_width``, both over :func:`face_scale`; ``eye_right`` and
        ``eye_left``, the mean gap of the eyelids over the width of the eye.

    Raises:
        ValueError: If these are no 68 landmarks.
    """
    scale = face_scale(points)
    points = np.asarray(points, np.float64)

    def gap(*pairs: Sequence[int]) -> np.ndarray:
        first, second = zip(*pairs, strict=True)
        return np.linalg.norm(points[..., first, :] - points[..., second, :],
                              axis=-1).mean(-1)

    right, left = zip(OUTER_EYE_CORNERS, INNER_EYE_CORNERS, strict=True)
    with np.errstate(divide='ignore', invalid='ignore'):
        return dict(
            mouth_open=gap(*LIP_PAIRS) / scale,
            mouth_width=gap(MOUTH_CORNERS) / scale,
            eye_right=gap(*EYELID_PAIRS[:2]) / gap(right),
            eye_left=gap(*EYELID_PAIRS[2:]) / gap(left))


def angle_signals(rotation: np.ndarray) -> dict[str, np.ndarray]:
    """``yaw``, ``pitch`` and ``roll`` of rotations (..., 3, 3), degrees."""
    angles = euler_angles(rotation)
    return {name: angles[..., k] for k, name in enumerate(HEAD_ANGLES)}


def code_signals(pose: torch.Tensor) -> dict[str, np.ndarray]:
    """Opening of the jaw and angles of the head.

    Args:
        pose: (..., 6) pose codes: rotation vectors of head and jaw, radians.

    Returns:
        (...,) degrees each: ``jaw``, positive if the mouth is opened, and
        ``yaw``, ``pitch``, ``roll`` of :func:`euler_angles`.
    """
    vectors = pose.detach().double().cpu().unflatten(-1, (2, 3))
    matrices = axis_angle_to_matrix(vectors).numpy()
    head, jaw = matrices[..., 0, :, :], matrices[..., 1, :, :]
    return dict(jaw=euler_angles(jaw)[..., 1]) | angle_signals(head)


@dataclass(frozen=True)
class MotionTerms:
    """Sums over frames, the means of each clip taken away; clips add up.

    Attributes:
        frames: How many frames counted.
        covariance: Sum of the products of the result's and the true signal.
        pred: Sum of the squares of the result's.
        true: Sum of the squares of the true one.
    """

    frames: float = 0.
    covariance: float = 0.
    pred: float = 0.
    true: float = 0.

    def __add__(self, other: 'MotionTerms') -> 'MotionTerms':
        return MotionTerms(*(a + b for a, b in zip(
            astuple(self), astuple(other), strict=True)))

    def moves(self, min_motion: float) -> bool:
        """Whether the true standard deviation reaches a minimum."""
        return self.true > 0 and math.sqrt(
            self.true / self.frames) >= min_motion

    def amplitude(self, min_motion: float = 0.) -> float:
        """Ratio of the standard deviations, 1 is best.

        Args:
            min_motion: True standard deviation below which there is none.

        Returns:
            0 of a result that stands still; NaN if the truth does.
        """
        if not self.moves(min_motion):
            return math.nan
        return math.sqrt(self.pred / self.true)

    def correlation(self, min_motion: float = 0.) -> float:
        """Pearson's correlation coefficient, 1 is best.

        Args:
            min_motion: True standard deviation below which there is none.

        Returns:
            0 of a result that stands still; NaN if the truth does.
        """
        amplitude = self.amplitude(min_motion)
        if math.isnan(amplitude):
            return math.nan
        if amplitude <= _STILL:
            return 0.
        return self.covariance / math.sqrt(self.pred * self.true)


class RunningMotion:
    """Terms of the signals of one clip, frame by frame, in constant memory.

    Means and sums are updated as by Welford, "Note on a method for
    calculating corrected sums of squares and products", Technometrics 1962.
    Angles are taken within half a turn of the mean of the true ones, so that
    180 and -180 degrees are the same.
    """

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}

    def add(self, pred: Mapping[str, float],
            true: Mapping[str, float]) -> None:
        """Take a frame into account.

        Args:
            pred: Signal -> value of the result.
            true: Signal -> true value. Signals that are not in both, or are
                not finite in one of them, do not count.
        """
        for name in pred.keys() & true.keys():
            x, y = float(pred[name]), float(true[name])
            if not (math.isfinite(x) and math.isfinite(y)):
                continue
            frames, mean_x, mean_y, *sums = self._sums.setdefault(
                name, [0., 0., 0., 0., 0., 0.])
            if name in CODE_SIGNALS:
                middle = mean_y if frames else y
                x, y = (value - 360 * round((value - middle) / 360)
                        for value in (x, y))
            frames += 1
            dx, dy = x - mean_x, y - mean_y
            mean_x, mean_y = mean_x + dx / frames, mean_y + dy / frames
            steps = dx * (y - mean_y), dx * (x - mean_x), dy * (y - mean_y)
            self._sums[name] = [frames, mean_x, mean_y, *(
                a + b for a, b in zip(sums, steps, strict=True))]

    @property
    def terms(self) -> dict[str, MotionTerms]:
        """Terms by signal; signals without a frame are left out."""
        return {name: MotionTerms(sums[0], *sums[3:])
                for name, sums in self._sums.items()}


def motion_terms(pred: Mapping[str, np.ndarray],
                 true: Mapping[str, np.ndarray]) -> dict[str, MotionTerms]:
    """Terms of the signals of one clip.

    Args:
        pred: Signal -> (t,) of the result.
        true: Signal -> (t,) true values; see :meth:`RunningMotion.add`.

    Returns:
        By signal, see :attr:`RunningMotion.terms`.
    """
    running = RunningMotion()
    names = pred.keys() & true.keys()
    for values in zip(*(zip(pred[name], true[name], strict=True)
                        for name in names), strict=True):
        running.add(*({name: pair[k] for name, pair in zip(
            names, values, strict=True)} for k in (0, 1)))
    return running.terms


def clip_motion(points: Pair | None, visible: torch.Tensor | None,
                poses: Pair | None) -> dict[str, MotionTerms]:
    """Terms of the motion of a clip.

    Args:
        points: Landmarks of the result and true ones, (t, 68, 2) each, in
            any isotropic unit; None if there are none.
        visible: (t, 68) bool; frames count in which all but contour and
            brows are visible, which no signal needs.
        poses: Pose codes of the result and true ones, (t, 6) each, radians;
            None if there are none.

    Returns:
        By signal; those of landmarks, of codes, or of both.
    """
    signals: tuple[dict, dict] = ({}, {})
    if points is not None:
        pred, true = (part.detach().double().cpu().numpy() for part in points)
        known = visible[:, _FIRST_OF_NOSE:].all(1).cpu().numpy()
        true = np.where(known[:, None, None], true, np.nan)
        for into, part in zip(signals, (pred, true), strict=True):
            into.update(landmark_signals(part))
    if poses is not None:
        for into, part in zip(signals, poses, strict=True):
            into.update(code_signals(part))
    return motion_terms(*signals)


def pooled(clips: Iterable[Mapping[str, MotionTerms]]
           ) -> dict[str, MotionTerms]:
    """Terms of several clips, by signal in the order of :data:`SIGNALS`."""
    total: dict[str, MotionTerms] = {}
    for terms in clips:
        for name, part in terms.items():
            total[name] = total.get(name, MotionTerms()) + part
    return {name: total[name] for name in SIGNALS if name in total}
