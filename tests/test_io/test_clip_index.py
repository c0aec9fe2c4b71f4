# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.io.clip_index import (
    find_runs,
    list_frames,
    make_windows,
    read_order,
)


def test_runs():
    assert find_runs([]) == []
    assert find_runs([False, False]) == []
    assert find_runs([True, True, False, True]) == [(0, 2), (3, 4)]


@pytest.mark.parametrize(('run', 'stride', 'want'), [
    ((2, 7), 1, [[2, 3, 4], [3, 4, 5], [4, 5, 6]]),
    ((0, 7), 3, [[0, 1, 2], [3, 4, 5], [4, 5, 6]]),
    ((0, 6), 3, [[0, 1, 2], [3, 4, 5]]),
    ((5, 7), 1, [[5, 6, 5]]),
    ((5, 6), 1, [[5, 5, 5]]),
])
def test_windows(run, stride, want):
    assert make_windows(run, 3, stride) == want


def test_short_runs():
    assert make_windows((0, 4), 9, 1) == [[0, 1, 2, 3, 2, 1, 0, 1, 2]]
    assert make_windows((0, 4), 9, 1, 'skip') == []


def test_every_frame_is_in_a_window():
    for size in range(1, 30):
        for stride in (1, 2, 4, 5):
            windows = make_windows((0, size), 5, stride)
            assert {i for window in windows for i in window} == set(
                range(size))
            assert all(len(window) == 5 for window in windows)


def _touch(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b'')


def test_list_frames(tmp_path):
    _touch(tmp_path / 'jpg', ['b.png', 'a.jpg', 'c.JPG', 'notes.txt', '.x'])
    _touch(tmp_path / 'kpt', ['a_kpt2d.npy', 'c.npy'])
    _touch(tmp_path / 'seg/masks', ['b.png', 'a.npy'])
    frames = list_frames(tmp_path)
    assert frames.images == ['a.jpg', 'b.png', 'c.JPG']
    assert frames.landmarks == ['a_kpt2d.npy', '', 'c.npy']
    assert frames.masks == ['a.npy', 'b.png', '']
    assert frames.warnings == []
    # serial.npy rules: its order, with or without suffix, gaps included
    np.save(tmp_path / 'serial.npy', np.array(['c', 'lost.jpg', 'a.jpg']))
    frames = list_frames(tmp_path)
    assert frames.images == ['c.JPG', '', 'a.jpg']
    assert frames.landmarks == ['c.npy', '', 'a_kpt2d.npy']
    assert '1 frames' in frames.warnings[0] and 'lost' in frames.warnings[0]


def test_broken_order_file(tmp_path):
    _touch(tmp_path / 'jpg', ['b.png', 'a.jpg'])
    path = tmp_path / 'serial.npy'
    np.save(path, np.zeros(3))
    with pytest.raises(ValueError, match='one-dimensional array of frame'):
        read_order(path)
    assert list_frames(tmp_path).images == ['a.jpg', 'b.png']
    np.save(path, np.array(['a.jpg', None], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match='plain array of names'):
        read_order(path)
    path.write_bytes(b'')
    frames = list_frames(tmp_path)
    assert frames.images == ['a.jpg', 'b.png'] and len(frames.warnings) == 1
