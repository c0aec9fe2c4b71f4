# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Work on a GPU without waiting for it.

A GPU works through a queue. Whoever asks for a number of it (``.item()``, a
boolean index, ``nonzero``) or copies from ordinary memory to it waits until
the queue is empty, and the GPU is idle until the queue is filled again. On a
CPU the same questions cost nothing, and answers help to say what is wrong
with the input. So code asks :func:`may_synchronize` first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import torch

_FORBIDDEN: ContextVar[bool] = ContextVar('_FORBIDDEN', default=False)


def may_synchronize(device: torch.device) -> bool:
    """Whether values on a device may be read at once."""
    return device.type == 'cpu' and not _FORBIDDEN.get()


@contextmanager
def asynchronous() -> Iterator[None]:
    """Treat every device as one to be left alone (for tests on a CPU)."""
    token = _FORBIDDEN.set(True)
    try:
        yield
    finally:
        _FORBIDDEN.reset(token)


def constant(values: Sequence, like: torch.Tensor) -> torch.Tensor:
    """Constants as a tensor, copied to a GPU once only.

    Args:
        values: Numbers, or sequences of them.
        like: Gives the data type and the device.

    Returns:
        A tensor that must not be changed: others have it too.
    """
    if may_synchronize(like.device):
        return like.new_tensor(values)
    return _constant(_frozen(values), like.dtype, like.device)


def _frozen(values: Sequence | float) -> tuple | float:
    if isinstance(values, Sequence):
        return tuple(map(_frozen, values))
    return values


@lru_cache(maxsize=256)
def _constant(values: tuple, dtype: torch.dtype,
              device: torch.device) -> torch.Tensor:
    # Not an inference tensor: a training step may meet it later.
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


def upload(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a small CPU tensor to a device without waiting for it.

    From ordinary memory a GPU's copy begins when all work before it is done,
    and the host waits for it.
    """
    if device.type == 'cuda':
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


class HostCopy:
    """A copy of a small tensor in host memory, without waiting for it.

    Args:
        values: To be copied, as they are when the device gets there.
    """

    def __init__(self, values: torch.Tensor) -> None:
        self._done = None
        if values.device.type != 'cuda':
            self._values = values.detach().clone()
            return
        self._values = torch.empty(
            values.shape, dtype=values.dtype, pin_memory=True)
        self._values.copy_(values.detach(), non_blocking=True)
        self._done = torch.cuda.Event()
        self._done.record(torch.cuda.current_stream(values.device))

    def tolist(self) -> list:
        """The values; waits for this copy only, not for what came later."""
        if self._done is not None:
            self._done.synchronize()
        return self._values.tolist()
