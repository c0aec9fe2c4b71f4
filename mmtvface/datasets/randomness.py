# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Random draws of a dataset that do not depend on workers or on resuming."""

from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

UNSET = -1


class DrawnIndex(int):
    """Index of an item that knows the number of its draw.

    Samplers that count their draws give these to the dataset, which makes
    the random numbers of an item a function of the count.

    Attributes:
        draw: 0, 1, ... over all processes.
    """

    draw: int

    def __new__(cls, index: int, draw: int) -> 'DrawnIndex':
        """Make an index."""
        self = super().__new__(cls, index)
        self.draw = draw
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the draw on the way to a worker."""
        return DrawnIndex, (int(self), self.draw)

    def moved(self, index: int) -> 'DrawnIndex':
        """Another index of the same draw."""
        return DrawnIndex(index, self.draw)


class ClipRandomness:
    """Gives a NumPy generator per fetched item.

    The draws depend on the seed, the number of the draw and the index alone
    if the sampler counts its draws (:class:`DrawnIndex`,
    :class:`mmtvface.datasets.BalancedClipSampler`), and on the seed, the
    epoch and the index alone once an epoch was set
    (:class:`mmtvface.datasets.EpochSampler` does it): the number of workers,
    their order and interrupting the training change nothing.

    Otherwise (other samplers in iteration-based training), they depend on how
    often this process fetched the index, and in a worker on the base seed of
    its data loader. mmengine fetches the skipped batches again when it
    resumes such a training, so the same number of workers draws the same.

    The epoch lives in shared memory: workers that persist over epochs see
    its changes.

    Args:
        seed: Seed of the dataset.
    """

    def __init__(self, seed: int = 0):
        self.seed = seed
        self.epoch = torch.full((), UNSET, dtype=torch.int64).share_memory_()
        self._visits: dict[int, int] = {}

    def set_epoch(self, epoch: int) -> None:
        """Make the draws those of an epoch (0, 1, ...)."""
        self.epoch.fill_(epoch)

    def generator(self, index: int) -> np.random.Generator:
        """A generator for one fetch of the item ``index``."""
        draw = getattr(index, 'draw', None)
        if draw is not None:
            return np.random.default_rng([3, self.seed, draw, int(index)])
        epoch = int(self.epoch)
        if epoch != UNSET:
            return np.random.default_rng([1, self.seed, epoch, index])
        visit = self._visits.get(index, 0)
        self._visits[index] = visit + 1
        worker = get_worker_info()
        loader = worker.seed - worker.id if worker else 0
        return np.random.default_rng([2, self.seed, loader, visit, index])
