# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Samplers of clips."""

from collections.abc import Iterator
from typing import Any

from mmengine.dataset import DefaultSampler

from mmtvface.registry import DATA_SAMPLERS


def _with_epoch(dataset: Any) -> Iterator[Any]:
    """The dataset, or those inside a wrapper, that know epochs."""
    if hasattr(dataset, 'set_epoch'):
        yield dataset
        return
    inner = getattr(dataset, 'datasets', None)
    if inner is None:
        inner = [dataset.dataset] if hasattr(dataset, 'dataset') else []
    for part in inner:
        yield from _with_epoch(part)


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """mmengine's default sampler that also tells the dataset the epoch.

    Random crops and colours are then a function of (seed, epoch, index), so
    that an epoch-based training that was interrupted and resumed sees
    exactly what an uninterrupted one sees. The arguments are those of
    ``mmengine.dataset.DefaultSampler``.
    """

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the sampler and of the dataset(s)."""
        super().set_epoch(epoch)
        for dataset in _with_epoch(self.dataset):
            dataset.set_epoch(epoch)
