# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np

from mmtvface.tracking.detectors import FaceDetection
from mmtvface.tracking.detectors.boxes import (
    are_same,
    covers,
    distances,
    overlaps,
    without_repeats,
)

A = np.array([[0., 0., 10., 10.], [0., 0., 4., 2.]])
B = np.array([[5., 0., 15., 10.], [20., 0., 30., 10.], [1., 1., 1., 1.]])


def test_overlaps_by_hand():
    # 50 / 150; the second shares nothing with B but its own corner.
    np.testing.assert_allclose(overlaps(A, B),
                               [[1 / 3, 0., 0.], [0., 0., 0.]])
    np.testing.assert_allclose(np.diag(overlaps(A, A)), 1.)
    assert overlaps(B[2:], B[2:])[0, 0] == 0.  # empty: no division by zero


def test_distances_by_hand():
    np.testing.assert_allclose(distances(A, B)[0, :2], [0.5, 2.])
    # Centres (2, 1) and (10, 5): sqrt(80); sizes 3 and 10.
    np.testing.assert_allclose(distances(A, B)[1, 0], np.sqrt(80) / 6.5)
    assert np.isfinite(distances(B[2:], B[2:])).all()


def test_covers_by_hand():
    np.testing.assert_allclose(covers(A, B),
                               [[0.5, 0., 0.], [0., 0., 0.]])
    # 4 x 2 of the small box lie in the large one, whichever comes first.
    np.testing.assert_allclose(covers(A, A), 1.)
    assert covers(B[2:], B[2:])[0, 0] == 0.


def test_a_face_in_another_one_is_that_one():
    large = np.array([[0., 0., 100., 100.]])
    # In its corner: overlap 4 %, centres 0.94 of the mean size apart.
    inside = np.array([[75., 75., 95., 95.]])
    across = np.array([[90., 70., 110., 90.]])  # half of it outside
    assert are_same(large, np.concatenate([inside, across])).tolist() == [
        [True, False]]
    assert are_same(large, across, max_cover=0.4).tolist() == [[True]]


def test_what_was_found_twice_is_left_out():
    def face(score, *box):
        return FaceDetection(np.array(box, float), score)
    weak, best = face(.6, 0, 0, 100, 100), face(.9, 10, 0, 110, 100)
    inside = face(.8, 40, 40, 60, 60)  # small, but in the middle of another
    other = face(.5, 200, 0, 300, 100)
    beside = face(.7, 90, 0, 190, 100)
    faces = [weak, inside, other, best, beside]
    assert [one.score for one in without_repeats(faces)] == [.9, .7, .5]
    # What is known stays, though it is weaker.
    assert [one.score for one in without_repeats(faces, [weak])] == [
        .6, .7, .5]
    assert without_repeats([]) == []
