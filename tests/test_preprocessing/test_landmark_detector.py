# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys

import numpy as np
import pytest

from mmtvface.preprocessing.landmark_detector import (
    MediaPipeLandmarkDetector,
    tiles,
)


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


@pytest.mark.parametrize('size', [(100, 100), (90, 161), (301, 77), (3, 1)])
def test_every_small_square_is_whole_in_a_tile(size):
    height, width = size
    reach = max(0, min(size) // 4 - 1)
    whole = np.zeros((height - reach, width - reach), bool)
    for left, top, part in tiles(np.zeros((*size, 3), np.uint8)):
        assert part.shape[0] == part.shape[1] == max(1, min(size) // 2)
        whole[top:top + part.shape[0] - reach,
              left:left + part.shape[1] - reach] = True
    assert whole.all()


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
