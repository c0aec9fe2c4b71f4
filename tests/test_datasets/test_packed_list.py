# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pickle

import pytest

from mmtvface.datasets.packed_list import PackedList


def test_items_come_back():
    items = [dict(a=[1, 2], b='x'), 'text', None, [], list(range(1000))]
    packed = PackedList(iter(items))
    assert len(packed) == 5 and [packed[i] for i in range(5)] == items
    twin = pickle.loads(pickle.dumps(packed))
    assert twin[4] == items[4]
    for wrong in (-1, 5):
        with pytest.raises(IndexError, match=r'0\.\.4'):
            packed[wrong]
    assert len(PackedList()) == 0


def test_names_take_little_room():
    clip = {kind: [f'{i:06d}{end}' for i in range(200)] for kind, end in (
        ('images', '.jpg'), ('landmarks', '_kpt2d.npy'), ('masks', '.png'))}
    packed = PackedList([clip] * 10)
    assert len(pickle.dumps(packed)) < 10 * 600 * 4
