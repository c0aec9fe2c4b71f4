# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.geometry.mediapipe68 import FACE_OVAL
from mmtvface.preprocessing.face_mask import (
    landmark_mask,
    mesh_mask,
    polygon_mask,
)


def test_polygon_covers_its_pixels():
    mask = polygon_mask(np.array([[2, 1], [5, 1], [5, 4], [2, 4]]), (6, 8))
    expected = np.zeros((6, 8), np.uint8)
    expected[1:5, 2:6] = 1
    np.testing.assert_array_equal(mask, expected)


def test_landmark_mask_adds_the_forehead():
    points = np.full((68, 2), 50.)
    points[:17] = np.stack([np.linspace(20, 80, 17),
                            90 - np.abs(np.linspace(-30, 30, 17))], 1)
    points[17:27] = np.stack([np.linspace(25, 75, 10), np.full(10, 40.)], 1)
    bare = landmark_mask(points, (100, 100), forehead=0.)
    full = landmark_mask(points, (100, 100), forehead=0.4)
    assert bare[40, 50] and not bare[38, 50]
    assert full[21, 50] and not full[18, 50]  # 40 - 0.4 * (90 - 40) = 20
    assert (full >= bare).all()


def test_mesh_mask_fills_the_oval():
    mesh = np.full((468, 3), 30.)
    angle = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    mesh[list(FACE_OVAL), :2] = 30 + 20 * np.stack(
        [np.sin(angle), -np.cos(angle)], 1)
    mask = mesh_mask(mesh, (60, 60))
    # A polygon of n corners in a circle of radius 20 pixels.
    area = len(angle) / 2 * 400 * np.sin(2 * np.pi / len(angle))
    assert mask.sum() == pytest.approx(area, rel=0.06)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r'\(68, 2\).*\(5, 2\)'):
        landmark_mask(np.zeros((5, 2)), (4, 4))
    with pytest.raises(ValueError, match='468'):
        mesh_mask(np.zeros((68, 3)), (4, 4))
