# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Optical flow between neighbouring frames of clips."""

import torch
from torch import nn

from mmtvface.utils.host_sync import may_synchronize

Flows = tuple[torch.Tensor, torch.Tensor]
# Image pairs per call of a frozen network: bounds the memory of long clips.
FLOW_BATCH = 64


def is_mirror_extended(frames: torch.Tensor) -> bool:
    """Whether the second half of (n, t, ...) mirrors the first in time."""
    t = frames.shape[1]
    return t % 2 == 0 and torch.equal(frames[:, :t // 2],
                                      frames[:, t // 2:].flip(1))


def estimate_flows(spynet: nn.Module, frames: torch.Tensor) -> Flows:
    """Flows between neighbouring frames, both ways, in one batch.

    Mirror-extended clips need half the work, as their forward flows are
    their backward flows reversed; that is looked at in every call (not on a
    GPU, where the answer would have to be waited for).

    Args:
        spynet: (B, 3, h, w), (B, 3, h, w) -> (B, 2, h, w) pixels (x, y) from
            the first to the second. No gradients flow if it is frozen.
        frames: (n, t, 3, h, w) RGB in [0, 1], t >= 2.

    Returns:
        Forward flows (n, t-1, 2, h, w), from frame i+1 to i, and backward
        flows (n, t-1, 2, h, w), from frame i to i+1.
    """
    n, t = frames.shape[:2]
    earlier = frames[:, :-1].flatten(0, 1)
    later = frames[:, 1:].flatten(0, 1)
    frozen = not any(p.requires_grad for p in spynet.parameters())
    mirrored = (may_synchronize(frames.device)
                and is_mirror_extended(frames))
    if not mirrored:
        earlier, later = (torch.cat([earlier, later]),
                          torch.cat([later, earlier]))
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen), \
            torch.autocast(frames.device.type, enabled=False):
        size = FLOW_BATCH if frozen else len(earlier)
        flows = torch.cat([
            spynet(first, second) for first, second in zip(
                earlier.split(size), later.split(size), strict=True)
        ])
    backward = flows[:n * (t - 1)].unflatten(0, (n, t - 1))
    if mirrored:
        return backward.flip(1), backward
    return flows[n * (t - 1):].unflatten(0, (n, t - 1)), backward
