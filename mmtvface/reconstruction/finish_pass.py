# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Third pass: the codes of every track, finished."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from mmtvface.fitting import RefineSettings, refine_identity, spread_frames
from mmtvface.geometry.camera import move_camera, pixel_to_ndc
from mmtvface.geometry.crop import transform_points
from mmtvface.models.reconstructors import TemporalDECA
from mmtvface.structures import FlameCodeLayout
from mmtvface.tracking.face_track import FaceTrack
from mmtvface.tracking.track_store import TrackStore

from .finish import Codes, FinishSettings, Statistics, finish_run, one_identity
from .model_setup import on_cpu

_BLOCK = 500  # frames that are finished at once ...
_MARGIN = 100  # ... with as many neighbours on both sides
_MOST_FRAMES = 2000  # whose median is taken; more say nothing new


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
