# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Codes of videos of any length, chunk by chunk, as of one pass."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from mmtvface.models.encoders import LiteTemporalEncoder
from mmtvface.models.encoders.lite_encoder import StreamState, frame_pieces
from mmtvface.models.regressors.flame_head import ClipMean, FLAMEHead

from .temporal_deca import TemporalDECA


class CodeState(NamedTuple):
    """What :class:`CodeStream` keeps from call to call.

    Attributes:
        encoder: Of the encoder; ``encoder.pending`` (n, p, C, h, w) are the
            frames whose codes are still to come.
        identity: Of the head; None if it shares nothing over a clip, or no
            codes have come yet.
    """

    encoder: StreamState
    identity: ClipMean | None


def can_stream(model: TemporalDECA) -> bool:
    """Whether a :class:`CodeStream` of a model is possible.

    The encoder must be a :class:`LiteTemporalEncoder` (and so not behind a
    restorer, which looks at several frames itself), the head one that knows
    how to share an identity, and the detail branch, if there is one, on the
    trunk of the encoder: others would need the pictures once more.
    """
    return (isinstance(model.encoder, LiteTemporalEncoder)
            and isinstance(model.head, FLAMEHead)
            and (model.detail is None or model.detail.shares_trunk))


class CodeStream:
    """Code vectors and detail codes of frames that come in chunks.

    They are what :meth:`TemporalDECA.encode_with_detail` gives for the whole
    video in one pass, in the memory of a chunk, with two differences:

    - Backward branches of the encoder see at least ``look_ahead`` frames
      ahead, instead of all (:meth:`LiteTemporalEncoder.advance`). A causal
      encoder needs no look-ahead, and then differs in nothing.
    - An identity that the head shares over a clip is that of all frames up
      to the end of the chunk; that of the very last frame is the one of the
      whole video.

    With chunks of 40 frames and a look-ahead of 80, the vertices that the
    packaged model gives for four clips of 400 frames (SynthTV test, hard) are
    0.13 mm from those of one pass (mean); in overlapping windows of 20
    frames, 1.5 mm. A look-ahead of 160 makes it 0.08 mm.

    Args:
        model: In evaluation mode.
        look_ahead: Frames, at least 0.

    Raises:
        ValueError: If :func:`can_stream` says no, or look_ahead is negative.
    """

    def __init__(self, model: TemporalDECA, look_ahead: int = 80) -> None:
        if not can_stream(model):
            raise ValueError(
                'A CodeStream needs a LiteTemporalEncoder, a FLAMEHead, and '
                'a detail branch on a SharedTrunkEncoder or none.')
        if look_ahead < 0:
            raise ValueError('look_ahead must not be negative, but it is '
                             f'{look_ahead}.')
        self._model, self._look_ahead = model, look_ahead

    @torch.no_grad()
    def advance(self, images: torch.Tensor, state: CodeState | None = None,
                last: bool = False
                ) -> tuple[torch.Tensor, CodeState | None]:
        """Take the next frames of n videos.

        Args:
            images: (n, k, 3, H, W) RGB in [0, 1]; k may be 0, but for the
                first call.
            state: What the call before returned; None starts the videos.
            last: No more frames come.

        Returns:
            (n, r, C) float32, codes, then detail codes, of the r >= 0 next
            frames whose look-ahead is complete (all that are left after the
            last frames), and the state: None after the last frames.

        Raises:
            RuntimeError: In training mode.
            ValueError: If the images do not fit the state, or there are none
                to begin with.
        """
        model = self._model
        if model.training:
            raise RuntimeError('A stream needs the evaluation mode: call '
                               'eval() before.')
        encoder, identity = (None, None) if state is None else state
        maps, encoder = model.encoder.advance(
            images, encoder, self._look_ahead, last)
        pieces = frame_pieces(maps)
        features = torch.cat([
            model.encoder.stages(piece.flatten(0, 1)).unflatten(
                0, piece.shape[:2]) for piece in pieces], 1)
        with torch.autocast(features.device.type, enabled=False):
            vectors, identity = model.head.advance(features.float(), identity)
        if model.detail is not None:
            detail = [model.detail.encode_maps(piece) for piece in pieces]
            vectors = torch.cat([vectors, torch.cat(detail, 1)], -1)
        return vectors, None if last else CodeState(encoder, identity)


def join_states(states: Sequence[CodeState]) -> CodeState:
    """The state of several videos that go on as one batch.

    Args:
        states: At least one, of equally many pending frames.

    Raises:
        ValueError: If they are not of one kind.
    """
    return _merge(torch.cat, states)


def split_states(state: CodeState) -> list[CodeState]:
    """The states of the videos of a batch, inverse of :func:`join_states`."""
    return [_merge(lambda parts, i=i: parts[0][i:i + 1], [state])
            for i in range(len(state.encoder.pending))]


def _merge(function: Callable[[list[torch.Tensor]], torch.Tensor],
           states: Sequence[Any]) -> Any:
    """Apply a function to the equal tensors of equally nested states."""
    first = states[0]
    if any((type(state), _extent(state)) != (type(first), _extent(first))
           for state in states):
        raise ValueError(
            'States can only be joined if they are of one model, have '
            'equally many pending frames, and all or none have given codes.')
    if first is None:
        return None
    if isinstance(first, torch.Tensor):
        return function(list(states))
    parts = [_merge(function, part) for part in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, '_fields') else parts


def _extent(part: Any) -> Any:
    """What equal parts of states that can be joined have in common."""
    if part is None:
        return None
    return part.shape[1:] if isinstance(part, torch.Tensor) else len(part)
