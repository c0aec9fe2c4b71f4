# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reads the losses of many steps at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from mmengine.hooks import RuntimeInfoHook

from mmtvface.registry import HOOKS

if TYPE_CHECKING:
    # It imports all of sharded training; models are run without it.
    from mmengine.runner import Runner


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's hook, without a wait for the GPU for each logged value.

    The losses of each step stay on the device and are read together. Logs
    show the same numbers if the interval divides theirs and the training
    counts iterations (mmengine's logs of epochs count from each epoch on).
    In the configuration: ``default_hooks=dict(runtime_info=dict(
    type='DeferredRuntimeInfoHook', interval=100))``.

    Args:
        interval: Iterations between two readings; that of the logger hook or
            a divisor of it.

    Raises:
        ValueError: If the interval is not positive.
    """

    def __init__(self, interval: int = 100) -> None:
        if interval < 1:
            raise ValueError('interval must be at least 1, but it is '
                             f'{interval}.')
        self.interval = interval
        self._waiting: list[dict[str, torch.Tensor | float]] = []

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Keep the losses; read them if it is time."""
        self._waiting.append({
            key: value.detach() if isinstance(value, torch.Tensor) else value
            for key, value in (outputs or {}).items()})
        if self.every_n_train_iters(
                runner, self.interval) or self.is_last_train_iter(runner):
            self._read(runner)

    def after_train(self, runner: Runner) -> None:
        """Read what a training that was stopped has left."""
        self._read(runner)
        super().after_train(runner)

    def _read(self, runner: Runner) -> None:
        steps, self._waiting = self._waiting, []
        tensors = [value.float().mean() for step in steps
                   for value in step.values()
                   if isinstance(value, torch.Tensor)]
        numbers = iter(torch.stack(tensors).tolist() if tensors else [])
        for step in steps:
            for key, value in step.items():
                if isinstance(value, torch.Tensor):
                    value = next(numbers)
                runner.message_hub.update_scalar(f'train/{key}', value)
