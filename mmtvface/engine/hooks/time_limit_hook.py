# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Ends a training after a given time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from mmengine.dist import broadcast, get_world_size, is_main_process
from mmengine.hooks import Hook

from mmtvface.registry import HOOKS

if TYPE_CHECKING:
    # It imports all of sharded training; models are run without it.
    from mmengine.runner import BaseLoop, Runner


def _has_epochs(loop: BaseLoop) -> bool:
    from mmengine.runner import EpochBasedTrainLoop
    return isinstance(loop, EpochBasedTrainLoop)


@HOOKS.register_module()
class TimeLimitHook(Hook):
    """Stop a training after some minutes and keep its state.

    The last iteration is written to a checkpoint even if the checkpoint
    hook's interval does not hit it, so that resuming loses nothing. An
    epoch-based training, which can only be resumed between two epochs,
    finishes the epoch first. The clock of the first process decides for all.

    Args:
        minutes: The limit, measured from the first iteration of this run.
        interval: Iterations between two looks at the clock where several
            processes have to agree; a single one looks every time.

    Raises:
        ValueError: If a number is not positive.
    """

    # After the checkpoint and scheduler hooks of the same iteration.
    priority = 'LOWEST'

    def __init__(self, minutes: float, interval: int = 5) -> None:
        if minutes <= 0 or interval <= 0:
            raise ValueError(
                'minutes and interval must be positive, but they are '
                f'{minutes} and {interval}.')
        self.seconds = minutes * 60
        self.interval = interval

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self._begin = time.monotonic()

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Look at the clock; when the time is over, save and stop."""
        loop = runner.train_loop
        if (loop.stop_training or self.is_last_train_iter(runner)
                or not self._is_over(runner)):
            return
        loop.stop_training = True
        if not _has_epochs(loop):
            self._save(runner, 'iteration', runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Save the epoch in which the time was over."""
        loop = runner.train_loop
        if _has_epochs(loop) and loop.stop_training:
            self._save(runner, 'epoch', runner.epoch + 1)

    def _save(self, runner: Runner, unit: str, number: int) -> None:
        by_epoch = unit == 'epoch'
        name = f'{"epoch" if by_epoch else "iter"}_{number}.pth'
        runner.save_checkpoint(runner.work_dir, name, by_epoch=by_epoch)
        if is_main_process():
            folder = Path(runner.work_dir)
            (folder / 'last_checkpoint').write_text(str(folder / name))
        runner.logger.info(
            f'Stopped after {unit} {number}: the time limit of '
            f'{self.seconds / 60:.1f} minutes is reached.')

    def _is_over(self, runner: Runner) -> bool:
        """What the clock of the first process says, the same in all."""
        over = time.monotonic() - self._begin >= self.seconds
        if get_world_size() == 1:
            return over
        if not self.every_n_train_iters(runner, self.interval):
            return False
        device = next(runner.model.parameters()).device
        decision = torch.tensor(float(over), device=device)
        broadcast(decision)
        return bool(decision.item())
