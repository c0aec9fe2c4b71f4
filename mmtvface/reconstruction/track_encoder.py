# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How the frames of one track are handed to the model, clip by clip."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmtvface.structures import FlameCodeLayout
from mmtvface.tracking.face_track import FaceTrack

from .blending import WindowBlender
from .windows import plan_windows

Finished = list[tuple[int, np.ndarray]]
"""Places and their codes (C,), in order."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of a track that are ready for the model.

    Attributes:
        coder: Gets the codes.
        images: t images (S, S, 3) uint8 RGB; none only at a track's end.
        places: Of the frames.
        until: What comes before this place is finished afterwards.
        last: Nothing comes after it.
    """

    coder: 'TrackCoder'
    images: list[np.ndarray]
    places: list[int]
    until: float = math.inf
    last: bool = True

    @property
    def kind(self) -> tuple:
        """Clips of one kind can go through the model together."""
        return len(self.images), self.last, self.coder.phase


class TrackCoder(ABC):
    """Cuts the frames of a track into clips and collects their codes.

    Args:
        track: The track.

    Attributes:
        track: The track.
        begin: First place whose image is needed.
        state: Of the model between two clips.
        phase: States of equal phase can be joined.
        sequential: A clip must have its codes before the next one goes on.
    """

    begin: int = 0
    state: Any = None
    phase: tuple = ()
    sequential: bool = False

    def __init__(self, track: FaceTrack) -> None:
        self.track = track

    @abstractmethod
    def add(self, place: int, image: np.ndarray | None) -> Iterator[Clip]:
        """Take the next frame; None if it cannot be read.

        Every place from ``begin`` on is added, in order.

        Yields:
            Clips that are ready.
        """

    @abstractmethod
    def take(self, clip: Clip, rows: np.ndarray) -> Finished:
        """Take the codes (n, C) of a clip; return what is finished."""


class WindowCoder(TrackCoder):
    """Clips that overlap, whose codes are blended.

    Args:
        track: The track.
        clip_length: Frames of a clip.
        overlap: Frames that successive clips have in common.
        layout: Of the codes.
        first: Places before it are known already.
    """

    def __init__(self, track: FaceTrack, clip_length: int, overlap: int,
                 layout: FlameCodeLayout, first: int = 0) -> None:
        super().__init__(track)
        self._windows = deque(
            window for window in plan_windows(
                len(track), clip_length, clip_length - overlap)
            if window.stop > first)
        self.begin = self._windows[0].start
        self._first = first
        self._blender = WindowBlender(layout)
        self._images: dict[int, np.ndarray] = {}

    def add(self, place: int, image: np.ndarray | None) -> Iterator[Clip]:
        """See :class:`TrackCoder`."""
        if image is not None:
            self._images[place] = image
        while self._windows and self._windows[0].stop == place + 1:
            self._windows.popleft()
            begin = self._windows[0].start if self._windows else math.inf
            if self._images:
                yield Clip(self, list(self._images.values()),
                           list(self._images), begin)
            self._images = {at: kept for at, kept in self._images.items()
                            if at >= begin}

    def take(self, clip: Clip, rows: np.ndarray) -> Finished:
        """See :class:`TrackCoder`."""
        return [entry for entry in self._blender.add(
            clip.places, rows, clip.until) if entry[0] >= self._first]


class StreamCoder(TrackCoder):
    """Clips one after the other; the model remembers what was before.

    Args:
        track: The track.
        clip_length: Frames of a clip.
        look_ahead: Frames after a clip that the model sees, too.
        first: Places before it are known already. The model begins some
            clips earlier, to remember the same.
    """

    sequential = True

    def __init__(self, track: FaceTrack, clip_length: int,
                 look_ahead: int, first: int = 0) -> None:
        super().__init__(track)
        self._size, self._end = clip_length, len(track) - 1
        warm = first - 2 * max(look_ahead, clip_length)
        self.begin = max(0, warm - warm % clip_length)
        self._first = first
        self._images: list[np.ndarray] = []
        self._places: list[int] = []
        self._waiting: deque[int] = deque()
        self._given = 0

    @property
    def phase(self) -> tuple:
        """Frames that wait in the state, and whether it knows two before."""
        return len(self._waiting), self._given

    def add(self, place: int, image: np.ndarray | None) -> Iterator[Clip]:
        """See :class:`TrackCoder`."""
        if image is not None:
            self._images.append(image)
            self._places.append(place)
        last = place == self._end
        if len(self._images) == self._size or (
                last and (self._images or self._waiting)):
            yield Clip(self, self._images, self._places, last=last)
            self._images, self._places = [], []

    def take(self, clip: Clip, rows: np.ndarray) -> Finished:
        """See :class:`TrackCoder`."""
        self._waiting.extend(clip.places)
        finished = [(self._waiting.popleft(), row) for row in rows]
        self._given = min(2, self._given + len(finished))
        return [entry for entry in finished if entry[0] >= self._first]
