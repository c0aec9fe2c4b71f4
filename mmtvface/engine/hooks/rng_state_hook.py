# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Random states in checkpoints, for resuming exactly."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mmtvface.registry import HOOKS

if TYPE_CHECKING:
    # It imports all of sharded training; models are run without it.
    from mmengine.runner import Runner

KEY = 'rng_state'


def rng_state() -> dict[str, Any]:
    """States of all global generators of this process, safe to load.

    Returns:
        Tensors and numbers: ``torch``, ``numpy``, ``python`` and, with a GPU,
        ``cuda`` (of the current device).
    """
    name, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    state = dict(
        torch=torch.get_rng_state(),
        numpy=[
            name,
            torch.from_numpy(keys.astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss)
        ],
        python=[version, torch.tensor(internal), gauss_next])
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Set the generators to a state of :func:`rng_state`.

    Args:
        state: Tensors may be on any device.
    """
    torch.set_rng_state(state['torch'].cpu())
    name, keys, position, has_gauss, gauss = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position,
                         has_gauss, gauss))
    version, internal, gauss_next = state['python']
    random.setstate((version, tuple(internal.tolist()), gauss_next))
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


class _ActBefore:
    """Iterator that calls a function once, before its n-th item."""

    def __init__(self, iterator: Iterator, count: int,
                 action: Callable[[], None]) -> None:
        self.iterator = iterator
        self.count = count
        self.action = action

    def __iter__(self) -> _ActBefore:
        return self

    def __next__(self) -> Any:
        if self.count == 0:
            self.action()
        self.count -= 1
        return next(self.iterator)


@HOOKS.register_module()
class RNGStateHook(Hook):
    """Makes a resumed training draw the random numbers of an unbroken one.

    mmengine restores weights, optimiser, schedulers and the order of the
    data; this hook adds the states of the global random generators (dropout,
    exchange of shape codes, augmentation in the main process):

    * they are stored in every checkpoint;
    * an epoch-based training gets them back before it starts the next
      epoch, an iteration-based one after mmengine has skipped the batches
      that were already used, just before the next batch is fetched;
    * validation does not change them, so that it does not matter how often
      one validates.

    Limits: an epoch-based training must be resumed from the end of an epoch.
    Checkpoints hold the state of the first process. Processes that share a
    seed (mmengine's default) continue exactly; with ``diff_rank_seed=True``
    the others get new random numbers.
    """

    # Before hooks that might draw.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None
        self._outside_validation: dict[str, Any] | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the states, those before validation during validation."""
        checkpoint[KEY] = self._outside_validation or rng_state()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the states until training starts."""
        self._loaded = checkpoint.get(KEY)

    def before_train_epoch(self, runner: Runner) -> None:
        """Restore the states if this is the start of a resumed training."""
        state, self._loaded = self._loaded, None
        # Weights that were only loaded (load_from) start a new training.
        if state is None or runner.iter == 0:
            return

        def restore() -> None:
            set_rng_state(state)
            randomness = runner.cfg.get('randomness') or {}
            if get_rank() > 0 and randomness.get('diff_rank_seed'):
                digest = zlib.crc32(state['torch'].cpu().numpy().tobytes())
                seed = (digest + get_rank()) % 2**32
                torch.manual_seed(seed)
                np.random.seed(seed)
                random.seed(seed)

        loop = runner.train_loop
        if hasattr(loop, 'dataloader_iterator'):
            loop.dataloader_iterator = _ActBefore(loop.dataloader_iterator,
                                                  runner.iter, restore)
        else:
            restore()

    def before_val(self, runner: Runner) -> None:
        """Remember the states."""
        self._outside_validation = rng_state()

    def after_val(self, runner: Runner) -> None:
        """Set the states as if there had been no validation."""
        if self._outside_validation is not None:
            set_rng_state(self._outside_validation)
        self._outside_validation = None
