# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.geometry import landmarks as lm


def test_sets_partition_the_68_points():
    parts = [*lm.CONTOUR, *lm.BROWS, *lm.NOSE, *lm.EYES, *lm.LIPS]
    assert sorted(parts) == list(range(68))


def test_mirror_is_an_involution_that_maps_sides_onto_each_other():
    mirror = np.array(lm.MIRROR)
    assert (mirror[mirror] == np.arange(68)).all()
    assert (np.flatnonzero(mirror == np.arange(68)) == [
        8, 27, 28, 29, 30, 33, 51, 57, 62, 66
    ]).all()
    for right, left in ((lm.RIGHT_EYE, lm.LEFT_EYE),
                        (lm.RIGHT_BROW, lm.LEFT_BROW)):
        assert sorted(mirror[list(right)]) == sorted(left)
    for pairs in (lm.EYELID_PAIRS, lm.LIP_PAIRS):
        assert {tuple(mirror[list(pair)]) for pair in pairs} == set(pairs)


def test_mirror_landmarks_in_pixels():
    points = np.zeros((2, 68, 3))
    points[..., 0] = np.arange(68)
    points[:, 36, 2] = 1
    mirrored = lm.mirror_landmarks(points, width=223)
    assert mirrored[0, 45].tolist() == [223 - 36, 0, 1]
    assert points[0, 45, 0] == 45
    np.testing.assert_array_equal(
        lm.mirror_landmarks(mirrored, width=223), points)


def test_wrong_count_is_named():
    with pytest.raises(ValueError, match=r'\(\.\.\., 68, C\)'):
        lm.mirror_landmarks(np.zeros((51, 2)))
