# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Training of SPyNet on the true motion of SynthTV's heads.

SPyNet: Ranjan & Black, CVPR 2017. Deviations: all levels are trained at
once from zero flow, on heads in video of all grades instead of on films of
rendered scenes.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mmtvface.utils.atomic import atomic_path, writable_dir

from .flow_pairs import FlowPairs, FlowPairSource, join_pairs

_TAG = 61


@dataclass(frozen=True)
class FlowTraining:
    """How SPyNet is trained.

    Attributes:
        iters: Steps.
        clips: Clips of a step; each gives a pair in both directions.
        lr: Largest learning rate of Adam; one cycle of a cosine.
        max_gap: Frames between the pictures of a pair, 1 to this. Neighbours
            hardly move: a network learns sooner what to look for where
            motion is larger.
        smoothness: Weight of the differences between neighbouring pixels'
            flows where the flow is not known.
        seed: Of the weights and the choice of clips.

    Raises:
        ValueError: If a number is out of range.
    """

    iters: int = 500
    clips: int = 8
    lr: float = 5e-4
    max_gap: int = 3
    smoothness: float = .1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ('iters', 'clips', 'max_gap'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, but it is '
                                 f'{getattr(self, name)}.')
        if not self.lr > 0:
            raise ValueError(f'lr must be positive, but it is {self.lr}.')


class FlowErrors(NamedTuple):
    """Mean distances in pixels at the resolution of the pairs.

    Attributes:
        trained: End-point error of the network.
        zero: That of zero flow, which is the mean true motion.
        pixels: Over how many pixels these are means.
    """

    trained: float
    zero: float
    pixels: int


def end_point_error(flow: torch.Tensor, truth: torch.Tensor,
                    valid: torch.Tensor) -> torch.Tensor:
    """Mean distance of (B, 2, h, w) flows where ``valid`` (B, h, w) holds.

    Zero where nothing is valid. The gradient of a perfect pixel is finite.
    """
    squares = (flow - truth).square().sum(1)
    distance = (squares + 1e-12).sqrt()
    return (distance * valid).sum() / valid.sum().clamp(min=1)


def roughness(flow: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of neighbours, one of which is not valid."""
    terms = []
    for axis in (-1, -2):
        known = valid.unsqueeze(1)
        length = flow.shape[axis] - 1
        unknown = ~(known.narrow(axis, 0, length)
                    & known.narrow(axis, 1, length))
        terms.append((flow.diff(dim=axis).abs() * unknown).mean())
    return sum(terms)


def new_spynet(seed: int = 0) -> nn.Module:
    """SPyNet with random weights whose flow is zero.

    The last convolution of each level is zero: a level adds nothing to the
    flow of the coarser ones until it has learned to.
    """
    from mmtvface.models.encoders.propagation import SPyNet
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        spynet = SPyNet(None)
        for level in spynet.basic_module:
            *hidden, last = (part for part in level.modules()
                             if isinstance(part, nn.Conv2d))
            for conv in hidden:
                nn.init.kaiming_normal_(conv.weight)
                nn.init.zeros_(conv.bias)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    return spynet


def train_flow(spynet: nn.Module, source: FlowPairSource, how: FlowTraining,
               tell: Callable[[int, float, float], None] = lambda *_: None
               ) -> None:
    """Train a network in place.

    Args:
        spynet: (B, 3, h, w), (B, 3, h, w) -> (B, 2, h, w).
        source: Of the training pairs. Its clips must hold ``how.max_gap``
            steps.
        how: Settings.
        tell: Called after each step with its number, counted from 1, its
            end-point error and that of zero flow.

    Raises:
        ValueError: If the clips are too short.
    """
    room = source.dataset.clip_length - 1
    if room < how.max_gap:
        raise ValueError(f'Pairs that are {how.max_gap} frames apart (max_gap)'
                         f' need clips of {how.max_gap + 1} frames, but they '
                         f'have {room + 1}.')
    rng = np.random.default_rng([_TAG, how.seed])
    optimizer = torch.optim.Adam(spynet.parameters(), lr=how.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, how.lr, total_steps=max(how.iters, 2), pct_start=.1)
    spynet.train()
    for step in range(1, how.iters + 1):
        pairs = _draw_batch(source, how, rng)
        flow = spynet(pairs.first, pairs.second)
        error = end_point_error(flow, pairs.flow, pairs.valid)
        loss = error + how.smoothness * roughness(flow, pairs.valid)
        optimizer.zero_grad()
        loss.backward()
        # The first steps after zero flow are steep.
        nn.utils.clip_grad_norm_(spynet.parameters(), 1.)
        optimizer.step()
        schedule.step()
        zero = end_point_error(0 * pairs.flow, pairs.flow, pairs.valid)
        tell(step, error.item(), zero.item())


def _draw_batch(source: FlowPairSource, how: FlowTraining,
                rng: np.random.Generator) -> FlowPairs:
    """One pair of each of some clips, both ways, half of them mirrored."""
    parts = []
    for index in rng.integers(len(source.dataset), size=how.clips):
        pairs = source.pairs(int(index), int(rng.integers(how.max_gap)) + 1)
        steps = len(pairs.first) // 2
        which = int(rng.integers(steps))
        pairs = FlowPairs(*(part[[which, steps + which]] for part in pairs))
        parts.append(mirror(pairs) if rng.random() < .5 else pairs)
    return join_pairs(parts)


def mirror(pairs: FlowPairs) -> FlowPairs:
    """Left and right exchanged."""
    first, second, flow, valid = (part.flip(-1) for part in pairs)
    flow = flow * flow.new_tensor([-1., 1.])[:, None, None]
    return FlowPairs(first, second, flow, valid)


@torch.no_grad()
def flow_errors(spynet: nn.Module, source: FlowPairSource) -> FlowErrors:
    """Errors over all pairs of neighbouring frames of a dataset.

    Raises:
        ValueError: If nothing is seen in any of them.
    """
    spynet.eval()
    trained = zero = 0.
    pixels = 0
    for index in range(len(source.dataset)):
        pairs = source.pairs(index)
        count = int(pairs.valid.sum())
        flow = spynet(pairs.first, pairs.second)
        trained += count * end_point_error(flow, pairs.flow,
                                           pairs.valid).item()
        zero += count * end_point_error(0 * pairs.flow, pairs.flow,
                                        pairs.valid).item()
        pixels += count
    if not pixels:
        raise ValueError('No pixel of the head is seen in two neighbouring '
                         'frames of any clip. Use more clips.')
    return FlowErrors(trained / pixels, zero / pixels, pixels)


def save_spynet(spynet: nn.Module, path: str | os.PathLike) -> Path:
    """Write weights that ``TemporalResNet(spynet_pretrained=...)`` reads.

    Raises:
        ValueError: If the folder cannot be made or written to.
    """
    path = Path(path).expanduser()
    path = writable_dir(path.parent) / path.name
    with atomic_path(path) as part:
        torch.save({'state_dict': spynet.state_dict()}, part)
    return path
