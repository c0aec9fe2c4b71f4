# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.geometry.face_mask import (
    landmark_mask,
    mesh_mask,
    outline_mask,
    polygon_mask,
)
from mmtvface.geometry.mediapipe68 import FACE_OVAL


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


@pytest.fixture
def face():
    """Landmarks of a schematic face of 200 pixels; its eyes are 40 wide."""
    points = np.zeros((68, 2))
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([150 + 90 * np.cos(angle),
                            130 + 100 * np.sin(angle)], 1)
    points[17:27] = np.stack([np.linspace(80, 220, 10), np.full(10, 100.)], 1)
    points[27:36] = 150., 150.
    eye = np.array([[-20, 0], [-7, -8], [7, -8], [20, 0], [7, 8], [-7, 8]])
    points[36:42], points[42:48] = eye + [110, 125], eye + [190, 125]
    points[48:60] = 150., 190.
    points[60:68] = np.array([
        [-25, 0], [-10, -6], [0, -6], [10, -6], [25, 0], [10, 6], [0, 6],
        [-10, 6]]) + [150, 190]
    return points


def test_outline_leaves_out_eyes_and_mouth(face):
    mask = outline_mask(face, (300, 300))
    whole = landmark_mask(face, (300, 300))
    assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 1}
    for x, y in ((110, 125), (190, 125), (150, 190)):
        assert whole[y, x] and not mask[y, x]
    for x, y in ((110, 110), (150, 150), (150, 210), (150, 70)):
        assert mask[y, x]
    removed = (whole - mask).sum()
    # Two eyes of 16 * (40 + 14) / 2 and a mouth of 12 * (50 + 20) / 2, and
    # half of the pixels on their outlines.
    assert 2 * 432 + 420 <= removed <= 2 * 432 + 420 + 200


def test_a_closed_mouth_is_not_cut(face):
    face[60:68, 1] = 190.
    mask = outline_mask(face, (300, 300))
    assert mask[185:196, 120:181].all()
    face[[61, 62, 63], 1] -= 0.4  # thinner than a pixel
    assert outline_mask(face, (300, 300))[185:196, 120:181].all()


def test_the_mesh_gives_the_outline_and_landmarks_the_openings(face):
    mesh = np.full((468, 3), 150.)
    angle = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    mesh[list(FACE_OVAL), :2] = 150 + 60 * np.stack(
        [np.sin(angle), -np.cos(angle)], 1)
    mask = outline_mask(face, (300, 300), mesh)
    oval = mesh_mask(mesh, (300, 300))
    np.testing.assert_array_equal(
        mask, oval & outline_mask(face, (300, 300)))
    assert not mask[190, 150] and oval[190, 150]


def test_faces_beyond_the_image_are_masked_where_they_are_seen(face):
    mask = outline_mask(face, (300, 300))
    moved = outline_mask(face - [100, 80], (120, 110))
    # OpenCV rounds edges that leave the image by a pixel differently.
    assert (moved != mask[80:200, 100:210]).mean() < 0.002
    assert moved.any() and not moved.all()


def test_landmarks_that_are_not_finite_are_refused(face):
    face[3] = np.nan
    with pytest.raises(ValueError, match='landmarks must be finite'):
        outline_mask(face, (300, 300))
