# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Threads for compiled functions that release the GIL."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor


def run_in_threads(function: Callable[..., None], tasks: Sequence[tuple],
                   num_threads: int) -> None:
    """Run a function compiled by numba on independent arguments.

    The threads live for one call only (they start in about 0.1 ms), so there
    is no pool that a forked process could inherit half-alive.

    Args:
        function: Compiled with ``nogil=True``.
        tasks: Arguments of each call; no two calls may write the same place.
        num_threads: Calls at a time; 1 runs them in this thread.
    """
    if num_threads == 1 or len(tasks) <= 1:
        for task in tasks:
            function(*task)
        return
    # The first task alone, so that the function is compiled only once.
    if not function.signatures:
        function(*tasks[0])
        tasks = tasks[1:]
    with ThreadPoolExecutor(min(num_threads, len(tasks))) as pool:
        for future in [pool.submit(function, *task) for task in tasks]:
            future.result()
