# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Third step: what is done to the codes of a track when all are known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from mmtvface.evaluation.functional import (
    LagTerms,
    box_size,
    jitter,
    lag_terms,
)
from mmtvface.fitting import (
    RefineSettings,
    refine_identity,
    refine_motion,
    spread_frames,
)
from mmtvface.geometry.camera import move_camera, pixel_to_ndc, project
from mmtvface.geometry.crop import transform_points
from mmtvface.models.reconstructors import TemporalDECA
from mmtvface.structures import FlameCodeLayout
from mmtvface.tracking.face_track import FaceTrack
from mmtvface.tracking.track_store import TrackStore

from .model_setup import on_cpu
from .settings import FinishSettings
from .smoothing import IDENTITY, robust_mean, smooth_run

Codes = dict[str, torch.Tensor]

_BLOCK = 500  # frames that are finished at once ...
_MARGIN = 100  # ... with as many neighbours on both sides
_MOST_FRAMES = 2000  # whose median is taken; more say nothing new
_CHUNK = 64
_MM = 1000.


def split_codes(layout: FlameCodeLayout, vectors: np.ndarray
                ) -> dict[str, torch.Tensor]:
    """Codes (n, ...) of code vectors (n, C).

    What follows the layout is ``detail``.
    """
    flat = torch.from_numpy(vectors)
    codes = layout.split(flat[:, :layout.total])
    if flat.shape[1] > layout.total:
        codes['detail'] = flat[:, layout.total:]
    return codes


def join_codes(layout: FlameCodeLayout, codes: Codes) -> np.ndarray:
    """The code vectors that :func:`split_codes` takes apart."""
    parts = [layout.join(codes)]
    if 'detail' in codes:
        parts.append(codes['detail'])
    return torch.cat(parts, 1).numpy()


def one_identity(codes: Codes) -> Codes:
    """The codes of a track that belong to the person, robust means.

    Args:
        codes: Name -> (T, ...), finite, of frames spread over the track.

    Returns:
        Those of :data:`~.smoothing.IDENTITY` that there are, name -> (C,).
    """
    return {name: torch.from_numpy(robust_mean(code.numpy()))
            for name, code in codes.items()
            if name in IDENTITY and code.shape[1]}


class Statistics:
    """What finishing changed, over all tracks."""

    def __init__(self) -> None:
        self._errors = np.zeros(3)  # frames, sums before and after
        self._colors = np.zeros(3)
        self._jitter = np.zeros(3)
        self._lag = np.zeros(2)

    def add_errors(self, before: torch.Tensor, after: torch.Tensor) -> None:
        """Landmark errors (T,) of frames before and after refinement."""
        self._errors += _sums(before, after)

    def add_colors(self, before: torch.Tensor, after: torch.Tensor) -> None:
        """The same of colours."""
        self._colors += _sums(before, after)

    def add_motion(self, before: torch.Tensor, after: torch.Tensor) -> None:
        """Landmarks (T, 68, 3) in mm before and after smoothing."""
        self._jitter += [max(0, len(before) - 2),
                         float(jitter(before).sum()),
                         float(jitter(after).sum())]
        terms: LagTerms = lag_terms(after, before)
        self._lag += [terms.delay, terms.motion]

    def report(self) -> dict[str, Any]:
        """For ``metrics.json``: what was done and what it changed."""
        report: dict[str, Any] = {}
        if frames := self._errors[0]:
            report['refinement'] = {
                'landmark_nme_before': self._errors[1] / frames,
                'landmark_nme_after': self._errors[2] / frames}
        if frames := self._colors[0]:
            report.setdefault('refinement', {}).update(
                color_error_before=self._colors[1] / frames,
                color_error_after=self._colors[2] / frames)
        if frames := self._jitter[0]:
            report['smoothing'] = {
                'jitter_before_mm': self._jitter[1] / frames,
                'jitter_after_mm': self._jitter[2] / frames,
                'lag_frames': float(self._lag[0] / self._lag[1])
                if self._lag[1] else 0.}
        return report


def _sums(before: torch.Tensor, after: torch.Tensor) -> np.ndarray:
    """How many frames have both, and their sums."""
    known = before.isfinite() & after.isfinite()
    return np.array([int(known.sum()), float(before[known].sum()),
                     float(after[known].sum())])


@torch.no_grad()
def finish_run(flame: nn.Module, codes: Codes, points: torch.Tensor,
               frame_indices: torch.Tensor, fps: float,
               settings: FinishSettings, statistics: Statistics,
               counted: slice = slice(None),
               refine: RefineSettings | None = None,
               check_cancelled: Callable[[], None] = lambda: None) -> Codes:
    """Refinement and smoothing of frames of a track.

    Args:
        flame: Head model on the CPU; a FLAME if it is to be refined.
        codes: Name -> (T, ...) of frames of one face in order, finite; the
            identity is what it shall be, the cameras are of one and the same
            crop.
        points: (T, 68, 2) landmarks of the frames, NDC of that crop, NaN
            where they are not known.
        frame_indices: (T,) increasing.
        fps: Frames per second.
        settings: What to do.
        statistics: Counts what it changed.
        counted: Frames that count in the statistics; the others are
            neighbours, which are finished elsewhere.
        refine: What is believed of the track; None: it is not refined.
        check_cancelled: Called now and then; what it raises ends the work.
    """
    if refine is not None:
        before = _landmark_errors(flame, codes, points)
        codes = refine_motion(flame, codes, points, fps, refine, frame_indices,
                              check_cancelled)
        statistics.add_errors(
            before[counted],
            _landmark_errors(flame, codes, points)[counted])
    if settings.smooth:
        codes = _smooth(flame, codes, frame_indices, fps, settings.smooth,
                        statistics, counted)
    return codes


def _smooth(flame: nn.Module, codes: Codes, frame_indices: torch.Tensor,
            fps: float, method: str, statistics: Statistics,
            counted: slice) -> Codes:
    gaps = torch.nonzero(frame_indices.diff() > 1)[:, 0] + 1
    inside = torch.zeros(len(frame_indices), dtype=torch.bool)
    inside[counted] = True
    runs = [code.tensor_split(gaps) for code in codes.values()]
    smooth = []
    for *run, inner in zip(*runs, inside.tensor_split(gaps), strict=True):
        before = dict(zip(codes, run, strict=True))
        smooth.append(smooth_run(before, method, fps))
        if inner.any():
            statistics.add_motion(_placed(flame, before)[inner],
                                  _placed(flame, smooth[-1])[inner])
    return {name: torch.cat([run[name] for run in smooth])
            for name in codes}


def _placed(flame: nn.Module, codes: Codes) -> torch.Tensor:
    """(T, 68, 3) landmarks in mm, at their place before the camera."""
    shift = torch.nn.functional.pad(codes['cam'][:, 1:], (0, 1))
    return _MM * (_landmarks(flame, codes)[1] + shift[:, None])


def _landmarks(flame: nn.Module, codes: Codes
               ) -> tuple[torch.Tensor, torch.Tensor]:
    """2D (T, 68, 3) and 3D landmarks, model space."""
    parts = [flame(*(codes[name][start:start + _CHUNK]
                     for name in ('shape', 'exp', 'pose')))
             for start in range(0, len(codes['pose']), _CHUNK)]
    return (torch.cat([part.landmarks2d for part in parts]),
            torch.cat([part.landmarks3d for part in parts]))


def _landmark_errors(flame: nn.Module, codes: Codes, points: torch.Tensor
                     ) -> torch.Tensor:
    """(T,) mean distance to the points over the size of their box."""
    found = project(_landmarks(flame, codes)[0], codes['cam'])[..., :2]
    return (found - points).norm(dim=-1).mean(1) / box_size(points)


class TrackFinisher:
    """Gives a track one identity, refines and smooths it.

    In blocks of frames with some neighbours, so that memory does not grow
    with the length of a track. Everything is seen in one of its crops
    meanwhile: in crops that move the motion of the camera is not that of the
    head.

    Args:
        model: Whose codes they are.
        image_size: Side of its crops in pixels.
        fps: Frames per second.
        settings: What to do.
        statistics: Counts what it changed.
        check_cancelled: Called now and then; what it raises ends the work.
    """

    def __init__(self, model: TemporalDECA, image_size: int, fps: float,
                 settings: FinishSettings, statistics: Statistics,
                 check_cancelled: Callable[[], None] = lambda: None) -> None:
        self._check_cancelled = check_cancelled
        self._flame: nn.Module = on_cpu(model.flame)
        self._layout, self._size = model.layout, image_size
        self._fps, self._settings, self._statistics = fps, settings, statistics

    def __call__(self, track: FaceTrack, store: TrackStore) -> None:
        """Finish a track.

        Args:
            track: The track.
            store: Its codes and landmarks; the codes are changed.
        """
        finite = store.finite_places(track)
        if not len(finite):
            return
        still = torch.from_numpy(
            track.crop_matrix(int(finite[len(finite) // 2]))).float()
        refine = self._beliefs(track, store, finite, still)
        identity = self._identity(track, store, finite, still, refine)

        def finish(places: np.ndarray, inner: slice) -> np.ndarray:
            self._check_cancelled()
            codes, points = self._read(track, store, places, still, identity)
            codes = finish_run(
                self._flame, codes, points,
                torch.from_numpy(track.frames[places]), self._fps,
                self._settings, self._statistics, inner, refine,
                self._check_cancelled)
            codes['cam'] = move_camera(
                codes['cam'], still, _crops(track, places), self._size)
            return join_codes(self._layout, codes)

        store.rewrite(track, finite, _BLOCK, _MARGIN, finish)

    def _read(self, track: FaceTrack, store: TrackStore,
              places: np.ndarray, still: torch.Tensor, identity: Codes
              ) -> tuple[Codes, torch.Tensor]:
        """Codes of a person, and landmarks, seen in one crop."""
        codes = split_codes(self._layout, store.read_codes(track, places))
        for name, code in identity.items():
            codes[name] = code.expand_as(codes[name])
        codes['cam'] = move_camera(
            codes['cam'], _crops(track, places), still, self._size)
        return codes, self._points(track, store, places, still)

    def _points(self, track: FaceTrack, store: TrackStore,
                places: np.ndarray, still: torch.Tensor) -> torch.Tensor:
        """(n, 68, 2) landmarks, NDC of one crop."""
        return torch.from_numpy(pixel_to_ndc(transform_points(
            store.read_points(track, places), still.numpy()),
            self._size)).float()

    def _beliefs(self, track: FaceTrack, store: TrackStore,
                 finite: np.ndarray, still: torch.Tensor
                 ) -> RefineSettings | None:
        """What the beginning of a track says of its landmarks."""
        if not self._settings.refine:
            return None
        some = finite[:_MOST_FRAMES]
        return RefineSettings(steps=self._settings.refine).believing(
            self._points(track, store, some, still),
            torch.from_numpy(track.frames[some]))

    def _identity(self, track: FaceTrack, store: TrackStore,
                  finite: np.ndarray, still: torch.Tensor,
                  refine: RefineSettings | None) -> Codes:
        """The codes of the person, name -> (C,)."""
        if self._settings.identity != 'track':
            return {}
        some = finite[spread_frames(len(finite), _MOST_FRAMES).numpy()]
        identity = one_identity(split_codes(
            self._layout, store.read_codes(track, some)))
        if refine is not None:
            some = finite[spread_frames(
                len(finite), refine.identity_frames).numpy()]
            codes, points = self._read(track, store, some, still, identity)
            identity['shape'] = refine_identity(
                self._flame, codes, points, refine)
        return identity


def _crops(track: FaceTrack, places: np.ndarray) -> torch.Tensor:
    """(n, 3, 3) crop matrices."""
    return torch.from_numpy(np.stack(
        [track.crop_matrix(place) for place in places])).float()
