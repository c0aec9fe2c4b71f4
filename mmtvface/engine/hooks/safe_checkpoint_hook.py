# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Checkpoints that can be resumed safely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer

from mmtvface.registry import HOOKS
from mmtvface.utils.safe_torch import allow_safe_globals

from ..safe_resume import plain_history, restore_history, strip_callables

if TYPE_CHECKING:
    # It imports all of sharded training; models are run without it.
    from mmengine.runner import Runner


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Makes mmengine's checkpoints loadable with ``weights_only=True``.

    On construction it declares the harmless types in checkpoints to torch
    (see :func:`allow_safe_globals`), so that ``resume=True`` works with torch
    2.6 and later. When a checkpoint is saved, logged histories become tensors
    and methods leave the states of the parameter schedulers; when it is
    loaded, the histories are restored. A training without this hook can
    resume such checkpoints too, mmengine then leaves out the histories.
    """

    # Behind hooks that add to the checkpoint.
    priority = 'LOWEST'

    def __init__(self) -> None:
        allow_safe_globals()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replace what a safe load would refuse."""
        hub = dict(checkpoint.get('message_hub', {}))
        if 'log_scalars' in hub:
            hub['log_scalars'] = {
                name: plain_history(value)
                if isinstance(value, HistoryBuffer) else value
                for name, value in hub['log_scalars'].items()
            }
            checkpoint['message_hub'] = hub
        states = checkpoint.get('param_schedulers')
        if isinstance(states, dict):
            checkpoint['param_schedulers'] = {
                name: [strip_callables(state) for state in group]
                for name, group in states.items()
            }
        elif states is not None:
            checkpoint['param_schedulers'] = [
                strip_callables(state) for state in states
            ]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore the histories."""
        hub = dict(checkpoint.get('message_hub', {}))
        if 'log_scalars' in hub:
            hub['log_scalars'] = {
                name: restore_history(value)
                if isinstance(value, Mapping) else value
                for name, value in hub['log_scalars'].items()
            }
            checkpoint['message_hub'] = hub
