# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Random draws of a dataset that do not depend on workers or on resuming."""

import numpy as np
import torch
from torch.utils.data import get_worker_info

UNSET = -1


class ClipRandomness:
    """Gives a NumPy generator per fetched item.

    The draws depend on the seed, the epoch and the index alone once an epoch
    was set (:class:`mmtvface.datasets.EpochSampler` does it): the number of
    workers, their order and interrupting the training change nothing.

    While no epoch was set (iteration-based training), they depend on how
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
        epoch = int(self.epoch)
        if epoch != UNSET:
            return np.random.default_rng([1, self.seed, epoch, index])
        visit = self._visits.get(index, 0)
        self._visits[index] = visit + 1
        worker = get_worker_info()
        loader = worker.seed - worker.id if worker else 0
        return np.random.default_rng([2, self.seed, loader, visit, index])
