# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Training under bfloat16 autocast."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmtvface.registry import OPTIM_WRAPPERS
from mmtvface.utils.host_sync import HostCopy, may_synchronize


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Runs the encoders in bfloat16; weights and gradients are float32.

    Heads, geometry, camera, rendering and losses leave autocast by
    themselves and stay in float32.

    bfloat16 has the range of float32, so losses need no scaling. mmengine's
    ``AmpOptimWrapper(dtype='bfloat16')`` gives the same numbers, but its
    gradient scaler makes the host wait for the GPU in each step; and it only
    exists on GPUs. The norm of clipped gradients appears in the log a
    step later where reading it at once would be such a wait.
    """

    _last_norm: HostCopy | None = None

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast on the device of the model, and what mmengine does."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(
                device, torch.bfloat16):
            yield

    def _clip_grad(self) -> None:
        parameters = [
            parameter for group in self.optimizer.param_groups
            for parameter in group['params']
            if parameter.requires_grad and parameter.grad is not None
        ]
        if not parameters:
            return
        norm = self.clip_func(parameters, **self.clip_grad_kwargs)
        if norm is None:
            return
        norm, device = HostCopy(norm), norm.device
        shown = norm
        if not may_synchronize(device):
            shown, self._last_norm = self._last_norm, norm
        if shown is not None:
            self.message_hub.update_scalar(
                'train/grad_norm', shown.tolist())
