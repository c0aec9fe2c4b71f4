# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What is done to the codes of a track when all of them are known."""

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
from mmtvface.fitting import RefineSettings, refine_motion
from mmtvface.geometry.camera import project

from .settings import FinishSettings
from .smoothing import IDENTITY, robust_mean, smooth_run

Codes = dict[str, torch.Tensor]

_CHUNK = 64
_MM = 1000.


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
        refine: What is believed of the track; default: what these frames
            show.
        check_cancelled: Called now and then; what it raises ends the work.
    """
    if settings.refine:
        before = _landmark_errors(flame, codes, points)
        refine = refine or RefineSettings(steps=settings.refine).believing(
            points, frame_indices)
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
