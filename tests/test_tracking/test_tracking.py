# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
from array import array

import numpy as np
import pytest

from mmtvface.geometry.crop import transform_points
from mmtvface.tracking.crop_track import (
    LinkedTrack,
    box_iou,
    follow_face,
    main_tracks,
    prominence,
    steady_crop_matrices,
)
from mmtvface.utils.smoothing import steady

SIZE = (100, 200)


def face(x, y, side):
    """Three points with the box (x, y, x + side, y + side)."""
    return np.array([[x, y], [x + side, y], [x + side / 2, y + side]], float)


def test_iou_by_hand():
    assert box_iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    assert box_iou((1, 1, 1, 1), (1, 1, 1, 1)) == 0


def test_prominence_prefers_large_and_central():
    large, small = (50, 0, 150, 100), (90, 40, 110, 60)
    corner = (0, 0, 20, 20)
    assert (prominence(large, SIZE) > prominence(small, SIZE)
            > prominence(corner, SIZE))
    assert prominence(large, SIZE) == pytest.approx(0.5)


def test_follows_one_face_whatever_the_order_of_detection():
    main = [face(80 + t, 20, 50) for t in range(6)]
    other = [face(5, 60, 20) for _ in range(6)]
    frames = [[m, o] if t % 2 else [o, m]
              for t, (m, o) in enumerate(zip(main, other, strict=True))]
    number, track = follow_face(frames, [SIZE] * 6)
    assert number.tolist() == [1, 0] * 3
    assert track.tolist() == [0] * 6


def test_short_gaps_keep_the_track_long_ones_end_it():
    seen = [face(80, 20, 50)]
    frames = [seen, [], [], seen, *[[]] * 6, seen]
    _, track = follow_face(frames, [SIZE] * len(frames), max_gap=5)
    assert track.tolist() == [0, -1, -1, 0, *[-1] * 6, 1]


def test_shots_end_tracks():
    frames = [[face(80 + t, 20, 50)] for t in range(5)]
    _, track = follow_face(frames, [SIZE] * 5, shots=[0, 0, 1, 1, 1])
    assert track.tolist() == [0, 0, 1, 1, 1]


def test_another_face_is_not_taken_while_the_first_is_missed():
    main, other = face(80, 20, 50), face(5, 60, 20)
    number, track = follow_face(
        [[main, other], [other], [main, other]], [SIZE] * 3)
    assert number.tolist() == [0, -1, 0]
    assert track.tolist() == [0, -1, 0]


def test_a_cut_starts_a_new_track():
    a, b = face(10, 20, 50), face(140, 20, 50)
    number, track = follow_face([[a], [a], [b], [b]], [SIZE] * 4)
    assert track.tolist() == [0, 0, 1, 1]
    assert number.tolist() == [0] * 4


def test_a_change_of_frame_size_starts_a_new_track():
    a = face(10, 20, 50)
    _, track = follow_face([[a], [a]], [SIZE, (100, 300)])
    assert track.tolist() == [0, 1]


def test_nothing_detected():
    number, track = follow_face([[], []], [SIZE, None])
    assert number.tolist() == track.tolist() == [-1, -1]


@pytest.mark.parametrize('length', [1, 2, 3, 30])
def test_steady_keeps_constant_velocity(length):
    line = np.stack([np.arange(length) * 3. + 1, np.full(length, 7.)], 1)
    np.testing.assert_allclose(steady(line, 2.), line, atol=1e-9)


def test_steady_equals_a_direct_convolution_inside():
    values = np.random.default_rng(0).normal(size=(60, 2))
    offsets = np.arange(-8, 9)
    kernel = np.exp(-0.5 * (offsets / 2.)**2)
    kernel /= kernel.sum()
    expected = sum(weight * values[20 + k:40 + k]
                   for k, weight in zip(offsets, kernel, strict=True))
    np.testing.assert_allclose(steady(values, 2.)[20:40], expected)
    np.testing.assert_array_equal(steady(values, 0.), values)


def test_crops_tremble_less_than_the_landmarks():
    rng = np.random.default_rng(0)
    center = np.stack([np.arange(40.), np.zeros(40)], 1)
    shape = rng.uniform(0, 60, (68, 2))
    points = shape + center[:, None] + rng.normal(size=(40, 1, 2)) * 2
    still = steady_crop_matrices(points, 224, 1.6, sigma=2.)
    raw = steady_crop_matrices(points, 224, 1.6, sigma=0.)

    def jitter(matrices):
        middle = np.linalg.inv(matrices)[:, :2] @ [111.5, 111.5, 1.]
        return np.abs(np.diff(middle, n=2, axis=0)).mean()

    assert jitter(still) < 0.2 * jitter(raw)
    # Unsmoothed, the box's centre is the crop's centre in every frame.
    middles = (points.min(1) + points.max(1)) / 2
    placed = transform_points(middles[:, None], raw)
    np.testing.assert_allclose(placed, 111.5, atol=1e-9)


def test_main_tracks_are_apart_in_time():
    """Against the rule, track by track."""
    rng = np.random.default_rng(0)
    tracks = []
    for number in range(60):
        first = int(rng.integers(0, 200))
        tracks.append(LinkedTrack(
            number, SIZE, 0, (0., 0., 1., 1.), float(rng.random()),
            array('q', [first, first + int(rng.integers(0, 9))])))
    kept = []
    for track in sorted(tracks, key=lambda t: -t.weight):
        if all(track.last < other.first or track.first > other.last
               for other in kept):
            kept.append(track)
    assert main_tracks(tracks) == sorted(kept, key=lambda t: t.first)
