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
        known = [self.norm(self.reduce(maps.flatten(0, 1)))]
        shape = maps.shape[:2]
        for direction, enter, branch in zip(
                self.directions, self.enter, self.branches, strict=True):
            entering = enter(torch.cat(known, 1)).unflatten(0, shape)
            frames = list(entering.unbind(1))
            if direction == 'backward':
                frames.reverse()
            outputs, memory = [], Memory()
            for frame in frames:
                memory = branch.step(*frame.chunk(2, 1), memory)
                outputs.append(memory.last)
            if direction == 'backward':
                outputs.reverse()
            known.append(torch.stack(outputs, 1).flatten(0, 1))
        return maps + self.expand(torch.cat(known[1:], 1)).unflatten(0, shape)

    def step(self, maps: torch.Tensor, state: Sequence[Memory] | None = None
             ) -> tuple[torch.Tensor, list[Memory]]:
        """The next frame of streams.

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
        state = state or [Memory()] * len(self.branches)
        known, memories = [self.norm(self.reduce(maps))], []
        for enter, branch, memory in zip(self.enter, self.branches, state,
                                         strict=True):
            memories.append(branch.step(
                *enter(torch.cat(known, 1)).chunk(2, 1), memory))
            known.append(memories[-1].last)
        return maps + self.expand(torch.cat(known[1:], 1)), memories
