# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Albedo and light of a track, brought into line with its colours."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from mmtvface.fitting import FaceColors, Seen, spread_frames
from mmtvface.fitting.appearance import REACH
from mmtvface.geometry.camera import pixel_to_ndc
from mmtvface.geometry.crop import transform_points
from mmtvface.heads import FLAME, FLAMETexture
from mmtvface.models.reconstructors import TemporalDECA
from mmtvface.tracking.face_track import FaceTrack
from mmtvface.tracking.track_store import TrackStore

from .finish import Codes, Statistics, join_codes, split_codes
from .model_setup import on_cpu

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
        statistics: Counts what it changed.
        check_cancelled: Called now and then; what it raises ends the work.
    """

    def __init__(self, model: TemporalDECA, statistics: Statistics,
                 check_cancelled: Callable[[], None] = lambda: None) -> None:
        self._check_cancelled = check_cancelled
        self._layout, self._statistics = model.layout, statistics
        self._colors = FaceColors(
            on_cpu(model.flame), on_cpu(model.texture),
            on_cpu(model.renderer))

    @torch.no_grad()
    def __call__(self, track: FaceTrack, store: TrackStore) -> None:
        """Change the codes of a track whose geometry is as it shall be."""
        finite = store.finite_places(track)
        has_crop = store.has_crop(track)[finite]
        places = finite[has_crop]
        if not len(places):
            return
        colors = self._colors
        most = colors.settings.albedo_frames
        codes, seen = self._look(
            track, store, places[spread_frames(len(places), most).numpy()])
        before = codes['tex'][0]
        tex = colors.fit(seen, before, codes['light'])

        def relight(part: np.ndarray, inner: slice) -> np.ndarray:
            self._check_cancelled()
            codes, seen = self._look(track, store, part)
            light = colors.relight(seen, tex, codes['light'])
            self._statistics.add_colors(
                colors.error(seen, before, codes['light'])[inner],
                colors.error(seen, tex, light)[inner])
            return self._rows(codes, tex, light)

        def recolor(part: np.ndarray, _: slice) -> np.ndarray:
            codes = split_codes(self._layout, store.read_codes(track, part))
            return self._rows(codes, tex, codes['light'])

        store.rewrite(track, places, _BLOCK,
                      int(REACH * colors.settings.light_sigma), relight)
        # Frames that could not be read again are of the same person.
        store.rewrite(track, finite[~has_crop], _BLOCK, 0, recolor)

    def _rows(self, codes: Codes, tex: torch.Tensor,
              light: torch.Tensor) -> np.ndarray:
        """(n, C) codes with another albedo and light."""
        return join_codes(self._layout, {
            **codes, 'tex': tex.expand_as(codes['tex']), 'light': light})

    def _look(self, track: FaceTrack, store: TrackStore,
              places: np.ndarray) -> tuple[Codes, Seen]:
        codes = split_codes(self._layout, store.read_codes(track, places))
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
