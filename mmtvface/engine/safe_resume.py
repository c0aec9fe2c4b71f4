# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Resuming checkpoints without running code from them.

:func:`mmtvface.utils.safe_torch.allow_safe_globals` names what is harmless.
Two things in mmengine's training checkpoints can never be loaded safely, as
they hold functions: the history of logged values and the state of some
parameter schedulers. They are stored in a plain form instead.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer


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
