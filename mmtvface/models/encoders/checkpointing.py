# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Activation checkpointing of parts of an encoder."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mmtvface.utils.host_memory import return_large_blocks


class UnchangedStatistics:
    """Keeps running statistics as they are during a second forward pass.

    Activation checkpointing runs a part of the network again in the backward
    pass; its batch-norm layers must not count the same batch twice.

    Args:
        module: The module whose norm layers are held.
    """

    def __init__(self, module: nn.Module) -> None:
        self.norms = [
            m for m in module.modules()
            if isinstance(m, _BatchNorm) and m.track_running_stats
        ]

    def __enter__(self) -> None:
        self.saved = [(norm.momentum, norm.num_batches_tracked.clone())
                      for norm in self.norms]
        for norm in self.norms:
            norm.momentum = 0.0

    def __exit__(self, *_: object) -> None:
        for norm, (momentum, count) in zip(
                self.norms, self.saved, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)


def checkpointed(module: nn.Module, function: Callable[..., torch.Tensor],
                 *args: Any) -> torch.Tensor:
    """Call a function whose activations are computed again when needed.

    The second run ends at the last activation that the backward pass needs,
    so a convolution at the end is not repeated. Random numbers are not
    replayed: nothing in the encoders draws any.

    Args:
        module: Whose norm layers the function runs; they count a batch once.
        function: To run.
        *args: Its arguments.

    Returns:
        What the function returns; gradients are those without
        checkpointing. Without gradients the function is just called.
    """
    if not torch.is_grad_enabled():
        return function(*args)
    weight = next(module.parameters(), None)
    if weight is not None and weight.device.type == 'cpu':
        return_large_blocks()
    return checkpoint(
        function, *args, use_reentrant=False, preserve_rng_state=False,
        context_fn=lambda: (contextlib.nullcontext(),
                            UnchangedStatistics(module)))


def run_blocks(blocks: nn.Sequential, x: torch.Tensor,
               with_cp: bool) -> torch.Tensor:
    """Run layers in turn; only their inputs are kept ``with_cp``.

    Layers without children (a convolution, an activation) keep nothing but
    their input anyway and run as they are; nested ``Sequential`` are entered.
    """
    if not with_cp:
        return blocks(x)
    for block in blocks:
        if isinstance(block, nn.Sequential):
            x = run_blocks(block, x, with_cp)
        elif next(block.children(), None) is None:
            x = block(x)
        else:
            x = checkpointed(block, block, x)
    return x
