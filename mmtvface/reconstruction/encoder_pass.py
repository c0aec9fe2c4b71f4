# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Second pass over an input: the codes of its faces."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from mmtvface.geometry.crop import warp
from mmtvface.models.reconstructors import TemporalDECA
from mmtvface.models.reconstructors.code_stream import (
    CodeStream,
    can_stream,
    join_states,
    split_states,
)
from mmtvface.tracking.face_track import Face, FaceTrack
from mmtvface.tracking.frame_source import Frame

from .track_encoder import Clip, StreamCoder, TrackCoder, WindowCoder


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
        if not batch[0].images:
            side = self._image_size
            weight = next(self._model.parameters())
            return weight.new_zeros(len(batch), 0, 3, side, side)
        return self._model.data_preprocessor(dict(inputs=[torch.from_numpy(
            np.ascontiguousarray(np.stack(clip.images).transpose(0, 3, 1, 2)))
            for clip in batch]))['inputs']
