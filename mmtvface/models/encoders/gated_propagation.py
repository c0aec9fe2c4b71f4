# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Gated second-order propagation of small feature maps over a clip."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

DIRECTIONS = ('backward', 'forward')


class Memory(NamedTuple):
    """What a branch remembers between the frames of a stream.

    Attributes:
        last: (n, C, h, w) its last output; None before the first frame.
        before: (n, C, h, w) the one before; None before the second frame.
    """

    last: torch.Tensor | None = None
    before: torch.Tensor | None = None


class GatedBranch(nn.Module):
    """One direction of the propagation, frame after frame.

    With the frame's input x (gate and candidate, made for all frames at
    once) and the last two outputs of the branch,

        r = W [D_1 * h_{i-1}, D_2 * h_{i-2}],
        g = sigmoid(x_g + r_g),  c = silu(x_c + tanh(r_c)),
        h_i = g h_{i-1} + (1 - g) c,

    D are depthwise 3x3 filters and W mixes channels. The gate makes the
    branch a running average whose length is learnt and depends on what is
    seen: a covered or blurred frame can be passed over. The hyperbolic
    tangent bounds what the past adds: without it a branch that was trained
    on clips of five frames may grow without end on longer ones.

    Two frames back are read as in second-order grid propagation (BasicVSR++,
    Chan et al., CVPR 2022, eq. 1); on maps of a face crop of stride
    8 or 16, motion between frames is a fraction of a cell, which the 3x3
    filters follow without flow.

    Args:
        channels: C.
        order: Earlier outputs that are read: 1 or 2.
    """

    def __init__(self, channels: int, order: int = 2) -> None:
        super().__init__()
        self.order = order
        self.filters = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels,
                      bias=False) for _ in range(order))
        self.mix = nn.Conv2d(order * channels, 2 * channels, 1, bias=False)
        for conv in self.filters:
            # each starts as the earlier output itself
            nn.init.dirac_(conv.weight, groups=channels)

    def step(self, gate: torch.Tensor, candidate: torch.Tensor,
             memory: Memory) -> Memory:
        """One frame.

        Args:
            gate: (n, C, h, w) x_g.
            candidate: (n, C, h, w) x_c.
            memory: Of the frames before.

        Returns:
            The memory after it; its ``last`` is the output.
        """
        if memory.last is None:
            return Memory(nn.functional.silu(candidate))
        earlier = [memory.last, memory.before][:self.order]
        seen = [torch.zeros_like(candidate) if h is None else conv(h)
                for conv, h in zip(self.filters, earlier, strict=True)]
        of_gate, of_candidate = self.mix(torch.cat(seen, 1)).chunk(2, 1)
        new = nn.functional.silu(candidate + of_candidate.tanh())
        keep = torch.sigmoid(gate + of_gate)
        return Memory(torch.lerp(new, memory.last, keep), memory.last)

    def forward(self, frames: Sequence[torch.Tensor], memory: Memory
                ) -> list[Memory]:
        """Successive frames.

        Args:
            frames: (n, 2 * C, h, w) each: x_g and x_c.
            memory: Of the frames before.

        Returns:
            The memory after each of them.
        """
        passed = [memory]
        for frame in frames:
            passed.append(self.step(*frame.chunk(2, 1), passed[-1]))
        return passed[1:]


class GatedPropagation(nn.Module):
    """Adds to every frame's map what the other frames tell.

    y_i = x_i + W_out [h^1_i, h^2_i, ...]: the branches run over the clip one
    after the other, each reads the map of the frame and the outputs of the
    branches before it (grid propagation, BasicVSR++, Chan et al., CVPR 2022,
    eq. 2). W_out starts at zero: a new module changes nothing, so that it
    can be put on a trained single-frame encoder.

    Args:
        in_channels: Channels of the maps.
        channels: Channels C of the branches.
        branches: Their directions in order. ``('forward', )`` is causal:
            frames can be fed as they come (:meth:`step`).
        order: Earlier outputs that a branch reads: 2, or 1.

    Raises:
        ValueError: If an option is not possible.
    """

    def __init__(self,
                 in_channels: int,
                 channels: int = 128,
                 branches: Sequence[str] = DIRECTIONS,
                 order: int = 2) -> None:
        super().__init__()
        if not branches or set(branches) - set(DIRECTIONS):
            raise ValueError(f'branches must be a list of {DIRECTIONS}, but '
                             f'it is {branches}.')
        if order not in (1, 2):
            raise ValueError(f'order must be 1 or 2, but it is {order}.')
        self.directions = tuple(branches)
        self.reduce = nn.Conv2d(in_channels, channels, 1)
        # Batch norm would mix the statistics of good and bad frames, and
        # differ between clip lengths.
        self.norm = nn.GroupNorm(1, channels)
        self.enter = nn.ModuleList(
            nn.Conv2d((1 + i) * channels, 2 * channels, 1)
            for i in range(len(branches)))
        self.branches = nn.ModuleList(
            GatedBranch(channels, order) for _ in branches)
        self.expand = nn.Conv2d(len(branches) * channels, in_channels, 1)
        self.init_zero()

    def init_zero(self) -> None:
        """Make the module the identity."""
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    @property
    def causal(self) -> bool:
        """Whether no frame depends on a later one."""
        return set(self.directions) == {'forward'}

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Exchange information between the frames of each clip.

        Args:
            maps: (n, t, in_channels, h, w), t >= 1; not changed.

        Returns:
            The same shape.
        """
        return self.advance(maps, None, maps.shape[1])[0]

    def advance(self, maps: torch.Tensor, state: Sequence[Memory] | None,
                ready: int) -> tuple[torch.Tensor, list[Memory]]:
        """The next frames of streams, of which some are a look-ahead.

        Forward branches go on from what they remember, as if the stream were
        one clip. Backward branches begin anew at the last frame given: of
        what follows it they know nothing. The look-ahead is what they read
        before the frames that count; it is given again in the next call.

        Args:
            maps: (n, k, in_channels, h, w) of successive frames; not
                changed.
            state: Of the frame before the first one; None starts the
                streams.
            ready: 1 to k: number of frames at the beginning that are wanted;
                the others are the look-ahead.

        Returns:
            (n, ready, in_channels, h, w) and the state after these frames,
            one memory per branch (that of a backward branch is empty).

        Raises:
            ValueError: If ready is not possible.
        """
        shape = maps.shape[:2]
        if not 1 <= ready <= shape[1]:
            raise ValueError(f'ready must be 1 to {shape[1]}, the number of '
                             f'frames, but it is {ready}.')
        known = [self.norm(self.reduce(maps.flatten(0, 1))).unflatten(
            0, shape)]
        memories = []
        for index, (enter, branch, memory) in enumerate(zip(
                self.enter, self.branches,
                state or [Memory()] * len(self.branches), strict=True)):
            # Only backward branches read the look-ahead: from the last of
            # them on, nobody wants to know more of it.
            if 'backward' not in self.directions[index:]:
                known = [part[:, :ready] for part in known]
            entering = enter(torch.cat(known, 2).flatten(0, 1))
            frames = entering.unflatten(0, known[0].shape[:2]).unbind(1)
            if self.directions[index] == 'forward':
                passed = branch(frames, memory)
                memories.append(passed[ready - 1])
            else:
                passed = branch(frames[::-1], Memory())[::-1]
                memories.append(Memory())
            known.append(torch.stack([after.last for after in passed], 1))
        outputs = torch.cat([part[:, :ready] for part in known[1:]], 2)
        added = self.expand(outputs.flatten(0, 1))
        return maps[:, :ready] + added.unflatten(
            0, outputs.shape[:2]), memories

    def step(self, maps: torch.Tensor, state: Sequence[Memory] | None = None
             ) -> tuple[torch.Tensor, list[Memory]]:
        """The next frame of streams: :meth:`advance` without a look-ahead.

        Args:
            maps: (n, in_channels, h, w).
            state: Of the frame before; None starts the streams.

        Returns:
            (n, in_channels, h, w), what :meth:`forward` gives for this frame,
            and the new state.

        Raises:
            RuntimeError: If a branch runs backward.
        """
        if not self.causal:
            raise RuntimeError(
                'Frames can only be fed one by one to a causal propagation, '
                f"branches=('forward', ), but it has {self.directions}.")
        maps, state = self.advance(maps[:, None], state, 1)
        return maps[:, 0], state
