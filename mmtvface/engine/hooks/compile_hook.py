# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Compiles parts of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmengine.hooks import Hook

from mmtvface.registry import HOOKS

from .channels_last_hook import model_part

if TYPE_CHECKING:
    # It imports all of sharded training; models are run without it.
    from mmengine.runner import Runner


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile parts of the model with ``torch.compile`` for the training.

    mmengine's own ``compile`` setting compiles the whole model, which falls
    into dozens of graphs at the losses and the renderer. A single-frame
    encoder is one graph. Names in checkpoints stay as they are. Only calls
    of the parts themselves are compiled, so ``encoder`` has no effect in the
    detail stage, which calls its steps one by one.

    Args:
        parts: Names of submodules of the model.
        **options: Of ``torch.compile``, for example ``mode`` or ``backend``.

    Raises:
        ValueError: At the start of the run, if the model lacks a part.
    """

    def __init__(self, parts: Sequence[str] = ('encoder', ),
                 **options: Any) -> None:
        self.parts = tuple(parts)
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Mark the parts; they are compiled when first called."""
        for name in self.parts:
            model_part(runner.model, name, self).compile(**self.options)
