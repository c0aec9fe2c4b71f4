# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.preprocessing.face_tracker import FaceTracker
from mmtvface.testing.scripted_faces import (
    ScriptedBackend,
    box_around,
    name_of,
    numbered_frame,
)


def play(script, cuts=(), sizes=None, miss=(), **options):
    """Ids by name in every frame, the back-end, and the tracker."""
    backend = ScriptedBackend(script, miss)
    tracker = FaceTracker(backend, **options)
    history, raw = [], []
    for number, visible in enumerate(script):
        size = (360, 640) if sizes is None else sizes[number]
        faces = tracker.update(numbered_frame(number, size), number in cuts)
        ids = [face.track_id for face in faces]
        assert ids == sorted(set(ids))
        history.append({name_of(face.landmarks.points, visible):
                        face.track_id for face in faces})
        raw.append(faces)
    return history, backend, tracker, raw


def test_two_people_keep_their_numbers():
    script = [{'a': box_around(150 + i, 150), 'b': box_around(400 - i, 180)}
              for i in range(40)]
    history, backend, tracker, raw = play(script, detect_every=5)
    assert history == [{'a': 0, 'b': 1}] * 40
    assert backend.searched == list(range(0, 40, 5))
    assert [faces[0].detected for faces in raw[:6]] == [
        True, False, False, False, False, True]
    np.testing.assert_allclose(raw[7][0].box, script[7]['a'])
    assert backend.open_followers == 2
    tracker.close()
    assert backend.open_followers == 0


def test_people_who_cross_keep_their_numbers():
    # While their centres are nearer than 70 pixels, the front one (a) hides
    # the other one, and both followers see the front one.
    script = []
    for i in range(60):
        a, b = box_around(150 + 6 * i, 150), box_around(520 - 6 * i, 160)
        script.append({'a': a} if abs(a[0] - b[0]) < 70 else
                      {'a': a, 'b': b})
    hidden = sum('b' not in frame for frame in script)
    assert 8 <= hidden <= 12
    history = play(script, max_gap=14)[0]
    assert all(frame['a'] == 0 for frame in history)
    assert history[0]['b'] == history[-1]['b'] == 1
    assert {frame['b'] for frame in history if 'b' in frame} == {1}
    # Never both numbers on one face, and b is back soon after the crossing.
    assert sum('b' in frame for frame in history) >= 60 - hidden - 4


@pytest.mark.parametrize(('max_gap', 'same'), [(12, True), (8, True),
                                               (5, False)])
def test_occlusion_of_eight_frames(max_gap, same):
    script = [{'a': box_around(100 + 5 * i, 150)} if not 20 <= i < 28 else {}
              for i in range(45)]
    history = play(script, max_gap=max_gap, detect_every=10)[0]
    assert history[19] == {'a': 0}
    assert history[20:28] == [{}] * 8
    assert history[40] == {'a': 0 if same else 1}


def test_a_cut_ends_all_tracks():
    # Someone else sits at the same place in the next shot.
    script = [{'a': box_around(200, 150)}] * 7 + [
        {'b': box_around(205, 150)}] * 7
    history, backend, _, _ = play(script, cuts=(7, ))
    assert history == [{'a': 0}] * 7 + [{'b': 1}] * 7
    assert 7 in backend.searched
    assert backend.open_followers == 1


def test_who_leaves_and_returns_gets_a_new_number():
    script = ([{'a': box_around(100, 150), 'b': box_around(300, 150)}] * 10 +
              [{'b': box_around(300, 150)}] * 20 +
              [{'a': box_around(100, 150), 'b': box_around(300, 150)}] * 10)
    history = play(script, max_gap=12)[0]
    assert history[9] == {'a': 0, 'b': 1}
    assert history[20] == {'b': 1}
    assert history[-1] == {'a': 2, 'b': 1}


def test_a_change_of_the_frame_size_is_a_cut():
    script = [{'a': box_around(200, 150)}] * 8
    sizes = [(360, 640)] * 4 + [(400, 640)] * 4
    assert play(script, sizes=sizes)[0] == [{'a': 0}] * 4 + [{'a': 1}] * 4


def test_zooming_keeps_the_number():
    script = [{'a': box_around(320, 180, 40 * 1.05**i)} for i in range(30)]
    assert play(script)[0] == [{'a': 0}] * 30


def test_small_weak_and_surplus_faces_begin_no_track():
    script = [{'a': box_around(100, 100, 60), 'b': box_around(300, 100, 80),
               'c': box_around(500, 100, 100), 'd': box_around(100, 300, 20)}]
    assert set(play(script, max_faces=2)[0][0]) == {'b', 'c'}
    assert set(play(script, min_size=60)[0][0]) == {'a', 'b', 'c'}
    assert play(script, min_score=0.95)[0] == [{}]


def test_a_face_no_search_confirms_is_given_up():
    script = [{'a': box_around(200, 150)}] * 60
    history = play(script, miss=range(1, 60), detect_every=2)[0]
    # 12 searches may fail: those of frames 2, 4, ..., 24.
    assert history[25] == {'a': 0} and history[26:] == [{}] * 34


def test_no_face_is_no_trouble():
    assert play([{}] * 12)[0] == [{}] * 12


@pytest.mark.parametrize('option', [{'detect_every': 0}, {'max_faces': 0},
                                    {'max_gap': -1}, {'min_size': -2.}])
def test_options_are_checked(option):
    name, value = next(iter(option.items()))
    with pytest.raises(ValueError, match=f'{name} must be.*{value}'):
        FaceTracker(ScriptedBackend([]), **option)
