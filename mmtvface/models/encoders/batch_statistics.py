# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Running statistics of norm layers under activation checkpointing."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


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
