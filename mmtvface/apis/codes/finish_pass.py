# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Third pass: the codes of every track, finished in the store."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mmtvface.geometry.camera import move_camera, pixel_to_ndc
from mmtvface.models.reconstructors import TemporalDECA
from mmtvface.preprocessing.crop import transform_points
from mmtvface.structures import FlameCodeLayout

from ..detection import FramePlan, Progress
from ..model_setup import on_cpu
from .code_store import CodeStore
from .finish import Figures, FinishSettings, finish_track


def split_rows(layout: FlameCodeLayout, rows: np.ndarray
               ) -> dict[str, torch.Tensor]:
    """Codes (n, ...) of rows (n, C); what follows the layout is ``detail``."""
    flat = torch.from_numpy(rows)
    codes = layout.split(flat[:, :layout.total])
    if flat.shape[1] > layout.total:
        codes['detail'] = flat[:, layout.total:]
    return codes


def finish_tracks(model: TemporalDECA, image_size: int, store: CodeStore,
                  known: Sequence[FramePlan], fps: float,
                  settings: FinishSettings, progress: Progress
                  ) -> dict[str, Any]:
    """Finish the codes of every track, see :func:`finish_track`.

    Args:
        model: Whose codes they are.
        image_size: Side of its crops in pixels.
        store: The codes; changed.
        known: The frames in it, track by track.
        fps: Frames per second.
        settings: What to do.
        progress: Told the frames that are finished.

    Returns:
        What it changed, for ``metrics.json``.
    """
    flame, figures, start = on_cpu(model.flame), Figures(), 0
    for _, group in itertools.groupby(known, lambda plan: plan.track_id):
        track = list(group)
        rows = store.read(start, start + len(track))
        sound = np.flatnonzero(np.isfinite(rows).all(1))
        if len(sound):
            rows[sound] = _finish(
                flame, model.layout, [track[i] for i in sound], rows[sound],
                image_size, fps, settings, figures)
            store.write(start, rows)
        start += len(track)
        progress('Finishing', start, len(known))
    return figures.report()


def _finish(flame: nn.Module, layout: FlameCodeLayout,
            track: list[FramePlan], rows: np.ndarray, size: int, fps: float,
            settings: FinishSettings, figures: Figures) -> np.ndarray:
    """Rows of a track, finished.

    Everything is seen in one of its crops meanwhile: in crops that move the
    motion of the camera is not that of the head.
    """
    crops = torch.from_numpy(np.stack(
        [plan.crop_matrix for plan in track])).float()
    still = crops[len(crops) // 2]
    points = torch.from_numpy(np.stack([pixel_to_ndc(transform_points(
        plan.detection, still.numpy()), size) for plan in track])).float()
    codes = split_rows(layout, rows)
    codes['cam'] = move_camera(codes['cam'], crops, still, size)
    codes = finish_track(
        flame, codes, points, torch.tensor([plan.index for plan in track]),
        fps, settings, figures)
    codes['cam'] = move_camera(codes['cam'], still, crops, size)
    parts = [layout.join(codes)]
    if 'detail' in codes:
        parts.append(codes['detail'])
    return torch.cat(parts, 1).numpy()
