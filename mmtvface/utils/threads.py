# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Threads for work that releases the GIL."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar('T')
_END = object()


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


def prefetch(items: Iterable[T], depth: int,
             on_stop: Callable[[], None] = lambda: None) -> Iterator[T]:
    """Iterate in a thread of its own, a few items ahead.

    The thread ends when the items do, or when the caller stops (closes or
    drops the generator) and the item that is being made is done; the caller
    waits for that.

    Args:
        items: What to iterate; only the thread touches it.
        depth: Items that may wait, which bounds the memory.
        on_stop: Called when the caller stops, before it waits: it may tell
            what makes the item to give up.

    Yields:
        The items in order.

    Raises:
        BaseException: What ``items`` raised, after the items before it.
    """
    waiting: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[object, object]) -> bool:
        while not stop.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        error: object = None
        try:
            try:
                for item in items:
                    if not put((item, None)):
                        break
            finally:
                if hasattr(items, 'close'):
                    items.close()
        except BaseException as problem:  # handed to the caller
            error = problem
        put((_END, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if item is _END:
                if error is not None:
                    raise error
                return
            yield item
    finally:
        stop.set()
        on_stop()
        thread.join()
