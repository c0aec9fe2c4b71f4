# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Rows that wait on the disk instead of in memory."""

import tracemalloc

import numpy as np
import pytest

from mmtvface.io.column_store import ColumnStore


def rows_of(count):
    rng = np.random.default_rng(0)
    return [dict(a=rng.random((2, 3)).astype(np.float32), n=i,
                 name=f'é{i}', seen=np.array([i % 2, 1], bool))
            for i in range(count)]


def test_what_is_saved_is_what_came(tmp_path):
    rows = rows_of(2500)  # more than is copied at once
    rows[7]['name'] = 'a\udcff longer one'  # a file name that is no text
    with ColumnStore(tmp_path) as store:
        for number, row in enumerate(rows):
            assert store.append(row) == number
        for _ in range(2):  # once more after reading
            store.save(tmp_path / 'a.npz', fps=12.5)
            assert len(store) == len(rows)
    with np.load(tmp_path / 'a.npz', allow_pickle=False) as found:
        assert set(found) == {'a', 'n', 'name', 'seen', 'fps'}
        for key in ('a', 'n', 'name', 'seen'):
            expected = np.stack([np.asarray(row[key]) for row in rows])
            assert found[key].dtype == expected.dtype
            np.testing.assert_array_equal(found[key], expected)
        assert found['fps'] == 12.5
    assert [p.name for p in tmp_path.iterdir()] == ['a.npz']
    assert len(store) == 0


def test_what_is_missing_is_blank(tmp_path):
    rows = rows_of(3)
    with ColumnStore() as store:
        store.append(dict(n=-1, later=None, never=None))
        store.append(rows[1])
        store.append(dict(n=5, a=None))
        store.append(dict(rows[2], later=2.))
        store.save(tmp_path / 'a.npz')
        found = store.gather(np.array([3, 0]))
        assert 'never' not in found
    assert found['name'].tolist() == ['é2', '']
    assert found['n'].tolist() == [2, -1]
    with np.load(tmp_path / 'a.npz', allow_pickle=False) as arrays:
        assert arrays['never'].shape == (4, 0)
        assert np.isnan(arrays['a'][[0, 2]]).all()
        np.testing.assert_array_equal(arrays['a'][1], rows[1]['a'])
        assert not arrays['seen'][[0, 2]].any()
        assert arrays['name'].tolist() == ['', 'é1', '', 'é2']
        np.testing.assert_array_equal(arrays['later'], [np.nan] * 3 + [2.])


def test_groups_and_rows_that_are_replaced():
    with ColumnStore() as store:
        assert not list(store.groups('n'))
        for number in (3, -1, 3, 2, 3):
            store.append(dict(n=number, x=np.full(2, number)))
        assert [(value, rows.tolist()) for value, rows in
                store.groups('n')] == [(-1, [1]), (2, [3]), (3, [0, 2, 4])]
        store.replace(2, 'x', np.array([7, 8]))
        store.append(dict(n=9, x=np.full(2, 9)))
        assert store.column('x').tolist() == [
            [3, 3], [-1, -1], [7, 8], [2, 2], [3, 3], [9, 9]]
        with pytest.raises(ValueError, match=r'shape \(3,\) .* \(2,\)'):
            store.append(dict(n=0, x=np.zeros(3)))
        with pytest.raises(ValueError, match="no row 6 of 'x'"):
            store.replace(6, 'x', np.zeros(2))
        with pytest.raises(KeyError):
            store.column('y')


def test_memory_does_not_grow(tmp_path):
    row, grown = dict(rows_of(1)[0], points=np.zeros((68, 3))), []
    for count in (100, 3000):
        tracemalloc.start()
        with ColumnStore(tmp_path) as store:
            for _ in range(count):
                store.append(row)
            store.save(tmp_path / 'a.npz')
        grown.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A chunk of a megabyte, and not the 5 MB of the arrays.
    assert grown[1] < grown[0] + 1.5e6
