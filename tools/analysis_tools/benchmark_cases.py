# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Cases that the benchmark times."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch


class Case(NamedTuple):
    """Something to time, and the name of the case it is compared with."""

    name: str
    run: Callable[[], Any]
    baseline: str | None = None


def check_same(name: str, ours: torch.Tensor, naive: torch.Tensor,
               tolerance: float) -> None:
    """Refuse to time results that differ.

    Raises:
        RuntimeError: If they differ by more than the tolerance.
    """
    error = (ours.double() - naive.double()).abs().max().item()
    if not error <= tolerance:
        raise RuntimeError(f'{name}: the baseline differs by {error:g}, more '
                           f'than {tolerance:g}.')


def with_gradient(function: Callable[..., torch.Tensor],
                  *inputs: torch.Tensor) -> Callable[[], Any]:
    """The function with a backward pass to all inputs."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    return lambda: torch.autograd.grad(
        function(*inputs).square().mean(), inputs)
