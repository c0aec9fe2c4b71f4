# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""All errors of a clip whose true codes are known."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch
from torch import nn

from mmtvface.geometry.camera import project

from .identity_drift import neutral_heads
from .landmark_error import box_size, normalized_mean_error
from .motion import LagTerms, acceleration_error, jitter, lag_terms
from .motion_fidelity import SIGNALS, MotionTerms, clip_motion
from .scan_error import evaluation_region
from .vertex_error import MM_PER_M, vertex_error

Codes = Mapping[str, torch.Tensor]


def face_region(flame: nn.Module, shape: torch.Tensor) -> torch.Tensor:
    """Vertices of the face: the region of the NoW benchmark.

    Args:
        flame: A :class:`~mmtvface.heads.FLAME`.
        shape: (S,) code of the true head.

    Returns:
        (V,) bool, see :func:`evaluation_region`.
    """
    vertices, landmarks = neutral_heads(flame, shape[None])
    return torch.from_numpy(evaluation_region(
        vertices[0].double().numpy(), landmarks[0].double().numpy()))


def mean_of_finite(values: torch.Tensor | np.ndarray) -> float:
    """Mean, NaN of nothing."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float('nan')


def neutral_errors(neutral: torch.Tensor, true: torch.Tensor,
                   mean_head: torch.Tensor, region: torch.Tensor
                   ) -> tuple[torch.Tensor, torch.Tensor]:
    """Errors of neutral heads and of the mean head, millimetres.

    Args:
        neutral: (t, V, 3) metres, predicted heads without expression.
        true: (1, V, 3) the true one.
        mean_head: (1, V, 3) that of the shape code zero.
        region: (V,) bool, the vertices that count.

    Returns:
        (t,) and (1,) mean distances after rigid alignment.
    """
    target = true[:, region]
    return (vertex_error(neutral[:, region],
                         target.expand(len(neutral), -1, -1)),
            vertex_error(mean_head[:, region], target))


def score_clip(flame: nn.Module, pred: Codes, truth: Codes,
               landmarks: torch.Tensor,
               true_flame: nn.Module | None = None) -> dict[str, float]:
    """Means over the frames of :func:`clip_errors`, and terms of clips.

    ``lag_delay`` and ``lag_motion``: see :class:`LagTerms`; the lag in frames
    is the quotient of their sums. ``motion_<signal>_<term>``: see
    :class:`MotionTerms`; those of several clips add up.
    """
    return mean_errors(*clip_errors(flame, pred, truth, landmarks,
                                    true_flame))


def mean_errors(errors: Mapping[str, torch.Tensor], lag: LagTerms,
                motion: Mapping[str, MotionTerms]) -> dict[str, float]:
    """Numbers of :func:`score_clip` from those of :func:`clip_errors`."""
    scores = {name: mean_of_finite(value) for name, value in errors.items()}
    return scores | dict(lag_delay=lag.delay, lag_motion=lag.motion) | {
        f'motion_{name}_{term}': value for name in SIGNALS
        for term, value in asdict(motion.get(name, MotionTerms())).items()}


@torch.no_grad()
def clip_errors(flame: nn.Module, pred: Codes, truth: Codes,
                landmarks: torch.Tensor,
                true_flame: nn.Module | None = None
                ) -> tuple[dict[str, torch.Tensor], LagTerms,
                           dict[str, MotionTerms]]:
    """Errors of the predicted codes of a clip, frame by frame.

    Args:
        flame: Head model of the predictions, on the CPU.
        pred: ``shape``, ``exp``, ``pose`` and ``cam``, (t, C) each.
        truth: ``shape``, ``exp`` and ``pose``, (t, C) each; one person.
        landmarks: (t, 68, 3) true x, y in [-1, 1] of square images, and
            visibility.
        true_flame: Head model of the truth: the same head, perhaps with
            other numbers of coefficients; default: ``flame``.

    Returns:
        Errors, (t,) each but for ``neutral_mean_mm`` (1,) and accelerations
        (t - 2,), the lag, and the terms of the motion by signal
        (:func:`clip_motion`). Of vertices those of :func:`face_region` count:

        * ``neutral_mm``: neutral heads, from the shape codes alone, after
          rigid alignment (not scaled: size counts).
        * ``neutral_mean_mm``: the same of the mean head (shape code zero): who
          cannot tell people apart can still reach it.
        * ``posed_mm``: heads in pose and expression, with the mean of the
          face's vertices at the same place: what a weak-perspective camera
          leaves open is the place, so that shape, expression, jaw and
          rotation count.
        * ``posed_rigid_mm``: the same after rigid alignment.
        * ``nme``: distance of the projected landmarks in percent of the size
          of their box; the camera counts.
        * ``jitter_mm``: jitter against truth, mm per frame squared: mean
          length of the difference of the accelerations, in model space.
        * ``jitter_pred_mm`` and ``jitter_true_mm``: mean length of the
          accelerations themselves.
        * ``jitter_landmarks``: as ``jitter_mm`` of the projected landmarks,
          percent of their box: with the camera.
        * ``drift_mm``: distance of the neutral head of a frame from the
          clip's mean one, see :func:`identity_drift`; over the whole head.
    """
    true_flame = true_flame or flame
    region = face_region(true_flame, truth['shape'][0])
    own = flame(pred['shape'], pred['exp'], pred['pose'])
    vertices = own.vertices[:, region].double()
    target = true_flame(truth['shape'], truth['exp'],
                        truth['pose']).vertices[:, region].double()
    neutral = flame.neutral(pred['shape'])
    shapes = truth['shape'][:1]
    neutral_mm, neutral_mean_mm = neutral_errors(
        neutral, *true_flame.neutral(
            torch.cat([shapes, 0 * shapes])).split(1), region)
    # Heads are linear in the code: this is identity_drift without posing
    # all of them again.
    drift = (neutral.double() - neutral.double().mean(0)).norm(dim=-1)
    centerd, true_centerd = (
        points - points.mean(1, keepdim=True)
        for points in (vertices, target))
    points = project(own.landmarks2d, pred['cam'])[..., :2].double()
    true_points, visible = landmarks[..., :2].double(), landmarks[..., 2] > 0
    percent = 100 / mean_of_finite(box_size(true_points, visible))
    lag = lag_terms(centerd * MM_PER_M, true_centerd * MM_PER_M)
    errors = dict(
        neutral_mm=neutral_mm, neutral_mean_mm=neutral_mean_mm,
        posed_mm=vertex_error(centerd, true_centerd, 'none'),
        posed_rigid_mm=vertex_error(centerd, true_centerd),
        nme=100 * normalized_mean_error(points, true_points, visible),
        jitter_mm=MM_PER_M * acceleration_error(vertices, target),
        jitter_pred_mm=MM_PER_M * jitter(vertices),
        jitter_true_mm=MM_PER_M * jitter(target),
        jitter_landmarks=percent * acceleration_error(
            points, true_points, visible),
        drift_mm=MM_PER_M * drift.mean(1))
    return errors, lag, clip_motion(
        (points, true_points), visible, (pred['pose'], truth['pose']))
