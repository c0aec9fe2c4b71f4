# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest

from mmtvface.dataset_tools.clip_maker import SplitItem, assign_splits
from mmtvface.dataset_tools.clip_maker.splits import tied_groups

RATIOS = dict(train=.8, val=.1, test=.1)


def item(name, *ties, weight=1, previous=''):
    return SplitItem(name, ties, weight, previous)


def test_ties_join_directly_and_by_others():
    items = [item('a', 'video 1', 'Ann'), item('b', 'video 2', 'Bob'),
             item('c', 'video 3', 'Ann'), item('d', 'video 2', 'Cem'),
             item('e')]
    assert tied_groups(items) == [[0, 2], [1, 3], [4]]


def test_nobody_and_no_video_is_in_two_splits():
    items = [item(f'{v}{p}', f'video {v}', f'person {(v * 7 + p) % 31}',
                  weight=10 + v) for v in range(40) for p in range(2)]
    splits = assign_splits(items, RATIOS)
    seen = {}
    for entry, split in zip(items, splits, strict=True):
        for tie in entry.ties:
            assert seen.setdefault(tie, split) == split


def test_shares_are_met_by_frames():
    items = [item(str(i), f'video {i}', weight=100) for i in range(50)]
    splits = assign_splits(items, RATIOS)
    assert [splits.count(name) for name in RATIOS] == [40, 5, 5]
    # The seed decides between equals, and only it.
    assert assign_splits(items, RATIOS) == splits
    assert assign_splits(items, RATIOS, seed=1) != splits
    assert set(assign_splits(items, dict(train=1))) == {'train'}


def test_few_groups_fill_every_wanted_split():
    items = [item(str(i), f'video {i}', weight=w)
             for i, w in enumerate((500, 20, 10))]
    assert assign_splits(items, RATIOS) == ['train', 'val', 'test']
    # One video cannot be divided.
    assert assign_splits(items[:1], RATIOS) == ['train']
    assert assign_splits(items[:2], dict(train=.5, test=.5)) == [
        'train', 'test']


def test_what_was_divided_stays():
    items = [item('a', 'video 1', weight=10, previous='test'),
             item('b', 'video 2', weight=900)]
    assert assign_splits(items, RATIOS) == ['test', 'train']
    # A person found in both joins them where most frames are.
    joined = [item('a', 'video 1', 'Ann', weight=10, previous='test'),
              item('b', 'video 2', 'Ann', weight=900, previous='train'),
              item('c', 'video 3', 'Ann', weight=2000)]
    assert assign_splits(joined, RATIOS) == ['train'] * 3


@pytest.mark.parametrize('ratios', [
    dict(train=0, val=0), dict(train=1, val=-.1), dict(rest=1)])
def test_wrong_ratios(ratios):
    with pytest.raises(ValueError, match='ratios must be shares'):
        assign_splits([], ratios)
