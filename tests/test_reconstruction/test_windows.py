# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest

from mmtvface.reconstruction.encode import Window, plan_windows


def test_by_hand():
    assert plan_windows(4, 5) == [Window(0, 4)]
    assert plan_windows(1, 5) == [Window(0, 1)]
    # The last one is moved back.
    assert plan_windows(9, 5) == [Window(0, 5), Window(3, 8), Window(4, 9)]
    assert plan_windows(9, 5, 5) == [Window(0, 5), Window(4, 9)]


@pytest.mark.parametrize('length', range(1, 24))
@pytest.mark.parametrize('size', [1, 2, 3, 5, 8])
def test_every_frame_is_in_a_window(length, size):
    windows = plan_windows(length, size)
    assert {i for w in windows for i in range(*w)} == set(range(length))
    assert windows == sorted(set(windows))
    for window in windows:
        assert window.stop - window.start == min(size, length)


def test_stride_must_cover():
    with pytest.raises(ValueError, match='stride 6'):
        plan_windows(9, 5, 6)
