# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Divide clips into train, val and test so that nobody is in two of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..settings import SPLITS, check_ratios


@dataclass(frozen=True)
class SplitItem:
    """A clip as the division sees it.

    Attributes:
        name: Of the clip.
        ties: Names of what it must not be parted from: its video, its person.
        weight: Its frames.
        previous: Split of an earlier division, '' if none.
    """

    name: str
    ties: tuple[str, ...]
    weight: int = 1
    previous: str = ''


def tied_groups(items: Sequence[SplitItem]) -> list[list[int]]:
    """Indices of the items that are tied together, directly or by others.

    Returns:
        The groups, in order of their first item.
    """
    names: dict[str, int] = {}
    edges = [(i, names.setdefault(tie, len(names)))
             for i, item in enumerate(items) for tie in item.ties]
    if not edges:
        return [[i] for i in range(len(items))]
    rows, columns = np.array(edges).T
    size = len(items) + len(names)
    graph = coo_matrix((np.ones(len(rows)), (rows, columns + len(items))),
                       shape=(size, size))
    labels = connected_components(graph, directed=False)[1][:len(items)]
    groups: dict[int, list[int]] = {}
    for index, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(index)
    return list(groups.values())


def assign_splits(items: Sequence[SplitItem], ratios: Mapping[str, float],
                  seed: int = 0) -> list[str]:
    """Give every item a split.

    Groups of tied items stay together. Groups that had a split keep it (the
    one of most of their frames), so that a set can grow without test data
    moving into training. New groups go, the largest first, where the largest
    share of the wanted frames is missing; if there are groups enough, no
    wanted split stays empty.

    Args:
        items: The clips.
        ratios: Split -> wanted share of the frames, not all 0.
        seed: Decides between groups of equal size.

    Returns:
        One split per item.

    Raises:
        ValueError: If a split is unknown or the ratios are negative or all 0.
    """
    check_ratios(ratios)
    total = sum(ratios.values())
    wanted = {name: ratios[name] / total for name in SPLITS
              if ratios.get(name, 0) > 0}
    result = [''] * len(items)
    filled = dict.fromkeys(SPLITS, 0)
    fresh = []
    for group in tied_groups(items):
        weight = sum(items[i].weight for i in group)
        votes = dict.fromkeys(SPLITS, 0)
        for i in group:
            if items[i].previous in votes:
                votes[items[i].previous] += items[i].weight
        if any(votes.values()):
            split = max(votes, key=votes.get)
            filled[split] += weight
            for i in group:
                result[i] = split
        else:
            fresh.append((group, weight))
    fresh.sort(key=lambda entry: (-entry[1], _order(
        items[entry[0][0]].ties or (items[entry[0][0]].name, ), seed)))
    everything = sum(item.weight for item in items)
    for left, (group, weight) in enumerate(fresh):
        empty = [name for name in wanted if not filled[name]]
        choices = (empty if empty and len(fresh) - left <= len(empty)
                   else list(wanted))
        split = max(choices, key=lambda name: (
            wanted[name] * everything - filled[name]))
        filled[split] += weight
        for i in group:
            result[i] = split
    return result


def _order(ties: Sequence[str], seed: int) -> str:
    """A random but repeatable place in the order."""
    return hashlib.sha1(f'{seed} {ties}'.encode()).hexdigest()
