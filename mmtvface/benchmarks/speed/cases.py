# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Cases that the benchmark times."""

import statistics
import time
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


def measure(cases: list[Case], repeats: int,
            budget: float) -> list[dict[str, Any]]:
    """Time all cases in turn, after one run each to warm up.

    Args:
        cases: Of one section.
        repeats: Rounds; fewer (but two) if the budget is used up.
        budget: Seconds.

    Returns:
        A row per case: milliseconds (median, min, max), rounds, baseline
        and ratio (median over the rounds of baseline / case).
    """
    start = time.perf_counter()
    for case in cases:
        case.run()
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    for done in range(repeats):
        if done >= 2 and time.perf_counter() - start > budget:
            break
        for case in cases:
            begin = time.perf_counter()
            case.run()
            times[case.name].append(1e3 * (time.perf_counter() - begin))
    rows = []
    for case in cases:
        own = times[case.name]
        ratio = case.baseline and statistics.median(
            b / a for a, b in zip(own, times[case.baseline], strict=True))
        rows.append(dict(
            name=case.name, median_ms=statistics.median(own),
            min_ms=min(own), max_ms=max(own), rounds=len(own),
            baseline=case.baseline, ratio=ratio))
    return rows
