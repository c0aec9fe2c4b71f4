# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys

import cv2
import numpy as np
import pytest
from helpers.rendered_heads import landmark_error, rendered_heads

from mmtvface.geometry.mediapipe68 import mediapipe_to_68
from mmtvface.tracking.face_tracker import FaceTracker


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules,
                        'mediapipe.python.solutions.face_detection', None)
    with pytest.raises(ImportError, match='--no-deps mediapipe'):
        FaceTracker().update(np.zeros((9, 9, 3), np.uint8))


def test_no_face_in_noise_and_nothing_on_stderr(capfd):
    pytest.importorskip('mediapipe.python.solution_base')
    noise = np.random.default_rng(0).integers(0, 255, (90, 121, 3),
                                              dtype=np.uint8)
    with FaceTracker() as tracker:
        assert tracker.update(noise) == []
        assert tracker.update(noise[:40, :30]) == []
    out, err = capfd.readouterr()
    assert out == err == ''


@pytest.fixture(scope='module')
def heads():
    """Pictures of the built-in head from three sides, and its landmarks."""
    return rendered_heads((-0.3, 0., 0.3))


def insert(head, points, x, y, side, frame):
    """Put a head of 320 pixels into a frame; returns its landmarks."""
    frame[y:y + side, x:x + side] = cv2.resize(
        head, (side, side), interpolation=cv2.INTER_AREA)
    return (points + 0.5) * side / 320 - 0.5 + [x, y]


def test_landmarks_of_the_built_in_head(heads):
    pytest.importorskip('mediapipe.python.solution_base')
    small = np.full((720, 1280, 3), 90, np.uint8)
    scaled = insert(heads[0][1], heads[1][1], 200, 500, 60, small)
    with FaceTracker() as tracker:
        for image, true in zip(*heads, strict=True):
            face, = tracker.update(image, cut=True)
            found, mesh = face.landmarks.points, face.landmarks.mesh
            assert landmark_error(found, true) < 0.045
            assert mesh.shape == (478, 3)
            np.testing.assert_array_equal(mediapipe_to_68(mesh[:, :2]), found)
        # A face of 32 pixels in a frame of 1280.
        face, = tracker.update(small, cut=True)
        assert landmark_error(face.landmarks.points, scaled) < 0.08


def test_a_large_and_a_small_face_in_every_frame_of_a_video(heads):
    pytest.importorskip('mediapipe.python.solution_base')
    with FaceTracker() as tracker:
        for step in range(8):
            frame = np.full((1080, 1920, 3), 110, np.uint8)
            # Faces of 440 and, like many on television, of 60 pixels.
            large = insert(heads[0][1], heads[1][1], 80 + 5 * step, 100, 800,
                           frame)
            small = insert(heads[0][2], heads[1][2], 1500 - 4 * step, 600,
                           110, frame)
            faces = sorted((face.landmarks.points for face in
                            tracker.update(frame)),
                           key=lambda face: -np.ptp(face, 0).min())
            assert len(faces) == 2
            assert landmark_error(faces[0], large) < 0.045
            assert landmark_error(faces[1], small) < 0.07
