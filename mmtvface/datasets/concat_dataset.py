# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Several data sets as one, mixed by weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.dataset import ConcatDataset as _ConcatDataset

from mmtvface.registry import DATASETS

from .randomness import DrawnIndex


@DATASETS.register_module()
class ConcatDataset(_ConcatDataset):
    """mmengine's concatenation of data sets, with weights.

    The weights are shares of the drawn clips, whatever the sizes of the data
    sets are. :class:`mmtvface.datasets.BalancedClipSampler` honours them;
    mmengine's samplers know no weights and draw every item alike.

    Args:
        datasets: Configs or data sets.
        weights: One number > 0 for each; they need not sum to 1. None
            weighs by the number of items.
        **kwargs: lazy_init of mmengine's class.

    Raises:
        ValueError: If the weights are no positive numbers, one for each data
            set.
    """

    def __init__(self, datasets: Sequence[BaseDataset | dict],
                 weights: Sequence[float] | None = None,
                 **kwargs: Any):
        if not datasets:
            raise ValueError('ConcatDataset needs at least one data set.')
        if weights is not None and (
                len(weights) != len(datasets)
                or not np.isfinite(weights).all() or min(weights) <= 0):
            raise ValueError(
                'weights must be one positive number for each of the '
                f'{len(datasets)} data sets, but they are {list(weights)}.')
        self.weights = None if weights is None else [
            float(weight) for weight in weights]
        super().__init__(
            # Built here: mmengine's registry finds no types of this scope
            # where no default scope is set.
            [DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
             for dataset in datasets], ignore_keys='dataset_type', **kwargs)

    def shares(self) -> np.ndarray:
        """Share of each data set among the drawn clips.

        Returns:
            (D,) float64 that sum to 1.
        """
        weights = np.asarray(self.weights or [
            len(dataset) for dataset in self.datasets], np.float64)
        return weights / weights.sum()

    def __getitem__(self, idx: int) -> dict:
        """An item; the number of the draw goes on to its data set."""
        if not isinstance(idx, DrawnIndex):
            return super().__getitem__(idx)
        which, inner = self._get_ori_dataset_idx(idx)
        return self.datasets[which][idx.moved(int(inner))]
