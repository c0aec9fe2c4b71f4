# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Keep other processes away from a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def file_lock(path: str | os.PathLike, wait: bool = False) -> Iterator[None]:
    """Hold a lock file; the system frees it when the process ends, anyhow.

    Args:
        path: The lock file, made if needed; its folder must exist.
        wait: Until another process has let go of it.

    Raises:
        BlockingIOError: If another process holds it and ``wait`` is false.
    """
    with open(path, 'w', encoding='utf-8') as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
