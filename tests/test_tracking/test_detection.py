# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
from helpers.toy_pictures import POINTS

from mmtvface.tracking.detection import FramePlan, find_faces
from mmtvface.tracking.frame_source import ArrayFrames


@pytest.fixture
def detector(monkeypatch):
    """MediaPipe's place is taken; the values of its images and the cuts."""
    class Detector:
        seen = []
        closed = False

        def __init__(self, video):
            self.video = video

        def __call__(self, image, cut):
            self.seen.append((int(image[0, 0, 0]), cut))
            return [POINTS * 10, POINTS * 10 + 30]

        def close(self):
            Detector.closed = True

    monkeypatch.setattr('mmtvface.tracking.detection.MediaPipeLandmarkDetector',
                        Detector)
    # A change by more than 50 grey levels is a cut.
    values = []

    def is_cut(image):
        values.append(int(image[0, 0, 0]))
        return len(values) > 1 and abs(values[-1] - values[-2]) > 50

    monkeypatch.setattr(
        'mmtvface.tracking.detection.ShotDetector', lambda: type(
            'Shots', (), {'is_cut': staticmethod(is_cut)}))
    return Detector


def frames(*values):
    return ArrayFrames([np.full((60, 60, 3), value, np.uint8)
                        for value in values])


def test_the_detector_is_told_of_cuts(detector):
    plans = list(find_faces(frames(1, 2, 200, 201), None, lambda *_: None))
    assert detector.seen == [(1, False), (2, False), (200, True),
                             (201, False)]
    assert [plan.cut for plan in plans] == [False, False, True, False]
    assert [len(plan.faces) for plan in plans] == [2] * 4
    assert detector.closed


def test_a_resumed_run_looks_at_the_last_frames_first(detector):
    known = [FramePlan(i, str(i), (60, 60)) for i in range(3)]
    plans = list(find_faces(frames(1, 100, 101, 102), None, lambda *_: None,
                            known, 3))
    # Those that are known are seen with their cut, but stay as they are.
    assert detector.seen == [(1, False), (100, True), (101, False),
                             (102, False)]
    assert [len(plan.faces) for plan in plans] == [0, 0, 0, 2]


def test_faces_found_twice_count_once():
    twice = [POINTS * 10, POINTS * 10 + .5, POINTS * 10 + 30,
             POINTS * np.nan]
    plan, = find_faces(frames(1), lambda image: twice, lambda *_: None)
    assert [face.min() for face in plan.faces] == [0., 30.]
