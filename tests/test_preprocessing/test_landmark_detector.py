# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys

import cv2
import numpy as np
import pytest

from mmtvface.preprocessing.landmark_detector import (
    MediaPipeLandmarkDetector,
)
from mmtvface.testing.rendered_heads import landmark_error, rendered_heads


class FakeGraph:
    """Answers like a graph of MediaPipe, by image width."""

    def __init__(self, faces):
        self.faces = faces

    def process(self, image):
        points = self.faces.get(image.shape[1])
        face = type('Face', (), {'landmark': [
            type('Point', (), {'x': x, 'y': y, 'z': z})
            for x, y, z in points]}) if points is not None else None
        return type('Result', (), {
            'multi_face_landmarks': [face] if face else None,
            'detections': None})


def detector_of(still, tracker=None):
    made = MediaPipeLandmarkDetector.__new__(MediaPipeLandmarkDetector)
    made._still = FakeGraph(still)
    made._tracker = made._still if tracker is None else FakeGraph(tracker)
    made._far = FakeGraph({})
    return made


def test_image_edges_become_pixel_indices():
    points = np.random.default_rng(0).uniform(size=(478, 3))
    points[0] = 0., 0., 0.
    points[1] = 1., 1., 0.5
    mesh, = detector_of({200: points}).meshes(
        np.zeros((100, 200, 3), np.uint8))
    assert mesh.shape == (468, 3)
    np.testing.assert_allclose(mesh[0], [-0.5, -0.5, 0.])
    np.testing.assert_allclose(mesh[1], [199.5, 99.5, 100.])


def test_a_face_lost_by_tracking_is_searched_in_the_still_image():
    points = np.full((468, 3), 0.5)
    found = detector_of({200: points}, tracker={}).meshes(
        np.zeros((100, 200, 3), np.uint8))
    np.testing.assert_allclose(found[0][0, :2], [99.5, 49.5])


def test_margin_and_enlargement_are_undone():
    # 60 x 60 gains a margin of 20 on each side and is enlarged by 3: 300.
    points = np.full((468, 3), 0.5)
    points[0, :2] = 20 / 100, 80 / 100  # the corner (0, 60) of the image
    mesh, = detector_of({300: points}).meshes(
        np.zeros((60, 60, 3), np.uint8))
    np.testing.assert_allclose(mesh[1, :2], [29.5, 29.5])
    np.testing.assert_allclose(mesh[0, :2], [-0.5, 59.5])


def test_a_missing_package_is_named_with_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules,
                        'mediapipe.python.solutions.face_mesh', None)
    with pytest.raises(ImportError, match='pip install mediapipe'):
        MediaPipeLandmarkDetector()


def test_no_face_in_noise_and_nothing_on_stderr(capfd):
    pytest.importorskip('mediapipe.python.solutions.face_mesh')
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


def test_landmarks_of_the_built_in_head(heads):
    pytest.importorskip('mediapipe.python.solutions.face_mesh')
    small = np.full((720, 1280, 3), 90, np.uint8)
    small[500:560, 200:260] = cv2.resize(
        heads[0][1], (60, 60), interpolation=cv2.INTER_AREA)
    with MediaPipeLandmarkDetector() as detector:
        for image, true in zip(*heads, strict=True):
            found, = detector(image)
            assert landmark_error(found, true) < 0.045
        # A head of 50 pixels in a frame of 1280.
        found, = detector(small)
        scaled = (heads[1][1] + 0.5) * 60 / 320 - 0.5 + [200, 500]
        assert landmark_error(found, scaled) < 0.08
