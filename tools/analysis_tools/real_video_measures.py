# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Numbers of :mod:`real_videos`: a reconstruction against MediaPipe's mesh."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmtvface.evaluation.functional import (
    HEAD_ANGLES,
    LANDMARK_SIGNALS,
    MIN_MOTION,
    MotionTerms,
    angle_signals,
    box_area_root,
    jitter,
    landmark_signals,
    motion_terms,
    normalized_mean_error,
    pooled,
)
from mmtvface.geometry.alignment import nearest_rotation, procrustes
from mmtvface.geometry.head_pose import STABLE
from mmtvface.geometry.landmarks import NUM_LANDMARKS, STATIC
from mmtvface.geometry.mediapipe68 import mediapipe_to_68
from mmtvface.reconstruction.results import FrameResult, head_rotation

#: Signals that MediaPipe's points tell; the jaw is none of them.
FOLLOWED = (*LANDMARK_SIGNALS, *HEAD_ANGLES)
_IMAGE_TO_HEAD = np.array([1., -1., -1.])  # y up, z to the viewer


def reference_landmarks(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Points of MediaPipe's refined mesh.

    Args:
        frames: (H, W, 3) uint8 RGB each, in order.

    Returns:
        (t, 68, 3) pixel indices, depth in pixels (smaller is nearer); NaN
        where no face was found.

    Raises:
        ImportError: If mediapipe is not installed, with the command.
    """
    from mmtvface.tracking.detectors.mediapipe_runtime import module, quiet
    points = np.full((len(frames), NUM_LANDMARKS, 3), np.nan)
    with quiet(), module('solutions.face_mesh').FaceMesh(
            max_num_faces=1, refine_landmarks=True,
            min_detection_confidence=.4) as network:
        for index, frame in enumerate(frames):
            faces = network.process(
                np.ascontiguousarray(frame)).multi_face_landmarks
            if faces:
                height, width = frame.shape[:2]
                mesh = np.array([(p.x, p.y, p.z) for p in faces[0].landmark])
                # From edges of pixels to indices
                points[index] = mediapipe_to_68(
                    mesh * (width, height, width) - (.5, .5, 0))
    return points


def reference_rotations(reference: np.ndarray, pred: np.ndarray
                        ) -> np.ndarray:
    """Rotations of heads by their landmarks, in the axes of the predictions.

    The landmarks tell how the head turns from one frame to the other; which
    rotation looks straight ahead is a convention, and taken from the
    predictions: the constant that brings both together with least squares.

    Args:
        reference: (t, 68, 3) pixels and depth, NaN where unknown.
        pred: (t, 3, 3) predicted rotations, y up, NaN where unknown.

    Returns:
        (t, 3, 3), NaN where the landmarks are.
    """
    rotations = np.full(pred.shape, np.nan)
    known = np.flatnonzero(np.isfinite(reference).all((1, 2)))
    points = reference[known][:, list(STABLE)] * _IMAGE_TO_HEAD
    both = np.isfinite(pred[known]).all((1, 2))
    if not both.any():
        return rotations
    found = procrustes(np.broadcast_to(points[:1], points.shape),
                       points).rotation
    turn = nearest_rotation(torch.from_numpy(np.einsum(
        'tji,tjk->ik', found[both], pred[known][both]))).numpy()
    rotations[known] = found @ turn
    return rotations


def measure(results: Sequence[FrameResult], reference: np.ndarray
            ) -> dict[str, Any]:
    """Numbers of one run of one video.

    Args:
        results: One per frame.
        reference: (t, 68, 3), see :func:`reference_landmarks`.

    Returns:
        ``frames``, ``lost``, ``reference_lost``, ``tracks``, ``nme``,
        ``nme_inner``, ``worst_nme``, ``worst_frame``, ``jitter`` and
        ``reference_jitter`` (in percent of the root of the box's area, per
        frame squared; of the inner 51 landmarks, except ``nme``), and for
        each of :data:`FOLLOWED` ``<signal>_corr`` and ``<signal>_amplitude``
        within the tracks, None where the reference hardly moves.
    """
    count = len(reference)
    points = np.full((count, NUM_LANDMARKS, 2), np.nan)
    rotations = np.full((count, 3, 3), np.nan)
    tracks = np.full(count, -1)
    for result in results:
        if result.valid:
            tracks[result.index] = result.track_id
            points[result.index] = result.landmarks2d
            rotations[result.index] = head_rotation(result)
    marks = reference[..., :2]
    found = landmark_signals(points) | angle_signals(rotations)
    wanted = landmark_signals(marks) | angle_signals(
        reference_rotations(reference, rotations))
    # What differs between people and shots is no motion.
    terms = pooled(motion_terms(*(
        {name: values[tracks == track] for name, values in part.items()}
        for part in (found, wanted))) for track in np.unique(tracks))
    pred, true = map(torch.from_numpy, (points, marks))
    size = box_area_root(true)
    inner = list(STATIC)
    # The box is that of all landmarks for the inner ones, too.
    distance = 100 * (pred - true).norm(dim=-1) / size[:, None]
    whole = 100 * normalized_mean_error(pred, true, normalizer='box_area')
    own = distance[:, inner].mean(1).numpy()
    seen = np.isfinite(own)
    row = dict(
        frames=count, lost=int(np.isnan(points[:, 0, 0]).sum()),
        reference_lost=int(np.isnan(marks[:, 0, 0]).sum()),
        tracks=len(np.unique(tracks[tracks >= 0])),
        nme=_mean(whole), nme_inner=_mean(own),
        worst_nme=float(own[seen].max()) if seen.any() else None,
        worst_frame=int(np.nanargmax(own)) if seen.any() else None,
        jitter=_mean(100 * jitter(pred[:, inner]) / size[1:-1]),
        reference_jitter=_mean(100 * jitter(true[:, inner]) / size[1:-1]))
    for name in FOLLOWED:
        own_terms = terms.get(name, MotionTerms())
        for what, value in (
                ('corr', own_terms.correlation(MIN_MOTION[name])),
                ('amplitude', own_terms.amplitude(MIN_MOTION[name]))):
            row[f'{name}_{what}'] = None if np.isnan(value) else value
    return row


def _mean(values: np.ndarray | torch.Tensor) -> float | None:
    """Mean of what is finite, None of nothing."""
    values = np.asarray(values)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None
