# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import dataclasses

import numpy as np
import pytest
import torch
from helpers.toy_head import toy_head

from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.heads import LandmarkEmbedding, load_landmark_embedding
from mmtvface.heads.landmark_embedding import (
    contour_index,
    interpolate_landmarks,
    landmark_tables,
)


def _assert_same(result, expected):
    for field in dataclasses.fields(LandmarkEmbedding):
        actual, want = (getattr(m, field.name) for m in (result, expected))
        np.testing.assert_allclose(actual, want, rtol=1e-6)
        assert actual.dtype == (
            np.int64 if field.name.endswith('idx') else np.float64)


def test_reads_the_published_format_with_tensors_inside(tmp_path):
    landmarks = toy_head().landmarks
    content = {
        name: torch.tensor(
            array, dtype=torch.float32 if 'bary' in name else torch.int64)
        if name.startswith('dynamic') else array
        for name, array in vars(landmarks).items()}
    path = tmp_path / 'landmark_embedding.npy'
    np.save(path, content, allow_pickle=True)
    _assert_same(load_landmark_embedding(path), landmarks)
    np.savez(tmp_path / 'landmark_embedding.npz', **vars(landmarks))
    _assert_same(load_landmark_embedding(
        tmp_path / 'landmark_embedding.npz'), landmarks)


def test_says_what_is_wrong_with_the_file(tmp_path):
    path = tmp_path / 'landmark_embedding.npy'
    content = dict(vars(toy_head().landmarks))
    cases = [
        (dict(content, full_lmk_faces_idx=np.zeros((1, 67), np.int64)),
         r'full_lmk_faces_idx .*\(1, 68\).*\(1, 67\)'),
        ({k: v for k, v in content.items() if 'static' not in k},
         r"\['static_lmk_faces_idx', 'static_lmk_bary_coords'\] are missing"),
        (dict(content, static_lmk_faces_idx=-np.ones(51, np.int64)),
         'must not be negative'),
        ([1, 2, 3], 'must hold a dict'),
    ]
    for value, message in cases:
        np.save(path, value, allow_pickle=True)
        with pytest.raises(ValueError, match=message) as caught:
            load_landmark_embedding(path)
        assert str(path) in str(caught.value)
        assert 'DECA' in str(caught.value)
    with pytest.raises(FileNotFoundError, match='none.npy'):
        load_landmark_embedding(tmp_path / 'none.npy')


@pytest.mark.parametrize('degrees, row', [
    (0, 0), (.4, 0), (.6, 1), (12.3, 12), (39, 39), (39.4, 39), (80, 39),
    (-.4, 0), (-.6, 40), (-12.3, 51), (-38.6, 78), (-39, 78), (-80, 78)])
def test_contour_row_by_hand(degrees, row):
    vector = torch.tensor([[0, np.deg2rad(degrees), 0]])
    assert contour_index(axis_angle_to_matrix(vector)).tolist() == [row]


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_contour_row_of_a_broken_pose_stays_in_the_table(value):
    vectors = torch.tensor([[0, .2, 0], [0, value, 0]])
    rows = contour_index(axis_angle_to_matrix(vectors))
    assert rows.tolist() == [11, 0]


def test_contour_ignores_roll_and_pitch_after_the_yaw():
    # R = Rz Ry: the roll in the image plane does not change the outline.
    yaw = axis_angle_to_matrix(torch.tensor([0., .35, 0.]))
    roll = axis_angle_to_matrix(torch.tensor([0., 0., .8]))
    assert contour_index((roll @ yaw)[None]).item() == 20


def test_tables_name_the_corners():
    head = toy_head()
    faces, marks = head.model.faces, head.landmarks
    tables = landmark_tables(marks, faces)
    for row, point in ((0, 0), (39, 16), (78, 8)):
        np.testing.assert_array_equal(
            tables.corners2d[row, point],
            faces[marks.dynamic_lmk_faces_idx[row, point]])
        np.testing.assert_array_equal(
            tables.weights2d[row, point],
            marks.dynamic_lmk_bary_coords[row, point])
    for row, point in ((0, 0), (55, 50)):
        np.testing.assert_array_equal(
            tables.corners2d[row, 17 + point],
            faces[marks.static_lmk_faces_idx[point]])
        np.testing.assert_array_equal(
            tables.weights2d[row, 17 + point],
            marks.static_lmk_bary_coords[point])
    np.testing.assert_array_equal(tables.corners3d,
                                  faces[marks.full_lmk_faces_idx[0]])


def test_tables_refuse_another_models_embedding():
    head = toy_head()
    with pytest.raises(ValueError, match='belongs to another model'):
        landmark_tables(head.landmarks, head.model.faces[:50])


def test_interpolation_by_hand_and_gradient():
    vertices = torch.tensor([[[0., 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 4]],
                             [[1., 1, 1], [1, 1, 1], [1, 1, 1], [5, 1, 1]]],
                            dtype=torch.float64, requires_grad=True)
    corners = torch.tensor([[0, 1, 2], [1, 2, 3]])
    weights = torch.tensor([[.5, .25, .25], [0, .5, .5]],
                           dtype=torch.float64, requires_grad=True)
    points = interpolate_landmarks(vertices, corners, weights)
    np.testing.assert_allclose(points.detach(),
                               [[[.25, .5, 0], [0, 1, 2]],
                                [[1, 1, 1], [3, 1, 1]]])
    per_mesh = interpolate_landmarks(
        vertices, torch.stack((corners, corners.flip(0))),
        torch.stack((weights, weights.flip(0))))
    np.testing.assert_allclose(per_mesh[1].detach(), [[3, 1, 1], [1, 1, 1]])
    assert torch.autograd.gradcheck(
        lambda v, w: interpolate_landmarks(v, corners, w),
        (vertices, weights))
