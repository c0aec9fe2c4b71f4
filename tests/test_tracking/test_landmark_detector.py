# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys

import cv2
import numpy as np
import pytest
from helpers.rendered_heads import landmark_error, rendered_heads
from helpers.scripted_faces import ScriptedBackend, box_around, numbered_frame

from mmtvface.geometry.mediapipe68 import mediapipe_to_68
from mmtvface.tracking import landmark_detector
from mmtvface.tracking.landmark_detector import MediaPipeLandmarkDetector


@pytest.fixture
def scripted(monkeypatch):
    """Makes detectors whose back-end plays a script."""
    def make(script, **options):
        backend = ScriptedBackend(script)
        monkeypatch.setattr(landmark_detector, 'build_backend',
                            lambda name, **_: backend)
        return backend, MediaPipeLandmarkDetector(**options)

    return make


def test_single_images_stand_alone(scripted):
    # Ten people, and nobody is followed from image to image.
    script = [{str(i): box_around(60 * i + 40, 100, 40) for i in range(10)},
              {'x': box_around(40, 100, 40)}, {}]
    backend, detector = scripted(script)
    with detector:
        counts = [len(detector(numbered_frame(i))) for i in range(3)]
    assert counts == [10, 1, 0]
    assert backend.searched_thoroughly == [0, 1, 2]
    assert backend.open_followers == 0


def test_frames_of_a_video_are_searched_now_and_then(scripted):
    script = [{'a': box_around(100 + i, 100), 'b': box_around(400, 100)}
              for i in range(12)]
    backend, detector = scripted(script, video=True)
    faces = [detector(numbered_frame(i), cut=i == 7) for i in range(12)]
    assert [len(row) for row in faces] == [2] * 12
    assert backend.searched == [0, 5, 7]  # and not 10: frame 7 is a cut
    assert backend.searched_thoroughly == [0, 7]
    np.testing.assert_allclose(faces[9][0].min(0), script[9]['a'][:2])


def test_the_largest_faces_are_kept_where_they_are_limited(scripted):
    script = [{'a': box_around(100, 100, 40), 'b': box_around(300, 100, 90)}]
    face, = scripted(script, max_faces=1)[1](numbered_frame(0))
    np.testing.assert_allclose(np.ptp(face, 0), 90.)


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules,
                        'mediapipe.python.solutions.face_detection', None)
    with pytest.raises(ImportError, match='--no-deps mediapipe'):
        MediaPipeLandmarkDetector()


def test_no_face_in_noise_and_nothing_on_stderr(capfd):
    pytest.importorskip('mediapipe.python.solution_base')
    noise = np.random.default_rng(0).integers(0, 255, (90, 121, 3),
                                              dtype=np.uint8)
    with MediaPipeLandmarkDetector(video=True) as detector:
        assert detector(noise) == []
        assert detector(noise[:40, :30]) == []
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
    with MediaPipeLandmarkDetector() as detector:
        for image, true in zip(*heads, strict=True):
            found, = detector(image)
            assert landmark_error(found, true) < 0.045
            mesh, = detector.meshes(image)
            assert mesh.shape == (478, 3)
            np.testing.assert_array_equal(mediapipe_to_68(mesh[:, :2]), found)
        # A face of 32 pixels in a frame of 1280.
        found, = detector(small)
        assert landmark_error(found, scaled) < 0.08


def test_a_large_and_a_small_face_in_every_frame_of_a_video(heads):
    pytest.importorskip('mediapipe.python.solution_base')
    with MediaPipeLandmarkDetector(video=True) as detector:
        for step in range(8):
            frame = np.full((1080, 1920, 3), 110, np.uint8)
            # Faces of 440 and, like many on television, of 60 pixels.
            large = insert(heads[0][1], heads[1][1], 80 + 5 * step, 100, 800,
                           frame)
            small = insert(heads[0][2], heads[1][2], 1500 - 4 * step, 600,
                           110, frame)
            faces = sorted(detector(frame),
                           key=lambda face: -np.ptp(face, 0).min())
            assert len(faces) == 2
            assert landmark_error(faces[0], large) < 0.045
            assert landmark_error(faces[1], small) < 0.07
