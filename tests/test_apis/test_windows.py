# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest

from mmtvface.apis.windows import Window, plan_windows


def test_by_hand():
    assert plan_windows(4, 5) == [Window(0, 4, 0, 4)]
    assert plan_windows(1, 5) == [Window(0, 1, 0, 1)]
    # Windows 0-4, 3-7 and, moved back, 4-8.
    assert plan_windows(9, 5) == [
        Window(0, 5, 0, 4), Window(3, 8, 4, 6), Window(4, 9, 6, 9)]


@pytest.mark.parametrize('length', range(1, 24))
@pytest.mark.parametrize('size', [1, 2, 3, 5, 8])
def test_every_frame_is_kept_once_and_inside_its_window(length, size):
    windows = plan_windows(length, size)
    kept = [i for w in windows for i in range(w.keep_start, w.keep_stop)]
    assert kept == list(range(length))
    for window in windows:
        assert window.start <= window.keep_start
        assert window.keep_stop <= window.stop <= length
        assert window.stop - window.start == min(size, length)


def test_stride_must_cover():
    with pytest.raises(ValueError, match='stride 6'):
        plan_windows(9, 5, 6)
