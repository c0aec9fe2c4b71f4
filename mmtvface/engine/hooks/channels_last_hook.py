# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Stores the weights of convolutions channels last."""

from collections.abc import Sequence

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmtvface.registry import HOOKS


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
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        for name in self.parts:
            try:
                part = model.get_submodule(name)
            except AttributeError as error:
                raise ValueError(
                    f"ChannelsLastHook: the model has no part '{name}'; its "
                    f'parts are {[n for n, _ in model.named_children()]}.'
                ) from error
            part.to(memory_format=torch.channels_last)
