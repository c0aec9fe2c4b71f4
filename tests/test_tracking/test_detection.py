# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
from helpers.scripted_faces import ScriptedDetector, box_around, numbered_frame
from helpers.toy_pictures import POINTS

from mmtvface.tracking import shots
from mmtvface.tracking.face_tracker import FaceTracker
from mmtvface.tracking.frame_source import ArrayFrames
from mmtvface.tracking.shots import find_faces
from mmtvface.tracking.track_store import TrackStore

SCRIPT = [{'a': box_around(100, 100), 'b': box_around(400, 100)}] * 30


@pytest.fixture(autouse=True)
def cuts(monkeypatch):
    """Numbers of the frames that the detector of cuts has seen."""
    seen = []

    class Shots:
        def is_cut(self, image):
            seen.append(ScriptedDetector.number(image))
            return seen[-1] == 12

    monkeypatch.setattr(shots, 'ShotDetector', Shots)
    return seen


def frames(count=30):
    return ArrayFrames([numbered_frame(i) for i in range(count)])


def find(count, detector, store=None):
    with FaceTracker(detector) as tracker:
        return list(find_faces(frames(count), tracker, lambda *_: None,
                               store))


def test_the_tracker_is_told_of_cuts():
    detector = ScriptedDetector(SCRIPT)
    plans = find(14, detector)
    assert [plan.cut for plan in plans] == [i == 12 for i in range(14)]
    assert detector.searched_thoroughly == [0, 12]
    assert [[face.track_id for face in plan.faces] for plan in plans] == [
        [0, 1]] * 12 + [[2, 3]] * 2
    assert detector.open_followers == 0


def test_a_resumed_run_goes_on_with_its_tracks(tmp_path, cuts):
    whole = find(30, ScriptedDetector(SCRIPT))
    with TrackStore(tmp_path) as store:
        for plan in whole[:20]:
            store.add_frame(plan)
    cuts.clear()
    detector = ScriptedDetector(SCRIPT)
    with TrackStore(tmp_path) as store:
        plans = find(30, detector, store)
    # The frames before tell what is usual in a shot; faces are known.
    assert cuts == list(range(10, 30))
    assert detector.searched == [20, 25]
    assert detector.searched_thoroughly == [20]
    for plan, other in zip(plans, whole, strict=True):
        assert (plan.index, plan.name, plan.size, plan.cut) == (
            other.index, other.name, other.size, other.cut)
        assert [face.track_id for face in plan.faces] == [
            face.track_id for face in other.faces]
        np.testing.assert_array_equal(
            [face.landmarks.points for face in plan.faces],
            [face.landmarks.points for face in other.faces])


def test_faces_found_twice_count_once():
    twice = [POINTS * 10, POINTS * 10 + .5, POINTS * 10 + 30,
             POINTS * np.nan]
    plan, = find(1, lambda image: twice)
    assert [face.landmarks.points.min() for face in plan.faces] == [0., 30.]
    assert [face.track_id for face in plan.faces] == [0, 1]


def test_every_face_is_found_in_single_frames():
    """However many there are, and nobody is followed."""
    script = [{str(i): box_around(60 * i + 40, 100, 40) for i in range(10)},
              {'x': box_around(40, 100, 40)}, {}]
    detector, source = ScriptedDetector(script), frames(3)
    source.consecutive = False
    with FaceTracker(detector) as tracker:
        plans = list(find_faces(source, tracker, lambda *_: None))
    assert [len(plan.faces) for plan in plans] == [10, 1, 0]
    assert plans[1].faces[0].track_id == 10
    assert detector.searched_thoroughly == [0, 1, 2]
