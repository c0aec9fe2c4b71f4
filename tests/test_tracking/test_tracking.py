# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Landmarks that are known, and functions, with the tracker."""

import numpy as np

from mmtvface.tracking.face_tracker import FaceTracker

SIZE = (100, 200)


def face(x, y, side):
    """Three points with the box (x, y, x + side, y + side)."""
    return np.array([[x, y], [x + side, y], [x + side / 2, y + side]], float)


def follow(frames, sizes=None, cuts=(), function=False, **options):
    """Ids of the faces of every frame, in the order of the faces."""
    frames, found = list(frames), []
    tracker = FaceTracker(
        (lambda image: frames[int(image[0, 0, 0])]) if function else None,
        **options)
    for index, faces in enumerate(frames):
        size = SIZE if sizes is None else sizes[index]
        image = None if size is None else np.full((*size, 3), index, np.uint8)
        tracks = tracker.update(image, index in cuts,
                                None if function else faces)
        assert {track.origin for track in tracks} <= {
            'detected' if function else 'given'}
        ids = [-1] * len(faces)
        for track in tracks:
            place, = [i for i, points in enumerate(faces) if np.array_equal(
                points, track.landmarks.points)]
            ids[place] = track.track_id
        found.append(ids)
    return found


def test_follows_faces_whatever_the_order_of_detection():
    main = [face(80 + t, 20, 50) for t in range(6)]
    other = [face(5, 60, 20) for _ in range(6)]
    frames = [[m, o] if t % 2 else [o, m]
              for t, (m, o) in enumerate(zip(main, other, strict=True))]
    for function in (False, True):
        assert follow(frames, function=function) == [[0, 1], [1, 0]] * 3


def test_short_gaps_keep_the_track_long_ones_end_it():
    seen = [face(80, 20, 50)]
    frames = [seen, [], [], seen, *[[]] * 6, seen]
    assert follow(frames, max_gap=5) == [
        [0], [], [], [0], *[[]] * 6, [1]]
    assert follow(frames)[-1] == [0]
    # A frame that cannot be read is a gap, too.
    assert follow(frames, [None if not faces else SIZE for faces in frames],
                  max_gap=5)[-1] == [1]


def test_shots_end_tracks():
    frames = [[face(80 + t, 20, 50)] for t in range(5)]
    assert follow(frames, cuts=(2, )) == [[0], [0], [1], [1], [1]]


def test_another_face_is_not_taken_while_the_first_is_missed():
    main, other = face(80, 20, 50), face(5, 60, 20)
    assert follow([[main, other], [other], [main, other]]) == [
        [0, 1], [1], [0, 1]]


def test_a_cut_that_is_not_told_starts_a_new_track():
    a, b = face(10, 20, 50), face(140, 20, 50)
    assert follow([[a], [a], [b], [b]]) == [[0], [0], [1], [1]]


def test_a_change_of_frame_size_starts_a_new_track():
    a = face(10, 20, 50)
    assert follow([[a], [a]], [SIZE, (100, 300)]) == [[0], [1]]


def test_nothing_detected():
    assert follow([[], []], [SIZE, None]) == [[], []]
