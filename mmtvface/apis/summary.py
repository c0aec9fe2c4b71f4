# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Figures that tell how well a clip was reconstructed."""

from typing import Any

import numpy as np
import torch

from mmtvface.evaluation.functional import (
    box_size,
    code_spread,
    jitter,
    normalized_mean_error,
)

from .results import FrameResult


class Summary:
    """Collects figures while results go by, without keeping meshes."""

    def __init__(self) -> None:
        self._status: dict[str, list[str]] = {}
        self._nme: dict[str, float] = {}
        self._sources: set[str] = set()
        self._shapes: dict[int, list[np.ndarray]] = {}
        self._tracks: dict[int, list[tuple[int, np.ndarray,
                                           np.ndarray]]] = {}

    def add(self, result: FrameResult) -> None:
        """Take note of a result."""
        self._status.setdefault(result.status, []).append(result.name)
        if not result.valid:
            return
        self._nme[result.name] = normalized_mean_error(
            torch.from_numpy(result.landmarks2d[None]),
            torch.from_numpy(result.detection[None])).item()
        self._sources.add(result.detection_source)
        self._shapes.setdefault(result.track_id, []).append(
            result.codes['shape'])
        self._tracks.setdefault(result.track_id, []).append(
            (result.index, result.landmarks2d, result.detection))

    def _jitter(self, which: int) -> float | None:
        """Acceleration of runs of consecutive frames over the box size.

        Args:
            which: 1 for the landmarks of the model, 2 for those of the
                input.
        """
        values: list[float] = []
        for track in self._tracks.values():
            for three in zip(track, track[1:], track[2:], strict=False):
                if three[2][0] - three[0][0] != 2:
                    continue
                points = torch.stack(
                    [torch.from_numpy(entry[which]) for entry in three])
                size = box_size(points[1:2])
                values.append((jitter(points) / size).item())
        return float(np.mean(values)) if values else None

    def metrics(self) -> dict[str, Any]:
        """All figures, fit for JSON.

        Returns:
            ``frames``, ``frames_reconstructed``, ``skipped`` (status ->
            names), ``num_tracks``; ``landmark_nme``: ``mean``, ``max``,
            ``per_frame`` and ``reference`` ('given', 'detected' or both),
            fractions of the landmark box; ``shape_spread`` per track:
            largest distance of the shape code from its mean over the mean's
            norm; ``landmark_jitter``: mean acceleration of predicted and of
            reference landmarks, fraction of the box per frame squared (None
            below three consecutive frames).
        """
        ok = self._status.get('ok', [])
        nme = list(self._nme.values())
        return dict(
            frames=sum(map(len, self._status.values())),
            frames_reconstructed=len(ok),
            skipped={status: names for status, names in self._status.items()
                     if status != 'ok'},
            num_tracks=len(self._tracks),
            landmark_nme=dict(
                mean=float(np.mean(nme)), max=float(np.max(nme)),
                reference='+'.join(sorted(self._sources)),
                per_frame=self._nme) if nme else None,
            shape_spread={
                str(track): code_spread(
                    torch.from_numpy(np.stack(shapes))).item()
                for track, shapes in self._shapes.items()},
            landmark_jitter=dict(predicted=self._jitter(1),
                                 reference=self._jitter(2)))
