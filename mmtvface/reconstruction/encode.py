# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Second step: faces are cropped and go through the model, clip by clip."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from mmtvface.geometry.alignment import nearest_rotation
from mmtvface.geometry.crop import warp
from mmtvface.geometry.rotation import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
)
from mmtvface.models.reconstructors import TemporalDECA
from mmtvface.models.reconstructors.code_stream import (
    CodeStream,
    can_stream,
    join_states,
    split_states,
)
from mmtvface.structures import FlameCodeLayout
from mmtvface.tracking.face_track import Face, FaceTrack
from mmtvface.tracking.frame_source import Frame

Finished = list[tuple[int, np.ndarray]]
"""Places and their codes (C,), in order."""


class Window(NamedTuple):
    """A clip of a run, from its first frame to one after its last."""

    start: int
    stop: int


def plan_windows(length: int, size: int, stride: int | None = None
                 ) -> list[Window]:
    """Overlapping windows that cover a run.

    The last window is moved back to end with the run; a run shorter than a
    window is one window.

    Args:
        length: Frames of the run, at least 1.
        size: Frames per window, at least 1.
        stride: Frames from window to window, 1 to ``size``; default: half
            the size, rounded up.

    Returns:
        Windows in order.

    Raises:
        ValueError: If a number is out of its range.
    """
    stride = (size + 1) // 2 if stride is None else stride
    if length < 1 or size < 1 or not 1 <= stride <= size:
        raise ValueError(
            'plan_windows needs length >= 1, size >= 1 and 1 <= stride <= '
            f'size, but got length {length}, size {size}, stride {stride}.')
    last = max(0, length - size)
    return [Window(start, min(start + size, length))
            for start in (*range(0, last, stride), last)]


class WindowBlender:
    """Blends what several clips say about a frame.

    A temporal model knows less about the first and the last frames of a clip,
    which have neighbours on one side only. The weight of a clip's opinion
    grows linearly from both its ends to its middle, so that the codes pass
    smoothly from one clip to the next. Rotations are blended as matrices
    (projected mean), everything else linearly.

    Args:
        layout: Of the codes at the beginning of a code vector; what follows
            (detail) is blended linearly.
    """

    def __init__(self, layout: FlameCodeLayout) -> None:
        begin = 0
        for name, size in layout.sizes.items():
            if name == 'pose':
                break
            begin += size
        self._pose = slice(begin, begin + layout.pose)
        self._vectors: dict[int, list[tuple[float, np.ndarray]]] = {}

    def add(self, frames: Sequence[int], vectors: np.ndarray,
            until: float) -> Finished:
        """Take the codes of a clip.

        Args:
            frames: t indices of its frames, increasing.
            vectors: (t, C) float32.
            until: Index of the first frame of the clip that comes next; what
                lies before it is finished.

        Returns:
            The finished frames in order, index and (C,) float32. Vectors that
            are not finite count only where there is no other.
        """
        count = len(frames)
        for place, (frame, vector) in enumerate(zip(frames, vectors,
                                                    strict=True)):
            self._vectors.setdefault(frame, []).append(
                (min(place + 1, count - place), vector))
        finished = sorted(frame for frame in self._vectors if frame < until)
        return [(frame, self._blend(self._vectors.pop(frame)))
                for frame in finished]

    def _blend(self, opinions: list[tuple[float, np.ndarray]]) -> np.ndarray:
        finite = [entry for entry in opinions if np.isfinite(entry[1]).all()]
        if len(finite) < 2:
            return (finite or opinions)[0][1]
        weights = np.array([weight for weight, _ in finite], float)
        weights /= weights.sum()
        vectors = np.stack([vector for _, vector in finite]).astype(float)
        mean = weights @ vectors
        turns = torch.from_numpy(vectors[:, self._pose]).unflatten(1, (-1, 3))
        matrices = torch.einsum('k,kjab->jab', torch.from_numpy(weights),
                                axis_angle_to_matrix(turns))
        mean[self._pose] = matrix_to_axis_angle(
            nearest_rotation(matrices)).flatten().numpy()
        return mean.astype(np.float32)


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

    Attributes:
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


class Coded(NamedTuple):
    """Codes of successive frames of a track.

    Attributes:
        track: The track.
        places: (n,) of the frames in it.
        vectors: (n, C) float32 code vectors: codes, then detail codes.
    """

    track: FaceTrack
    places: np.ndarray
    vectors: np.ndarray


class EncoderPass:
    """Crops faces and runs the model on clips of them.

    A model that can (:func:`can_stream`) goes through a track clip by clip
    and remembers what was before; of others, clips overlap and their codes
    are blended. The crops of one batch of clips are in memory, and of the
    clip that is being filled, per track.

    Args:
        model: A :class:`~mmtvface.models.reconstructors.TemporalDECA`.
        image_size: Side of the crops in pixels.
        batch_size: Clips that go through the model at once; of a model that
            remembers, of as many tracks.
        clip_length: Frames per clip.
        overlap: Frames that successive clips have in common, or that a model
            that remembers sees ahead.
    """

    def __init__(self, model: TemporalDECA, image_size: int,
                 batch_size: int, clip_length: int, overlap: int) -> None:
        self._model = model
        self._image_size, self._batch_size = image_size, batch_size
        self._clip_length, self._overlap = clip_length, overlap
        self._stream = CodeStream(model, overlap) if (
            clip_length > 1 and can_stream(model)) else None

    def _coder(self, track: FaceTrack, first: int) -> TrackCoder:
        if self._stream is not None:
            return StreamCoder(track, self._clip_length, self._overlap, first)
        return WindowCoder(track, self._clip_length, self._overlap,
                           self._model.layout, first)

    def __call__(self, frames: Iterable[tuple[Frame | None, list[Face]]],
                 known: dict[int, int]) -> Iterator[Coded]:
        """Codes of the faces of a shot.

        Args:
            frames: All its frames, None where they cannot be read again, with
                their faces.
            known: Track id -> first place whose codes are wanted.

        Yields:
            Of every track, its places in order.
        """
        coders: dict[int, TrackCoder] = {}
        batch: list[Clip] = []
        for frame, faces in frames:
            for face in faces:
                track = face.track
                first = known.get(track.track_id, 0)
                if first == len(track):
                    continue
                coder = coders.get(track.track_id)
                if coder is None:
                    coder = coders[track.track_id] = self._coder(track, first)
                if face.place < coder.begin:
                    continue
                image = None if frame is None or frame.image is None else (
                    warp(frame.image, face.crop_matrix, self._image_size))
                for clip in coder.add(face.place, image):
                    if batch and not self._fits(clip, batch):
                        yield from self._run(batch)
                        batch = []
                    batch.append(clip)
                if face.place + 1 == len(track):
                    del coders[track.track_id]  # the clips hold it
        if batch:
            yield from self._run(batch)

    def _fits(self, clip: Clip, batch: Sequence[Clip]) -> bool:
        """Whether a clip can go through the model with others."""
        return len(batch) < self._batch_size and (
            clip.kind == batch[0].kind) and not (
                clip.coder.sequential
                and any(clip.coder is other.coder for other in batch))

    @torch.inference_mode()
    def _run(self, batch: list[Clip]) -> Iterator[Coded]:
        images = self._prepare(batch)
        if self._stream is None:
            flat, detail = self._model.encode_with_detail(images)
            rows = torch.cat([part.float() for part in (flat, detail)
                              if part is not None], -1)
        else:
            states = [clip.coder.state for clip in batch]
            rows, state = self._stream.advance(
                images, None if states[0] is None else join_states(states),
                batch[0].last)
            if state is not None:
                for clip, own in zip(batch, split_states(state), strict=True):
                    clip.coder.state = own
        for clip, part in zip(batch, rows.cpu().numpy(), strict=True):
            if finished := clip.coder.take(clip, part):
                places, blended = zip(*finished, strict=True)
                yield Coded(clip.coder.track, np.array(places),
                            np.stack(blended))

    def _prepare(self, batch: list[Clip]) -> torch.Tensor:
        """(n, t, 3, S, S) RGB [0, 1] of clips of equal length."""
        side = self._image_size
        if not batch[0].images:
            return next(self._model.parameters()).new_zeros(
                len(batch), 0, 3, side, side)
        return self._model.data_preprocessor(dict(inputs=[torch.from_numpy(
            np.ascontiguousarray(np.stack(clip.images).transpose(0, 3, 1, 2)))
            for clip in batch]))['inputs']
