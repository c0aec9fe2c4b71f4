# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Albedo and light of a track, brought into line with its colours."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from mmtvface.geometry.camera import pixel_to_ndc
from mmtvface.head_models import FLAME, FLAMETexture
from mmtvface.models.reconstructors import TemporalDECA
from mmtvface.preprocessing.crop import transform_points

from ..faces import FaceTrack
from ..refinement import FaceColors, Seen, spread_frames
from ..refinement.appearance import REACH
from .finish import Codes, Figures
from .finish_pass import join_rows, split_rows
from .segment_codes import SegmentCodes

_BLOCK = 100  # frames whose crops are in memory


def has_colors(model: nn.Module) -> bool:
    """Whether a model says which colours a face has, and where they are."""
    return (isinstance(model.flame, FLAME)
            and isinstance(getattr(model, 'texture', None), FLAMETexture)
            and getattr(model, 'renderer', None) is not None
            and model.layout.light > 0)


class AppearancePass:
    """Solves the albedo of a track, and the light of its frames.

    Args:
        model: With colours, see :func:`has_colors`.
        figures: Told what it changed.
        go_on: Called now and then; what it raises ends the work.
    """

    def __init__(self, model: TemporalDECA, figures: Figures,
                 go_on: Callable[[], None] = lambda: None) -> None:
        self._go_on = go_on
        self._layout, self._figures = model.layout, figures
        parts = (model.flame, model.texture, model.renderer)
        if next(model.flame.buffers()).device.type != 'cpu':
            parts = [copy.deepcopy(part).cpu() for part in parts]
        self._colors = FaceColors(*parts)

    @torch.no_grad()
    def __call__(self, track: FaceTrack, store: SegmentCodes) -> None:
        """Change the codes of a track whose geometry is as it shall be."""
        if not store.width:
            return
        sound = np.concatenate([part[np.isfinite(
            store.read(track, part)).all(1)] for part in _parts(
                np.arange(len(track)))])
        places = sound[store.has_crop(track)[sound]]
        if not len(places):
            return
        colors = self._colors
        most = colors.settings.albedo_frames
        codes, seen = self._look(
            track, store, places[spread_frames(len(places), most).numpy()])
        before = codes['tex'][0]
        tex = colors.fit(seen, before, codes['light'])
        margin = int(REACH * colors.settings.light_sigma)
        ready: list[tuple[np.ndarray, np.ndarray]] = []
        for start in range(0, len(places), _BLOCK):
            self._go_on()
            outer = slice(max(0, start - margin), start + _BLOCK + margin)
            inner = slice(start - outer.start, start - outer.start + _BLOCK)
            codes, seen = self._look(track, store, places[outer])
            light = colors.relight(seen, tex, codes['light'])
            self._figures.add_colors(
                colors.error(seen, before, codes['light'])[inner],
                colors.error(seen, tex, light)[inner])
            codes['light'] = light
            ready.append((places[outer][inner],
                          join_rows(self._layout, codes)[inner]))
            # Each block reads the end of the one before as it was.
            if len(ready) > 1:
                store.write(track, *ready.pop(0))
        store.write(track, *ready.pop())
        for part in _parts(sound):
            codes = split_rows(self._layout, store.read(track, part))
            codes['tex'] = tex.expand_as(codes['tex'])
            store.write(track, part, join_rows(self._layout, codes))

    def _look(self, track: FaceTrack, store: SegmentCodes,
              places: np.ndarray) -> tuple[Codes, Seen]:
        codes = split_rows(self._layout, store.read(track, places))
        crops = torch.from_numpy(store.read_crops(track, places))
        height, width = track.frame_size
        side = crops.shape[1]
        corners = np.array([[-.5, -.5], [width - .5, height - .5]])
        bounds = np.stack([pixel_to_ndc(transform_points(
            corners, track.crop_matrix(int(place))), side).ravel()
            for place in places])
        return codes, self._colors.look(
            codes, crops.permute(0, 3, 1, 2).float() / 255,
            torch.from_numpy(bounds).float())


def _parts(places: np.ndarray) -> list[np.ndarray]:
    """Blocks of places; at least one, which may be empty."""
    return np.split(places, range(_BLOCK, len(places), _BLOCK))
