# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""An endless sampler that is fair to data sets, people and clips."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmtvface.registry import DATA_SAMPLERS

from .randomness import DrawnIndex

_BLOCK = 4096  # draws of the data set that are made at once
BALANCES = ('identity', 'clip', 'window')


class _Groups:
    """Items of one data set by identity and clip.

    Args:
        people: (N,) number of the identity of every item.
        clips: (N,) number of its clip.
        seed: Seeds of this data set's orders.
    """

    def __init__(self, people: np.ndarray, clips: np.ndarray,
                 seed: tuple[int, ...]):
        self.seed = seed
        # Items sorted by (person, clip); where each person's clips and each
        # clip's items start.
        self.order = np.lexsort((np.arange(len(clips)), clips, people))
        keys = np.stack([people[self.order], clips[self.order]], 1)
        new_clip = np.r_[True, (keys[1:] != keys[:-1]).any(1)]
        self.clip_starts = np.r_[np.flatnonzero(new_clip), len(keys)]
        owners = keys[self.clip_starts[:-1], 0]
        new_person = np.r_[True, owners[1:] != owners[:-1]]
        self.person_starts = np.r_[np.flatnonzero(new_person), len(owners)]
        self._round: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def item(self, count: int) -> int:
        """Item of the draw number ``count`` from this data set.

        Each round visits every person once, in a new order. The n-th visit
        of a person takes the n-th clip of an order of its own, and the m-th
        visit of a clip the m-th window of an order of its own.
        """
        number, place = divmod(count, len(self.person_starts) - 1)
        if self._round[0] != number:
            rng = np.random.default_rng([*self.seed, 0, number])
            self._round = number, rng.permutation(len(self.person_starts) - 1)
        person = int(self._round[1][place])
        first, end = self.person_starts[person:person + 2].tolist()
        visits, clip = _visit(number, end - first, [*self.seed, 1, person])
        clip += first
        first, end = self.clip_starts[clip:clip + 2].tolist()
        item = _visit(visits, end - first, [*self.seed, 2, clip])[1]
        return int(self.order[first + item])


def _visit(number: int, size: int, seed: list[int]) -> tuple[int, int]:
    """Member that the visit ``number`` of a group takes.

    Every member comes once in each round of ``size`` visits: from a random
    start, in steps of about the golden ratio that are coprime to the size. So
    neighbours (overlapping windows) are far apart in time, and no order of a
    long list has to be stored or shuffled.

    Returns:
        The round, and the member in 0..size - 1.
    """
    rounds, place = divmod(number, size)
    if size == 1:
        return rounds, 0
    step = max(1, round(size * .6180339887))
    while math.gcd(step, size) != 1:
        step += 1
    start = int(np.random.default_rng([*seed, rounds]).integers(size))
    return rounds, (start + place * step) % size


def _groups_of(dataset: Any, balance: str, seed: tuple[int, ...]) -> _Groups:
    """Groups of a data set; one that knows none is a set of single items."""
    items = np.arange(len(dataset))
    if balance == 'window' or not hasattr(dataset, 'sampling_groups'):
        return _Groups(items, items, seed)
    people, clips = dataset.sampling_groups()
    return _Groups(clips if balance == 'clip' else people, clips, seed)


@DATA_SAMPLERS.register_module()
class BalancedClipSampler(Sampler):
    """Draws a data set by weight, then a person, a clip and a window.

    Everybody is drawn equally often, however many clips there are of a
    person; so is every clip of a person and every window of a clip. With a
    :class:`mmtvface.datasets.ConcatDataset` the data set is drawn first, by
    its ``weights``.

    The draw number n is a function of the seed and n alone. The processes of
    a distributed training take every ``world_size``-th one, so that a
    training goes on as before after :meth:`set_position`, also with another
    number of processes (and the accordingly changed batch size). The indices
    carry n, and :class:`ClipRandomness` makes augmentations a function of it.
    With ``SamplerPositionHook`` (a part of the default runtime) a resumed
    training starts at its place at once instead of loading all earlier
    batches.

    Args:
        dataset: The data set, or a ``ConcatDataset``.
        seed: Seed; None takes one that all processes share.
        balance: 'identity', 'clip' (every clip equally often) or 'window'.
        epoch_length: Items of all processes in an epoch, for epoch-based
            training; None never ends.

    Raises:
        ValueError: If an option is unknown or the data set is empty.
    """

    def __init__(self, dataset: Any, seed: int | None = None,
                 balance: str = 'identity', epoch_length: int | None = None):
        if balance not in BALANCES:
            raise ValueError(f'balance must be one of {BALANCES}, but it is '
                             f"'{balance}'.")
        if epoch_length is not None and epoch_length < 1:
            raise ValueError('epoch_length must be at least 1, but it is '
                             f'{epoch_length}.')
        if len(dataset) == 0:
            raise ValueError('The data set is empty: there is nothing to '
                             'draw.')
        self.rank, self.world_size = get_dist_info()
        self.seed = int(sync_random_seed() if seed is None else seed)
        self.epoch_length = epoch_length
        self.size = len(dataset)
        self.position = 0
        parts, self._offsets = [dataset], [0]
        self._shares = np.ones(1)
        if hasattr(dataset, 'shares'):
            parts = dataset.datasets
            self._offsets = [0, *dataset.cumulative_sizes[:-1]]
            self._shares = dataset.shares()
        self._groups = [_groups_of(part, balance, (self.seed, number))
                        for number, part in enumerate(parts)]

    @property
    def endless(self) -> bool:
        """Whether there are no epochs."""
        return self.epoch_length is None

    def set_position(self, items: int) -> None:
        """Make the next iteration start after so many items.

        Args:
            items: Items that each process has used.
        """
        self.position = int(items)

    def set_epoch(self, epoch: int) -> None:
        """Start at an epoch; nothing if the sampler never ends."""
        if self.epoch_length is not None:
            self.position = epoch * len(self)

    def __len__(self) -> int:
        """Items of this process in an epoch; of the data set if endless."""
        if self.epoch_length is None:
            return self.size
        return math.ceil(self.epoch_length / self.world_size)

    def _chosen(self, block: int) -> np.ndarray:
        """Data sets of the draws in a block, (_BLOCK,)."""
        if len(self._shares) == 1:
            return np.zeros(_BLOCK, np.int64)
        rng = np.random.default_rng([self.seed, block])
        return rng.choice(len(self._shares), _BLOCK, p=self._shares)

    def draws(self, start: int, rank: int = 0, world_size: int = 1
              ) -> Iterator[tuple[int, int]]:
        """Draws of one process from a number on, without end.

        Args:
            start: First number that is looked at.
            rank: Every ``world_size``-th number is yielded, from ``start +
                rank`` on.
            world_size: Number of processes.

        Yields:
            Number of the draw, and index of the item.
        """
        used = np.zeros(len(self._shares), np.int64)
        block, offset = divmod(start, _BLOCK)
        for earlier in range(block if len(used) > 1 else 0):
            used += np.bincount(self._chosen(earlier),
                                minlength=len(used))
        if len(used) == 1:
            used[0] = block * _BLOCK
        while True:
            first = block * _BLOCK
            for place, which in enumerate(self._chosen(block).tolist()):
                number = first + place
                if place >= offset and (
                        number - start) % world_size == rank:
                    yield number, self._offsets[which] + self._groups[
                        which].item(int(used[which]))
                used[which] += 1
            block, offset = block + 1, 0

    def __iter__(self) -> Iterator[DrawnIndex]:
        """Indices of this process."""
        start = self.position * self.world_size
        count = None if self.epoch_length is None else len(self)
        for number, index in islice(
                self.draws(start, self.rank, self.world_size), count):
            yield DrawnIndex(index, number)
