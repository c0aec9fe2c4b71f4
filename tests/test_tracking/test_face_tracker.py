# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
from helpers.scripted_faces import (
    ScriptedBackend,
    box_around,
    name_of,
    numbered_frame,
)

from mmtvface.tracking.detectors import FaceDetection
from mmtvface.tracking.face_tracker import FaceTracker


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
    assert set(play(script, max_faces=0)[0][0]) == {'a', 'b', 'c', 'd'}
    assert set(play(script, min_size=60)[0][0]) == {'a', 'b', 'c'}
    assert play(script, min_score=0.95)[0] == [{}]


def test_a_face_no_search_confirms_is_given_up():
    script = [{'a': box_around(200, 150)}] * 60
    history, backend, _, _ = play(script, miss=range(1, 60), detect_every=2,
                                  thorough_every=5)
    # Every fifth search is thorough, the second one in vain ends the track.
    assert backend.searched_thoroughly[:3] == [0, 10, 20]
    assert history[19] == {'a': 0} and history[20:] == [{}] * 40


def test_a_search_is_thorough_at_first_and_now_and_then():
    script = [{'a': box_around(200, 150)}] * 40
    backend = play(script, cuts=(17, ), detect_every=2,
                   thorough_every=4)[1]
    # Frame 17 begins another shot, of which both counts start anew.
    assert backend.searched == [*range(0, 17, 2), *range(17, 40, 2)]
    assert backend.searched_thoroughly == [0, 8, 16, 17, 25, 33]


def test_nobody_in_sight_is_looked_for_in_every_frame():
    script = [{}] * 7 + [{'a': box_around(200, 150)}] * 9
    history, backend, _, _ = play(script, detect_every=5)
    assert history == [{}] * 7 + [{'a': 0}] * 9
    assert backend.searched == [*range(8), 12]


def test_a_lost_face_is_looked_for_at_once():
    # It jumps further than the follower sees, between two searches.
    script = [{'a': box_around(100, 150), 'b': box_around(400, 150)}] * 7 + [
        {'a': box_around(100, 150), 'b': box_around(446, 150)}] * 3
    history, backend, _, _ = play(script, detect_every=5)
    assert history == [{'a': 0, 'b': 1}] * 10
    assert backend.searched == [0, 5, 7]


class ShortSighted(ScriptedBackend):
    """Sees small faces in thorough searches and in parts of frames only.

    The third channel of a frame holds a quarter of x, from 1 on.
    """

    def detect(self, image, thorough=True):
        if image.shape == (360, 640, 3):
            self.frame = image
            return super().detect(image, thorough) if thorough else []
        left, top = 4 * int(image[0, 0, 2]) - 4, 142  # 60 above y = 202
        shift = np.array([left, top] * 2)
        self.parts.append((left, image.shape[:2]))
        return [FaceDetection(face.box - shift, face.score)
                for face in super().detect(self.frame, thorough)]


def test_a_small_face_is_looked_for_around_its_place():
    # It jumps by 0.6 of its size, further than the follower sees.
    backend = ShortSighted([{'a': box_around(302, 202, 30)}] * 3 +
                           [{'a': box_around(320, 202, 30)}] * 3)
    backend.parts = []
    tracker, faces = FaceTracker(backend), []
    for number in range(6):
        frame = numbered_frame(number)
        frame[..., 2] = np.arange(640) // 4 + 1
        faces.append(tracker.update(frame))
    assert [[face.track_id for face in row] for row in faces] == [[0]] * 6
    np.testing.assert_allclose(faces[3][0].box, box_around(320, 202, 30))
    # A square of four times its size: 302 - 60 = 242, of which 240 is coded.
    assert backend.parts == [(240, (120, 120))]


def test_no_face_is_no_trouble():
    assert play([{}] * 12)[0] == [{}] * 12


@pytest.mark.parametrize('option', [
    {'detect_every': 0}, {'max_faces': -1}, {'max_gap': -1},
    {'min_size': -2.}, {'thorough_every': 0}])
def test_options_are_checked(option):
    name, value = next(iter(option.items()))
    with pytest.raises(ValueError, match=f'{name} must be.*{value}'):
        FaceTracker(ScriptedBackend([]), **option)
