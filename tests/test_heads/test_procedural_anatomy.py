# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The built-in head against the measured average head."""

import numpy as np
import pytest
import trimesh

from mmtvface.geometry.alignment import align_rigid
from mmtvface.geometry.landmarks import EYELID_PAIRS, LIP_PAIRS
from mmtvface.heads.providers.procedural import (
    FULL_ACTIVATION,
    procedural_head,
)
from mmtvface.heads.providers.procedural import anatomy as measured
from mmtvface.heads.providers.procedural.rigging import JAW_OPEN_ANGLE

# Height y, greatest half width (ears left out), front z, back z in mm.
OUTLINE = np.array([
    (110, 30, -53, -122), (95, 55, -20, -150), (80, 65, -5, -162),
    (65, 74, 5, -171), (50, 78, 10, -176), (35, 79, 15, -179),
    (20, 79, 16, -179), (-10, 79, 29, -173), (-25, 78, 39, -168),
    (-40, 77, 36, -161), (-55, 76, 27, -153), (-70, 65, 24, -150),
    (-85, 58, 18, -149), (-100, 57, 18, -149)], dtype=np.float64)


@pytest.fixture(scope='module')
def head():
    return procedural_head()


@pytest.fixture(scope='module')
def skin(head):
    """The mean head without the inside of the mouth and the eyeballs, mm."""
    hidden = head.regions['mouth_inside'] | head.regions['eyeballs']
    faces = head.model.faces
    return trimesh.Trimesh(1000 * head.model.v_template,
                           faces[~hidden[faces].any(1)], process=False)


def landmarks(head, vertices):
    """(68, 3) of vertices (V, 3), in their unit."""
    embedding = head.landmarks
    corners = head.model.faces[embedding.full_lmk_faces_idx[0]]
    return np.einsum('nk,nkc->nc', embedding.full_lmk_bary_coords[0],
                     vertices[corners])


def distance(skin, points):
    return trimesh.proximity.closest_point_naive(skin, points)[1]


def test_landmarks_are_where_they_are_measured(head):
    found = 1000 * landmarks(head, head.model.v_template)
    aligned = align_rigid(found, measured.LANDMARKS)
    error = np.linalg.norm(aligned - measured.LANDMARKS, axis=1)
    assert np.sqrt(np.mean(error**2)) < 1.5
    assert error.max() < 4


def test_midline_profile(skin):
    y, z = measured.MIDLINE.T
    points = np.stack([np.zeros_like(y), y, z], -1)
    assert distance(skin, points).max() < 4


@pytest.mark.parametrize('height', measured.SECTIONS)
def test_cross_section(skin, height):
    x, z = measured.SECTIONS[height].T
    left = np.stack([x, np.full_like(x, height), z], -1)
    # the last row of a section may be hidden by the ear
    left = left[x < 80]
    assert distance(skin, left).max() < 4
    assert distance(skin, left * [-1, 1, 1]).max() < 4


def test_widths_and_depths(head, skin):
    ears = head.regions['ears']
    earless = trimesh.Trimesh(
        skin.vertices, skin.faces[~ears[skin.faces].any(1)], process=False)
    for height, half_width, front, back in OUTLINE:
        lines = trimesh.intersections.mesh_plane(
            earless, [0, 1, 0], [0, height, 0])
        # the hole of the ear takes away a little of the side
        assert lines[..., 0].max() == pytest.approx(half_width, abs=4)
        assert -lines[..., 0].min() == pytest.approx(half_width, abs=4)
        ends = np.array([[0., height, front], [0., height, back]])
        assert distance(skin, ends).max() < 4
    assert skin.vertices[:, 1].max() == pytest.approx(
        measured.CROWN_HEIGHT, abs=4)
    assert skin.vertices[:, 2].min() == pytest.approx(-179, abs=4)
    assert 86 < skin.vertices[ears, 0].max() < 96


def test_identity_spread_of_each_landmark(head):
    vertices = head.model.shapedirs[..., :300]
    moved = 1000 * landmarks(head, vertices.reshape(len(vertices), -1))
    spread = np.sqrt(np.sum(moved.reshape(68, -1)**2, axis=1))
    ratio = spread / np.linalg.norm(measured.LANDMARK_SD, axis=1)
    assert ratio.max() < 1.5
    assert ratio.min() > 1 / 1.5


def test_identity_components_are_orthogonal_and_fall(head):
    shapes = 1000 * head.model.shapedirs[..., :300].reshape(-1, 300)
    count = len(head.model.v_template)
    gram = shapes.T @ shapes / count
    rms = np.sqrt(np.diag(gram))
    cosine = gram / np.outer(rms, rms)
    np.fill_diagonal(cosine, 0)
    assert np.abs(cosine).max() < 1e-3
    assert (np.diff(rms) < 1e-6).all()
    np.testing.assert_allclose(
        rms[:20], np.sort(measured.IDENTITY_RMS)[::-1], atol=1e-3)
    for number, value in measured.IDENTITY_RMS_TAIL:
        assert rms[number - 1] == pytest.approx(value, rel=.05)
    assert np.sqrt(np.sum(rms**2)) == pytest.approx(6.2, abs=.4)


def test_eyeballs_stay_round_and_eyelids_near_them(head):
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((300, 20))
    moved = 1000 * (head.model.v_template[..., None] +
                    head.model.shapedirs[..., :300] @ codes)
    for side in ('left', 'right'):
        ball = moved[head.regions[f'{side}_eyeball']]
        center = ball[[0, -1]].mean(0)
        radius = np.linalg.norm(ball - center, axis=1)
        assert radius.min() > 11.5
        assert radius.max() < 12.8
        eyelids = np.stack([
            landmarks(head, moved[..., i]) for i in range(20)], -1)
        middle = [43, 44, 46, 47] if side == 'left' else [37, 38, 40, 41]
        gap = np.linalg.norm(eyelids[middle] - center, axis=1) - 12
        assert gap.min() > -.3
        assert gap.max() < 2.5


def expression(head, *names):
    index = [head.expression_names.index(name) for name in names]
    return FULL_ACTIVATION * head.model.shapedirs[..., 300:][..., index].sum(
        -1)


def test_blink_closes_the_eyelids(head):
    open_eyes = 1000 * landmarks(head, head.model.v_template)
    closed = open_eyes + 1000 * landmarks(
        head, expression(head, 'eyeBlink_L', 'eyeBlink_R'))
    for upper, lower in EYELID_PAIRS:
        assert np.linalg.norm(open_eyes[upper] - open_eyes[lower]) > 6
        assert np.linalg.norm(closed[upper] - closed[lower]) < 1.5


@pytest.mark.parametrize(('name', 'number', 'wanted'), [
    ('smile_L', 54, (7, 10, -9)), ('pucker', 54, (-5, 2, 10)),
    ('browOuterUp_L', 25, (2, 8, -3)), ('browInnerUp', 23, (1, 5, -1)),
    ('browDown_L', 24, (-5, -4, 3)), ('frown_L', 54, (2, -5, -2)),
    ('jawForward', 8, (0, -2, 11)), ('jawSide', 8, (9, 0, 0)),
    ('funnel', 57, (0, -9, 4)), ('stretch_L', 54, (7, -3, -7))])
def test_named_expressions_move_what_they_name(head, name, number, wanted):
    moved = 1000 * landmarks(head, expression(head, name))[number]
    assert np.linalg.norm(moved - wanted) < .45 * np.linalg.norm(wanted)


def test_left_and_right_expressions_are_mirror_images(head):
    left = landmarks(head, expression(head, 'smile_L'))
    right = landmarks(head, expression(head, 'smile_R'))
    np.testing.assert_allclose(left[54], right[48] * [-1, 1, 1], atol=1e-7)
    assert np.linalg.norm(left[48]) < .25 * np.linalg.norm(left[54])


def test_jaw_joint_opens_the_mouth(head):
    model = head.model
    angle = JAW_OPEN_ANGLE
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)],
                         [0, np.sin(angle), np.cos(angle)]])
    feature = np.zeros(36)
    feature[9:18] = (rotation - np.eye(3)).ravel()
    posed = model.v_template + model.posedirs @ feature
    joint = model.J_regressor[2] @ model.v_template
    turned = (posed - joint) @ rotation.T + joint
    posed += model.weights[:, 2:3] * (turned - posed)
    before = 1000 * landmarks(head, model.v_template)
    after = 1000 * landmarks(head, posed)
    assert after[57, 1] - before[57, 1] == pytest.approx(-35, abs=5)
    assert after[8, 1] - before[8, 1] == pytest.approx(-28, abs=5)
    for upper, lower in LIP_PAIRS:
        assert before[upper, 1] - before[lower, 1] < 1.5
        assert after[upper, 1] - after[lower, 1] > 15
    np.testing.assert_allclose(after[:48][17:], before[:48][17:], atol=1.)
