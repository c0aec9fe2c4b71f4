# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Optimizers that only see what is trained."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from mmtvface.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TrainableParametersConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor without frozen parameters.

    The default one hands all parameters to the optimizer; those without
    gradient are stored in its groups and in checkpoints. Here parameters with
    ``requires_grad=False`` and groups that they leave empty are left out.
    All options of ``paramwise_cfg`` work as before.

    A checkpoint can only be resumed with the constructor that it was trained
    with, as the groups differ in length where something is frozen.

    Args:
        optim_wrapper_cfg: See mmengine.
        paramwise_cfg: See mmengine.
    """

    def add_params(self, params: list[dict], module: nn.Module,
                   *args: Any, **kwargs: Any) -> None:
        """Add the groups of a module unless all of it is frozen.

        mmengine warns of every single frozen parameter.
        """
        if any(p.requires_grad for p in module.parameters()):
            super().add_params(params, module, *args, **kwargs)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper.

        Args:
            model: The model, possibly wrapped for distributed training.

        Raises:
            ValueError: If all parameters are frozen.
        """
        if not any(p.requires_grad for p in model.parameters()):
            raise ValueError(
                f'{type(self).__name__}: all parameters of the model are '
                'frozen, there is nothing to train.')
        wrapper = super().__call__(model)
        optimizer = wrapper.optimizer
        for group in optimizer.param_groups:
            for parameter in group['params']:
                if not parameter.requires_grad:
                    # Some optimizers make states at construction.
                    optimizer.state.pop(parameter, None)
            group['params'] = [p for p in group['params'] if p.requires_grad]
        optimizer.param_groups[:] = [
            group for group in optimizer.param_groups if group['params']
        ]
        return wrapper
