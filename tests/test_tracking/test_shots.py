# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys

import cv2
import numpy as np
import pytest

from mmtvface.tracking.shot_detector import ShotDetector


def shots(rng, lengths, size=(180, 320)):
    """Frames of panned coloured scenes, and where each one begins."""
    frames, starts = [], []
    for length in lengths:
        colors = rng.integers(0, 255, (5, 8, 3), dtype=np.uint8)
        scene = cv2.resize(colors, (size[1] + 4 * length, size[0] + 20),
                           interpolation=cv2.INTER_LINEAR)
        starts.append(len(frames))
        frames += [scene[10:10 + size[0], 4 * i:4 * i + size[1]]
                   for i in range(length)]
    return frames, starts


@pytest.fixture(autouse=True)
def package():
    return pytest.importorskip('scenedetect')


def test_cuts_are_reported_with_their_first_frame():
    frames, starts = shots(np.random.default_rng(0), (12, 3, 1, 9, 20))
    detector = ShotDetector()
    found = [i for i, frame in enumerate(frames) if detector.is_cut(frame)]
    assert found == starts[1:]


def test_light_noise_and_motion_are_no_cuts():
    rng = np.random.default_rng(1)
    frame = shots(rng, (1, ))[0][0]
    detector = ShotDetector()
    for i in range(20):
        moving = frame.copy()
        cv2.circle(moving, (60 + 8 * i, 90), 40, (90, 120, 200), -1)
        noisy = moving * (1 + 0.02 * np.sin(i)) + rng.normal(
            0, 6, moving.shape)
        assert not detector.is_cut(np.clip(noisy, 0, 255).astype(np.uint8))


def test_large_frames_give_the_same_cuts():
    frames, starts = shots(np.random.default_rng(2), (4, 4), (540, 960))
    detector = ShotDetector(width=100)
    assert [detector.is_cut(frame) for frame in frames] == [
        i in starts[1:] for i in range(8)]


def test_a_change_of_size_is_a_cut_and_the_next_frame_is_none():
    frame = shots(np.random.default_rng(3), (1, ))[0][0]
    detector = ShotDetector()
    other = cv2.resize(frame, (200, 200))
    assert [detector.is_cut(f) for f in (frame, frame, other, other, frame)
            ] == [False, False, True, False, True]


def grey_frames(*values):
    return [np.full((36, 64, 3), value, np.uint8) for value in values]


def test_a_change_that_is_large_for_its_shot_is_a_cut():
    # Lightness 0, 3, 0, ...: scores of 1. Then 60: a score of 20 or 19.
    calm = grey_frames(100, 103, 100, 103, 160, 163, 160)
    found = []
    for ratio in (4., np.inf):
        detector = ShotDetector(ratio=ratio)
        found.append([detector.is_cut(frame) for frame in calm])
    assert found == [[False] * 4 + [True] + [False] * 2, [False] * 7]
    # Scores of 5: 20 is no cut at four times their mean, and 12 never is.
    restless = grey_frames(100, 115, 100, 115, 100, 159)
    detector = ShotDetector()
    assert not any(detector.is_cut(frame) for frame in restless)
    detector = ShotDetector()
    assert not any(detector.is_cut(frame)
                   for frame in grey_frames(100, 100, 100, 136, 136))


def test_the_threshold_decides():
    gray = [np.full((36, 64, 3), value, np.uint8) for value in (100, 160)]
    # Only the lightness changes, by 60: 20 in the mean over three channels.
    for threshold, cut in ((27., False), (19., True), (21., False)):
        detector = ShotDetector(threshold)
        assert not detector.is_cut(gray[0])
        assert detector.is_cut(gray[1]) is cut


def test_bad_arguments_and_frames_are_refused(monkeypatch):
    with pytest.raises(ValueError, match='positive.*-1'):
        ShotDetector(-1)
    with pytest.raises(ValueError, match='ratio above 1.*0.5'):
        ShotDetector(ratio=0.5)
    with pytest.raises(ValueError, match=r'uint8.*\(4, 4\)'):
        ShotDetector().is_cut(np.zeros((4, 4), np.uint8))
    monkeypatch.setitem(sys.modules, 'scenedetect', None)
    with pytest.raises(ImportError, match='pip install.*scenedetect'):
        ShotDetector()
