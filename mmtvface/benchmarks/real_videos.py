# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reconstructions of real videos against MediaPipe's face mesh."""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from mmtvface.evaluation.functional import (
    HEAD_ANGLES,
    LANDMARK_SIGNALS,
    MIN_MOTION,
    SIGNALS,
    MotionTerms,
    angle_signals,
    box_area_root,
    jitter,
    landmark_signals,
    motion_terms,
    normalized_mean_error,
    pooled,
)
from mmtvface.evaluation.tables import markdown_table
from mmtvface.export.painted_frame import pose_result
from mmtvface.geometry.alignment import nearest_rotation, procrustes
from mmtvface.geometry.crop import warp
from mmtvface.geometry.head_pose import STABLE
from mmtvface.geometry.landmarks import NUM_LANDMARKS, STATIC
from mmtvface.geometry.mediapipe68 import mediapipe_to_68
from mmtvface.io.video_reader import probe_video, read_video
from mmtvface.reconstruction.face_reconstructor import Reconstructor
from mmtvface.reconstruction.results import FrameResult, head_rotation
from mmtvface.tracking.frame_source import ArrayFrames
from mmtvface.utils.atomic import atomic_path
from mmtvface.visualization.frame_painter import FramePainter
from mmtvface.visualization.grid import image_grid, spread
from mmtvface.visualization.overlay import overlay_shape

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


NUMBERS = dict(
    frames='frames', lost='lost', reference_lost='lost, MediaPipe',
    tracks='tracks', fps='frames/s', nme='landmarks %', nme_inner='inner 51 %',
    worst_nme='worst frame %', worst_frame='worst frame', jitter='jitter %',
    reference_jitter='jitter %, MediaPipe')
"""Numbers of :func:`measure` and the speed, and their headings."""
_SIDE, _COLUMNS = 200, 6  # of a contact sheet


class Video(NamedTuple):
    """What every run is measured on.

    Attributes:
        name: Stem of its file.
        frames: (H, W, 3) uint8 RGB each.
        fps: Frames per second.
        reference: (t, 68, 3) pixels and depth, NaN where no face was found.
    """

    name: str
    frames: list[np.ndarray]
    fps: float
    reference: np.ndarray


def medians(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the videos of each run; None does not count."""
    found = []
    for run in dict.fromkeys(row['run'] for row in rows):
        own = [row for row in rows if row['run'] == run]
        median = dict(video='median', run=run)
        for name in own[0].keys() - {'video', 'run', 'worst_frame'}:
            values = [row[name] for row in own if row[name] is not None]
            median[name] = float(np.median(values)) if values else None
        found.append(median)
    return found


def report(rows: Sequence[dict[str, Any]], problems: Sequence[str]) -> str:
    """Tables in Markdown, with the medians below."""
    def show(value: float | None) -> str:
        return '-' if value is None else f'{value:.3g}' if isinstance(
            value, float) else str(value)

    def pair(row: dict[str, Any], name: str) -> str:
        values = row[f'{name}_corr'], row[f'{name}_amplitude']
        return '-' if None in values else '{:.2f}, {:.2f}'.format(*values)

    everything = [*rows, *medians(rows)]
    parts = []
    if rows:
        parts = [
            'Correlation and amplitude of the motion, against MediaPipe:\n',
            markdown_table(
                ('video', 'run', *(SIGNALS[name] for name in FOLLOWED)),
                [(row['video'], row['run'],
                  *(pair(row, name) for name in FOLLOWED))
                 for row in everything]),
            'Landmarks against MediaPipe, jitter and speed:\n',
            markdown_table(
                ('video', 'run', *NUMBERS.values()),
                [(row['video'], row['run'],
                  *(show(row.get(name)) for name in NUMBERS))
                 for row in everything])]
    return '\n'.join([*parts, *(f'FAILED: {text}' for text in problems)])


def contact_sheet(video: Video, runs: Sequence[Sequence[FrameResult]],
                  painter: FramePainter, worst: int | None) -> np.ndarray:
    """Rows: input, then for each run the head over it and the head alone.

    Args:
        video: Whose frames are shown.
        runs: Results of every run, one per frame.
        painter: Of the model.
        worst: Frame that is shown in any case.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    chosen = sorted({*spread(len(video.frames), _COLUMNS - 1),
                     *([] if worst is None else [worst])})
    rows: list[list[np.ndarray]] = [[] for _ in range(1 + 2 * len(runs))]
    for index in chosen:
        image = video.frames[index]
        faces = [results[index] for results in runs]
        place = next((face for face in faces if face.valid), None)
        # The crop of the model, or the whole frame
        side, matrix = (
            (max(image.shape[:2]), np.eye(3)) if place is None else
            (place.crop_size, place.crop_matrix))
        matrix = np.diag([_SIDE / side, _SIDE / side, 1.]) @ matrix
        picture = warp(image, matrix, _SIDE)
        title = picture.copy()
        cv2.putText(title, f'{index}{" worst" * (index == worst)}', (4, 14),
                    cv2.FONT_HERSHEY_SIMPLEX, .45, (255, 255, 0), 1)
        cells = [title]
        for face in faces:
            blank = np.full_like(picture, 255)
            if not face.valid:
                cells += [blank, blank]
                continue
            head = pose_result(painter, face).moved(matrix)
            cells += [overlay_shape(painter.renderer, under, head.vertices,
                                    head.vertices_image, opacity)
                      for under, opacity in ((picture, .5), (blank, 1.))]
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell)
    return image_grid(rows)


def run_video(path: Path, most: int,
              reconstructors: dict[str, Reconstructor], out: Path
              ) -> list[dict[str, Any]]:
    """Measure all runs of a video and write its contact sheet.

    Args:
        path: The video.
        most: Frames that are read.
        reconstructors: By the names of the runs.
        out: Folder of the sheet.
    """
    frames = list(itertools.islice(read_video(path), most))
    video = Video(path.stem, frames, probe_video(path).fps,
                  reference_landmarks(frames))
    source = ArrayFrames(video.frames)
    source.fps = video.fps
    rows, runs = [], []
    for run, reconstructor in reconstructors.items():
        begin = time.perf_counter()
        results = list(reconstructor(source))
        seconds = time.perf_counter() - begin
        runs.append(results)
        rows.append(dict(video=video.name, run=run,
                         fps=len(results) / seconds,
                         **measure(results, video.reference)))
    painter = next(iter(reconstructors.values())).build_painter()
    sheet = contact_sheet(video, runs, painter, rows[0]['worst_frame'])
    with atomic_path(out / f'{path.stem}.png') as part:
        if not cv2.imwrite(str(part), sheet[..., ::-1]):
            raise OSError(f'Cannot write {out / path.stem}.png.')
    return rows
