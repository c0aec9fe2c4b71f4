# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Resuming checkpoints without running code from them.

torch.load refuses everything but tensors and plain containers unless it is
told of further harmless types: here those of NumPy arrays and numbers. Two
things in mmengine's training checkpoints can never be loaded safely, as they
hold functions: the history of logged values and the state of some parameter
schedulers. They are stored in a plain form instead.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version

# Kinds of numbers that are logged: bool, integers and floats.
_DTYPES = ('?', 'i1', 'u1', 'i2', 'i4', 'u4', 'i8', 'u8', 'f2', 'f4', 'f8')


def checkpoint_globals() -> list[Any]:
    """Types and functions that pickled NumPy arrays and numbers name.

    Returns:
        The first two are functions of NumPy, the others types. All of them
        only build arrays and numbers.
    """
    reconstruct = np.ndarray(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    dtypes = {type(np.dtype(kind)) for kind in _DTYPES} - {np.dtype}
    return [reconstruct, scalar, np.ndarray, np.dtype, *dtypes]


def allow_safe_globals() -> bool:
    """Tell torch.load of the harmless types in training checkpoints.

    Returns:
        Whether this version of torch keeps such a list; versions before 2.4
        do not and load in their own way.
    """
    register = getattr(torch.serialization, 'add_safe_globals', None)
    if register is None:
        return False
    entries = checkpoint_globals()
    if digit_version(torch.__version__) >= digit_version('2.6'):
        # Files name these functions by the home they had in the NumPy that
        # wrote them, 1 or 2.
        entries += [(function, f'numpy.{home}.multiarray.{function.__name__}')
                    for function in entries[:2] for home in ('core', '_core')]
    register(entries)
    return True


def strip_callables(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict without functions and methods.

    mmengine's parameter schedulers put their whole ``__dict__`` into it,
    some with a method inside (``OneCycleLR``), which a safe load
    refuses. The scheduler that is resumed has its own methods.

    Args:
        state: State of one scheduler.

    Returns:
        A new dict.
    """
    return {key: value for key, value in state.items() if not callable(value)}


def plain_history(history: HistoryBuffer) -> dict[str, Any]:
    """A history of logged values as tensors.

    mmengine pickles the history together with the functions that
    summarise it.

    Args:
        history: Values and how often each counts.

    Returns:
        ``values``, ``counts`` (k,) and ``max_length``.
    """
    values, counts = history.data
    return dict(
        values=torch.from_numpy(np.array(values, np.float64)),
        counts=torch.from_numpy(np.array(counts, np.float64)),
        max_length=history.max_length)


def restore_history(plain: Mapping[str, Any]) -> HistoryBuffer:
    """Inverse of :func:`plain_history`.

    Args:
        plain: Tensors may be on any device.
    """
    return HistoryBuffer(plain['values'].cpu().numpy(),
                         plain['counts'].cpu().numpy(), plain['max_length'])
