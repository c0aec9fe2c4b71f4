# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Temporal encoder for small machines: propagation on deep features."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

from .checkpointing import run_blocks
from .flow import Flows
from .gated_propagation import DIRECTIONS, GatedPropagation, Memory
from .landmark_locator import LandmarkLocator
from .resnet_encoder import ResNetEncoder, has_pretrained_init

# Frames of streams that go through residual stages at once.
PIECE = 32


def frame_pieces(frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Parts (n, s, ...) of (n, k, ...), small enough for their activations.

    There is at least one, which is empty if k is 0.
    """
    return frames.split(max(1, PIECE // len(frames)), 1)


class StreamState(NamedTuple):
    """What a stream keeps from call to call.

    Attributes:
        pending: (n, p, C + P, h, w) maps before the adapter of the frames
            that wait for what follows them; P is 0, or 3 values for each
            pixel of a cell if there are close looks, which is most of it.
        memories: One per branch of the adapter, after the last frame before
            these; None at the start of the stream.
    """

    pending: torch.Tensor
    memories: list[Memory] | None


@MODELS.register_module()
class LiteTemporalEncoder(ResNetEncoder):
    """A single-frame encoder with a temporal adapter between its stages.

    The residual network of DECA, with :class:`GatedPropagation` over the
    frames behind one of its first stages, where maps have a stride of 8 or
    16 (:class:`TemporalResNet` propagates at stride 2, which is what nearly
    all of its work goes into). At the start the adapter changes nothing: the
    encoder equals the :class:`ResNetEncoder` of the same weights, whose
    checkpoints it takes (``load_from`` of a single-frame model).

    A detail branch shares everything up to and with the adapter through
    :class:`SharedTrunkEncoder`.

    A clip is encoded in one go by calling the module. Streams of any length
    are encoded in constant memory: frame by frame with :meth:`step` if all
    branches run forward, chunk by chunk with :meth:`advance` in any case.

    Args:
        depth: 18, 34, 50 or 101.
        base_channels: Width of the first stage, 64 in the published nets.
        propagation_stage: 1 to 4: the stage whose maps (stride 4, 8, 16, 32)
            the adapter works on. The later, the less work, and the sooner it
            learns to average over frames; a detail branch that shares the
            maps wants 2 or 3.
        propagation_channels: Channels of its branches.
        branches: See :class:`GatedPropagation`.
        order: See :class:`GatedPropagation`.
        input_norm: None (DECA), ``'imagenet'`` or dict(mean=, std=).
        pretrained: See :class:`ResNetEncoder`; the adapter stays at its
            start.
        pool_size: Side of the grid of averages; see :class:`TemporalResNet`.
        with_landmarks: Append to the features where the maps of the
            remaining stages show the 68 landmarks, see
            :class:`LandmarkLocator`.
        close_looks: Above 0: mouth and eyes are looked at again, in the
            pixels. Frames are then this many times larger, along each side,
            than what the network of the maps sees (1, 1.5, 2, ...), and the
            maps carry them along as further channels.
        alone: Share of the clips of a training batch whose frames do not
            see each other: what neighbours tell shall refine what a frame
            shows, not replace it (as in stochastic depth, Huang et al., ECCV
            2016).
        with_cp: See :class:`ResNetEncoder`; the adapter is small enough to
            keep.
        init_cfg: See mmengine's ``BaseModule``.

    Attributes:
        out_channels: Length of a feature vector.
        trunk_channels: Channels of the maps behind the adapter.
        with_landmarks: As given.
        close_looks: As given.
        causal: Whether :meth:`step` may be used.

    Raises:
        ValueError: If an option is not possible.
    """

    _new_parts = ('temporal.', 'locator.')

    def __init__(self,
                 depth: int = 50,
                 base_channels: int = 64,
                 propagation_stage: int = 2,
                 propagation_channels: int = 128,
                 branches: Sequence[str] = DIRECTIONS,
                 order: int = 2,
                 input_norm: str | Mapping | None = None,
                 pretrained: str | None = None,
                 pool_size: int = 1,
                 with_landmarks: bool = False,
                 close_looks: float = 0.,
                 alone: float = 0.,
                 with_cp: bool = False,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(
            depth, base_channels, input_norm=input_norm,
            pretrained=pretrained, pool_size=pool_size, with_cp=with_cp,
            init_cfg=init_cfg)
        if propagation_stage not in (1, 2, 3, 4):
            raise ValueError('propagation_stage must be 1 to 4, but it is '
                             f'{propagation_stage}.')
        self.propagation_stage = propagation_stage
        channels = [
            # the last convolution of a residual block makes its channels
            getattr(stage[-1], 'conv3', stage[-1].conv2).out_channels
            for stage in self._stages[propagation_stage - 1:]]
        if close_looks and not with_landmarks:
            raise ValueError('close_looks need with_landmarks=True.')
        # Pixels that a cell of the maps carries along, along each side.
        self._stride = round(close_looks * (2 << propagation_stage))
        if close_looks and (close_looks < 1 or self._stride
                            != close_looks * (2 << propagation_stage)):
            raise ValueError(
                'close_looks must be 0, or at least 1 and a whole number of '
                f'pixels of a cell ({2 << propagation_stage} at 1), but it '
                f'is {close_looks}.')
        self._carried = [channels[0], 3 * self._stride**2]
        if not 0 <= alone < 1:
            raise ValueError('alone must be at least 0 and below 1, but it '
                             f'is {alone}.')
        self.alone = alone
        self.trunk_channels = channels[0]
        self.temporal = GatedPropagation(
            self.trunk_channels, propagation_channels, branches, order)
        self.locator = None
        self.with_landmarks, self.close_looks = with_landmarks, close_looks
        if with_landmarks:
            self.locator = LandmarkLocator(
                channels, close_looks=close_looks > 0)
            self.out_channels += self.locator.out_channels

    @property
    def causal(self) -> bool:
        """Whether no frame depends on a later one."""
        return self.temporal.causal

    def init_weights(self) -> None:
        """Run ``init_cfg``, load ``pretrained``; the adapter starts at zero.

        A ``Pretrained`` entry of ``init_cfg`` is a whole encoder and wins.
        """
        first = not self.is_init
        super().init_weights()
        if first and not has_pretrained_init(self.init_cfg):
            self.temporal.init_zero()

    def _frame_maps(self, images: torch.Tensor) -> torch.Tensor:
        """Maps before the adapter: (n, t, 3, H, W) -> (n * t, C + P, h, w).

        Behind their C channels come the P = 3 s^2 values of the s x s pixels
        of every cell, for close looks.
        """
        check_shape('clips', images, ('n', 't', 3, 'H', 'W'))
        frames, least = images, math.ceil(32 * self.close_looks)
        if self.close_looks > 1:
            if min(images.shape[-2:]) < least:
                raise ValueError(
                    f'Frames must be at least {least}x{least} pixels for this '
                    'encoder, but they are '
                    f'{images.shape[-2]}x{images.shape[-1]}.')
            size = [round(side / self.close_looks)
                    for side in images.shape[-2:]]
            frames = nn.functional.interpolate(
                images.flatten(0, 1), size, mode='bilinear',
                antialias=True).unflatten(0, images.shape[:2])
        x = super().trunk(frames)
        for stage in self._stages[:self.propagation_stage]:
            x = run_blocks(stage, x, self.with_cp)
        if not self.close_looks:
            return x
        size = [self._stride * side for side in x.shape[-2:]]
        picture = images.flatten(0, 1)
        if size != list(picture.shape[-2:]):
            picture = nn.functional.interpolate(
                picture, size, mode='bilinear')
        return torch.cat([x, nn.functional.pixel_unshuffle(
            picture, self._stride).to(x.dtype)], 1)

    def trunk(self, clips: torch.Tensor,
              flows: Flows | None = None) -> torch.Tensor:
        """Maps behind the adapter.

        Args:
            clips: (n, t, 3, H, W) RGB in [0, 1], H and W at least 32, or 32
                times ``close_looks`` if that is more.
            flows: Not used.

        Returns:
            (n * t, trunk_channels, h, w); with ``close_looks``, the pictures
            follow as further channels.
        """
        maps, picture = self._frame_maps(clips).unflatten(
            0, clips.shape[:2]).split(self._carried, 2)
        joined = self.temporal(maps)
        if self.training and self.alone:
            apart = self.temporal(maps.flatten(0, 1)[:, None]).unflatten(
                0, clips.shape[:2])[:, :, 0]
            alone = torch.rand(len(clips), device=maps.device) < self.alone
            joined = torch.where(
                alone[:, None, None, None, None], apart, joined)
        return torch.cat([joined, picture], 2).flatten(0, 1)

    def stages(self, maps: torch.Tensor) -> torch.Tensor:
        """Features of what :meth:`trunk` gives.

        Args:
            maps: (B, trunk_channels, h, w), with the pictures of close looks
                behind them; not changed.

        Returns:
            (B, out_channels).
        """
        maps, picture = maps.split(self._carried, 1)
        levels = [maps]
        for stage in self._stages[self.propagation_stage:]:
            levels.append(run_blocks(stage, levels[-1], self.with_cp))
        features = self.pool(levels[-1]).flatten(1)
        if self.locator is None:
            return features
        if self.close_looks:
            picture = nn.functional.pixel_shuffle(picture, self._stride)
        return torch.cat([features, self.locator(levels, picture)], 1)

    def step(self, frames: torch.Tensor, state: list[Memory] | None = None
             ) -> tuple[torch.Tensor, list[Memory]]:
        """The next frame of streams, in constant time and memory.

        Args:
            frames: (n, 3, H, W) RGB in [0, 1]: the next frame of n streams.
            state: What the call for the frame before returned; None starts.

        Returns:
            (n, out_channels), equal to what a call with the whole clip gives
            for this frame (in evaluation mode), and the state.

        Raises:
            RuntimeError: If a branch runs backward.
        """
        maps, picture = self._frame_maps(frames[:, None]).split(
            self._carried, 1)
        maps, state = self.temporal.step(maps, state)
        return self.stages(torch.cat([maps, picture], 1)), state

    @torch.no_grad()
    def advance(self, frames: torch.Tensor, state: StreamState | None = None,
                look_ahead: int = 0, last: bool = False
                ) -> tuple[torch.Tensor, StreamState | None]:
        """Maps of the next frames of streams, in memory of a chunk.

        A frame is final as soon as look_ahead frames after it are there, or
        the stream is over. What forward branches remember goes from call to
        call, exactly; a backward branch sees the frames up to the end of
        the chunk, at least look_ahead of them. So the maps are those of one
        pass over the whole stream, but for what a backward branch would tell
        from further on; they are those of one pass exactly without backward
        branches (they need no look-ahead; :meth:`step` is the same for
        chunks of one frame), or if the look-ahead reaches to the end.

        The trunk sees every frame once, a few at a time. A backward branch
        runs over the look-ahead in every call: chunks should not be much
        shorter.

        Args:
            frames: (n, k, 3, H, W) RGB in [0, 1]: the next frames of n
                streams. k may be 0, but for the first call.
            state: What the call before returned; None starts the streams.
            look_ahead: Frames, at least 0; the same in all calls.
            last: No more frames come: all that are pending become final.

        Returns:
            (n, r, trunk_channels and more, h, w) as of :meth:`trunk` (see
            :meth:`stages`) of the r >= 0 next frames that are final, and the
            state: None after the last ones.

        Raises:
            RuntimeError: In training mode, in which the batch norm would mix
                the frames of a piece.
            ValueError: If the frames do not fit the state, there are none
                to begin with, or look_ahead is negative.
        """
        if self.training:
            raise RuntimeError('A stream needs the evaluation mode: call '
                               'eval() before.')
        if look_ahead < 0:
            raise ValueError('look_ahead must not be negative, but it is '
                             f'{look_ahead}.')
        maps, memories = self._waiting(frames, state), state and state.memories
        ready = maps.shape[1] if last else max(0, maps.shape[1] - look_ahead)
        final = maps[:, :0]
        if ready:
            own, picture = maps.split(self._carried, 2)
            final, memories = self.temporal.advance(own, memories, ready)
            final = torch.cat([final, picture[:, :ready]], 2)
        return final, None if last else StreamState(maps[:, ready:], memories)

    def _waiting(self, frames: torch.Tensor, state: StreamState | None
                 ) -> torch.Tensor:
        """Maps before the adapter, those pending and those of new frames."""
        streams = 'n' if state is None else len(state.pending)
        check_shape('frames', frames, (streams, 'k', 3, 'H', 'W'))
        parts = [] if state is None else [state.pending]
        if frames.shape[1]:
            parts += [
                self._frame_maps(piece).unflatten(0, piece.shape[:2])
                for piece in frame_pieces(frames)]
        if not parts:
            raise ValueError('A stream begins with at least one frame.')
        if parts[0].shape[2:] != parts[-1].shape[2:]:
            raise ValueError(
                'The frames of a stream have one size, but these give maps '
                f'of {tuple(parts[-1].shape[-2:])} cells, those before '
                f'{tuple(parts[0].shape[-2:])}.')
        return torch.cat(parts, 1)
