# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Stores the weights of convolutions channels last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from mmtvface.registry import HOOKS

if TYPE_CHECKING:
    # It imports all of sharded training; models are run without it.
    from mmengine.runner import Runner


def model_part(model: nn.Module, name: str, hook: Hook) -> nn.Module:
    """A submodule of a model, which may be wrapped for several GPUs.

    Args:
        model: The model of a runner.
        name: Dotted name of the submodule.
        hook: Who asks, for the message.

    Raises:
        ValueError: If there is no such part.
    """
    if is_model_wrapper(model):
        model = model.module
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise ValueError(
            f"{type(hook).__name__}: the model has no part '{name}'; its "
            f'parts are {[n for n, _ in model.named_children()]}.') from error


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Lets convolutions work on channels-last maps, as tensor cores do.

    Where the weight of a convolution is stored channels last, PyTorch's
    result is, too, so only the weights of the parts are changed. Shapes,
    state dicts and results (but for rounding) stay the same.

    Args:
        parts: Names of submodules of the model.

    Raises:
        ValueError: At the start of the run, if the model lacks a part.
    """

    def __init__(self, parts: Sequence[str] = ('encoder', )) -> None:
        self.parts = tuple(parts)

    def before_run(self, runner: Runner) -> None:
        """Change the weights' layout."""
        for name in self.parts:
            model_part(runner.model, name, self).to(
                memory_format=torch.channels_last)
