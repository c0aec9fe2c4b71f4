# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Resume the order of the data without loading what was used before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mmengine.hooks import Hook

from mmtvface.registry import HOOKS

if TYPE_CHECKING:
    # It imports all of sharded training; models are run without it.
    from mmengine.runner import Runner


class _Skipped:
    """Batches of a data loader after a number of empty ones."""

    def __init__(self, loader: Any, count: int) -> None:
        # At once: it draws a number from the global generator, whose state
        # RNGStateHook restores after the empty ones.
        self.iterator: Iterator = iter(loader)
        self.count = count

    def __iter__(self) -> _Skipped:
        return self

    def __next__(self) -> Any:
        if self.count > 0:
            self.count -= 1
            return None
        return next(self.iterator)


@HOOKS.register_module()
class SamplerPositionHook(Hook):
    """Puts an endless sampler at its place when resuming.

    mmengine resumes an iteration-based training by loading all batches that
    were used before, which takes as long as they took to load. A sampler
    whose draws are counted (``BalancedClipSampler``; known by ``endless`` and
    ``set_position``) is set to its place instead. Nothing happens with other
    samplers, in epoch-based training and in a new one.
    """

    # Before RNGStateHook, which puts its own iterator around this one.
    priority = 'HIGHEST'

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the position if the training was resumed."""
        loop = runner.train_loop
        if runner.iter == 0 or not hasattr(loop, 'dataloader_iterator'):
            return
        loader = loop.dataloader
        sampler = getattr(loader, 'sampler', None)
        if not getattr(sampler, 'endless', False) or not loader.batch_size:
            return
        sampler.set_position(runner.iter * loader.batch_size)
        # The old iterator holds batches from the beginning: its workers end
        # when it goes.
        loop.dataloader_iterator = None
        loader._iterator = None
        loop.dataloader_iterator = _Skipped(loader, runner.iter)
        runner.logger.info(f'Resumed the order of the data at iteration '
                           f'{runner.iter} without loading it again.')
