# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Training of SPyNet on the true motion of SynthTV's heads.

SPyNet: Ranjan & Black, CVPR 2017. Deviations: instead of one level after the
other, all are trained at once; first with common weights, at half the size,
where a step costs a quarter. Heads in video of all grades replace videos of
rendered scenes.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mmtvface.renderers.base import pixel_centers
from mmtvface.utils.atomic import atomic_path, writable_dir
from mmtvface.utils.deps import require_temporal

from .flow_pairs import FlowPairs, FlowPairSource, join_pairs

_TAG = 61


@dataclass(frozen=True)
class FlowTraining:
    """How SPyNet is trained.

    Attributes:
        iters: Steps of the whole network.
        shared_iters: Steps before, of one level in the place of all.
        settle_iters: Steps after, on clips as they are and at half the
            learning rate: the network learns how small motion is, and how
            much to believe bad pictures.
        clips: Clips of a step; each gives all its pairs of neighbours.
        lr: Largest learning rate of Adam; one cycle of a cosine for each of
            the three parts.
        max_shift: Frames of the first part, and of half of the clips of the
            second, are moved by up to so many whole pixels of the dataset.
            Heads hardly move from frame to frame: a network learns sooner
            what to look for where motion is larger.
        smoothness: Weight of the differences between neighbouring pixels'
            flows where the flow is not known.
        seed: Of the weights and the choice of clips.

    Raises:
        ValueError: If a number is out of range.
    """

    iters: int = 500
    shared_iters: int = 500
    settle_iters: int = 250
    clips: int = 4
    lr: float = 1e-3
    max_shift: int = 4
    smoothness: float = .1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (('iters', 1), ('shared_iters', 0),
                            ('settle_iters', 0), ('clips', 1),
                            ('max_shift', 0)):
            if getattr(self, name) < least:
                raise ValueError(f'{name} must be at least {least}, but it '
                                 f'is {getattr(self, name)}.')
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


class Losses(NamedTuple):
    """Scalars of a step: what is minimised, and errors in pixels."""

    total: torch.Tensor
    error: torch.Tensor
    zero: torch.Tensor


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
    require_temporal('SPyNet')
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


def pyramid_flow(levels: Sequence[nn.Module], first: torch.Tensor,
                 second: torch.Tensor, spynet: nn.Module) -> torch.Tensor:
    """SPyNet's flow by other levels, on images of 2**(levels - 1) pixels.

    Args:
        levels: From the coarsest, which sees a single pixel.
        first: (B, 3, h, w) RGB in [0, 1].
        second: (B, 3, h, w).
        spynet: Whose normalisation is used.

    Returns:
        (B, 2, h, w) pixels (x, y).
    """
    pyramid = [torch.cat([(image - spynet.mean) / spynet.std
                          for image in (first, second)], 1)]
    for _ in levels[1:]:
        pyramid.insert(0, F.avg_pool2d(pyramid[0], 2))
    flow = None
    for level, images in zip(levels, pyramid, strict=True):
        if flow is None:
            flow = torch.zeros_like(images[:, :2])
        else:
            flow = 2 * F.interpolate(flow, size=images.shape[-2:],
                                     mode='bilinear', align_corners=True)
        near, far = images.chunk(2, 1)
        flow = flow + level(torch.cat([near, _warp(far, flow), flow], 1))
    return flow


def _warp(images: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Sample (B, C, h, w) at pixel + flow (B, 2, h, w); edges go on."""
    height, width = flow.shape[-2:]
    at = pixel_centers(torch.arange(height * width), height, width).to(flow)
    grid = at.view(height, width, 2) + (
        flow.movedim(1, -1) * 2 / flow.new_tensor([width, height]))
    return F.grid_sample(images, grid, padding_mode='border',
                         align_corners=False)


def train_flow(spynet: nn.Module, source: FlowPairSource, how: FlowTraining,
               tell: Callable[[int, float, float], None] = lambda *_: None
               ) -> None:
    """Train SPyNet in place.

    Args:
        spynet: Of :func:`new_spynet`.
        source: Of the training pairs, of 32 x 32 pixels.
        how: Settings.
        tell: Called after each step of all parts with its number, counted
            from 1, its end-point error in pixels and that of zero flow.
    """
    rng = np.random.default_rng([_TAG, how.seed])
    spynet.train()
    levels = list(spynet.basic_module)
    shared = [levels[0]] * (len(levels) - 1)

    def small_loss() -> Losses:
        pairs = halve(_draw_batch(source, how, rng, 1.))
        return _loss(pyramid_flow(shared, pairs.first, pairs.second, spynet),
                     pairs, how)

    def full_loss(shifted: float) -> Losses:
        pairs = _draw_batch(source, how, rng, shifted)
        return _loss(spynet(pairs.first, pairs.second), pairs, how)

    _optimize(levels[0], small_loss, how.shared_iters, how.lr, tell)
    for level in levels[1:]:
        level.load_state_dict(levels[0].state_dict())
    done = how.shared_iters
    for iters, lr, shifted in ((how.iters, how.lr, .5),
                               (how.settle_iters, how.lr / 2, 0.)):
        _optimize(spynet, partial(full_loss, shifted), iters, lr,
                  partial(_tell_from, tell, done))
        done += iters


def _tell_from(tell: Callable[[int, float, float], None], done: int,
               step: int, *errors: float) -> None:
    tell(done + step, *errors)


def _optimize(module: nn.Module, compute: Callable[[], Losses], iters: int,
              lr: float, tell: Callable[[int, float, float], None]) -> None:
    """Adam with one cycle of a cosine."""
    if not iters:
        return
    optimizer = torch.optim.Adam(module.parameters(), lr=lr)
    # One step has no cycle, and a rise that ends with the first step divides
    # by zero in torch.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=max(iters, 2),
        pct_start=.2 if iters == 10 else .1)
    for step in range(1, iters + 1):
        losses = compute()
        optimizer.zero_grad()
        losses.total.backward()
        # The first steps after zero flow are steep.
        nn.utils.clip_grad_norm_(module.parameters(), 1.)
        optimizer.step()
        schedule.step()
        tell(step, losses.error.item(), losses.zero.item())


def _loss(flow: torch.Tensor, pairs: FlowPairs, how: FlowTraining) -> Losses:
    error = end_point_error(flow, pairs.flow, pairs.valid)
    return Losses(error + how.smoothness * roughness(flow, pairs.valid),
                  error, end_point_error(0 * pairs.flow, pairs.flow,
                                         pairs.valid))


def _draw_batch(source: FlowPairSource, how: FlowTraining,
                rng: np.random.Generator, share: float) -> FlowPairs:
    """Pairs of some clips, a share of them shifted, half of them mirrored."""
    parts = []
    frames = source.dataset.clip_length
    for index in rng.integers(len(source.dataset), size=how.clips):
        shifts = torch.from_numpy(rng.integers(
            -how.max_shift, how.max_shift + 1, (frames, 2)))
        pairs = source.pairs(int(index),
                             shifts if rng.random() < share else None)
        parts.append(mirror(pairs) if rng.random() < .5 else pairs)
    return join_pairs(parts)


def halve(pairs: FlowPairs) -> FlowPairs:
    """Pairs at half the size; known is what all four pixels know."""
    known = F.avg_pool2d(pairs.valid[:, None].float(), 2)[:, 0] == 1
    return FlowPairs(F.avg_pool2d(pairs.first, 2),
                     F.avg_pool2d(pairs.second, 2),
                     F.avg_pool2d(pairs.flow, 2) / 2, known)


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
