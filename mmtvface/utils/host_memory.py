# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Memory of the process."""

import contextlib
import ctypes
import os
import platform
from functools import cache

#: Blocks from this size on go back to the system when they are freed.
LARGE_BLOCK = 12 << 20
_M_MMAP_THRESHOLD = -3  # malloc.h of glibc


@cache
def return_large_blocks() -> bool:
    """Let freed tensors leave the process, for the rest of its life.

    glibc keeps freed blocks of up to 32 MB for later. Training steps on the
    CPU ask for blocks of a few and of many megabytes in turn, which cut
    these reserves into pieces too small for the next one: a fifth of the
    memory of a full-size step. What is asked for new costs time (pages
    are cleared), so only those who save memory call this. It does nothing
    where the C library is another one, or where ``MALLOC_MMAP_THRESHOLD_``
    is set.

    Returns:
        Whether it is done.
    """
    if (platform.libc_ver()[0] != 'glibc'
            or 'MALLOC_MMAP_THRESHOLD_' in os.environ):
        return False
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD,
                                              LARGE_BLOCK))
    return False
