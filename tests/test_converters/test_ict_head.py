# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The arrays of a head made of a fake of ICT-FaceKit Light."""
import dataclasses

import numpy as np
import pytest
import torch
from helpers.toy_ict import HINGE, OPEN_ANGLE, ORIGIN

from mmtvface.converters import ict_facekit as ict
from mmtvface.converters.ict_facekit.eyes import fit_sphere
from mmtvface.converters.ict_facekit.head_mesh import select_head
from mmtvface.geometry.landmarks import MIRROR
from mmtvface.heads import FLAME
from mmtvface.heads.providers.procedural import anatomy


@pytest.fixture
def toy(toy_ict):
    return toy_ict


@pytest.fixture
def kit(ict_kit):
    return ict_kit


@pytest.fixture
def head(ict_head):
    return ict_head


@pytest.fixture(scope='module')
def flame(ict_head):
    return FLAME.from_data(ict_head.model, ict_head.landmarks,
                           dtype=torch.float64)


def target(toy, head, name):
    """(V, 3) metres: vertices of one of the kit's files."""
    vertices = (toy.vertices + toy.shapes[name])[head.mesh.kit_vertices]
    return (vertices - head.mesh.origin) * .01


def pose_head(flame, head, expressions=(), jaw=(0, 0, 0), eyes=None,
              neck=None):
    expression = torch.zeros(1, 50, dtype=torch.float64)
    for name in expressions:
        expression[0, head.expression_names.index(name)] = 1
    pose = torch.tensor([[0, 0, 0, *jaw]], dtype=torch.float64)
    return flame(
        torch.zeros(1, 100, dtype=torch.float64), expression, pose,
        None if eyes is None else torch.tensor(eyes).double().reshape(1, 6),
        None if neck is None else torch.tensor(neck).double()[None]
    ).vertices[0].numpy()


def jaw_pose(head, name):
    return head.summary()['jaw_poses'][name]


def test_head_is_a_selection_of_the_kit(toy, head):
    mesh = head.mesh
    chosen = ('face', 'head', 'eyeballs', 'mouth_socket', 'teeth')
    wanted = {tuple(sorted(polygon[i] for i in fan))
              for polygon in toy.polygons
              for fan in [(0, k, k + 1) for k in range(1, len(polygon) - 1)]
              if all(any(a <= v < b for a, b in
                         (toy.layout.parts[name] for name in chosen))
                     for v in polygon)}
    found = {tuple(sorted(face))
             for face in mesh.kit_vertices[mesh.faces].tolist()}
    assert found == wanted and len(mesh.faces) == len(wanted)
    # every vertex is used, in the kit's order
    assert (np.unique(mesh.faces) == np.arange(len(mesh.vertices))).all()
    assert (np.diff(mesh.kit_vertices) > 0).all()
    names = {'face', 'head', 'left_eye', 'right_eye', 'mouth_socket',
             'teeth'}
    assert set(mesh.parts) == names
    assert (sum(mask.astype(int) for mask in mesh.parts.values()) == 1).all()


def test_units_and_origin(head):
    vertices = head.model.v_template
    corners = vertices[head.mesh.landmarks[[39, 42]]]
    np.testing.assert_allclose(corners.mean(0), 0, atol=1e-12)
    landmarks = 1000 * vertices[head.mesh.landmarks]
    # the fake is the built-in head: its vertices are near its landmarks
    away = np.linalg.norm(landmarks - anatomy.LANDMARKS, axis=1)
    assert away.max() < 7 and away.mean() < 2.5


def test_winding_is_turned_to_the_outside(toy, kit):
    flipped = kit._replace(neutral=kit.neutral._replace(
        faces=kit.neutral.faces[:, ::-1],
        uv_faces=kit.neutral.uv_faces[:, ::-1]))
    one, two = (select_head(k.neutral, toy.layout)
                for k in (kit, flipped))
    np.testing.assert_array_equal(one.faces, two.faces)
    np.testing.assert_array_equal(one.uv_faces, two.uv_faces)


def test_components_are_the_files(toy, head):
    model = head.model
    for number in range(toy.layout.num_identity):
        np.testing.assert_allclose(
            model.v_template + model.shapedirs[..., number],
            target(toy, head, f'identity{number:03d}'), atol=1e-12)
    names = head.expression_names
    assert names[:4] == ('mouthSmile_L', 'mouthSmile_R', 'eyeBlink_L',
                         'eyeBlink_R')
    # where models with the default number of components reach it
    assert names.index('jawSide_rest') == names.index('jawForward') + 1 < 50
    assert not {'jawOpen', 'jawLeft', 'jawRight'} & set(names)
    for number, name in enumerate(names, 300):
        if not name.startswith('eyeLook') and name != 'jawSide_rest':
            np.testing.assert_allclose(
                model.v_template + model.shapedirs[..., number],
                target(toy, head, name), atol=1e-12)
    # the rest is room that stays empty
    used = np.abs(model.shapedirs).max((0, 1)) > 0
    assert used.sum() == toy.layout.num_identity + len(names)
    assert not used[toy.layout.num_identity:300].any()


def test_jaw_joint_opens_the_mouth(toy, head, flame):
    opened = target(toy, head, 'jawOpen')
    posed = pose_head(flame, head, jaw=jaw_pose(head, 'jawOpen'))
    # with its correctives the joint gives the blend shape itself
    np.testing.assert_allclose(posed, opened, atol=1e-9)
    plain = FLAME.from_data(
        dataclasses.replace(head.model,
                            posedirs=np.zeros_like(head.model.posedirs)),
        head.landmarks, dtype=torch.float64)
    alone = pose_head(plain, head, jaw=jaw_pose(head, 'jawOpen'))
    moving = np.linalg.norm(opened - head.model.v_template, axis=1) > 1e-4
    rms = np.sqrt(np.mean(np.sum((alone - opened)[moving]**2, axis=1)))
    assert rms < 1e-3
    assert head.jaw.left_over['jawOpen'] == pytest.approx(rms, rel=.02)
    assert head.jaw.explained['jawOpen'] > .99


def test_hinge_and_weights_are_those_of_the_fake(toy, head):
    # jawOpen also glides by (0, -1, 1.5) mm, which moves the fixed point
    sine, cosine = np.sin(OPEN_ANGLE), np.cos(OPEN_ANGLE)
    system = np.array([[1 - cosine, sine], [-sine, 1 - cosine]])
    fixed = HINGE[1:] + np.linalg.solve(system, [-1, 1.5])
    found = 1000 * head.jaw.hinge.joint + 10 * head.mesh.origin + ORIGIN
    np.testing.assert_allclose(found, [0, *fixed], atol=1.5)
    assert head.jaw.open_pose == pytest.approx([OPEN_ANGLE, 0, 0], abs=.005)
    true = toy.jaw[head.mesh.kit_vertices]
    assert np.abs(head.jaw.weights - true).mean() < .01
    assert np.abs(head.jaw.weights - true).max() < .15
    teeth = head.mesh.parts['teeth']
    np.testing.assert_allclose(head.jaw.weights[teeth], true[teeth],
                               atol=.02)


@pytest.mark.parametrize('name', ['jawLeft', 'jawRight'])
def test_jaw_joint_goes_aside(toy, head, flame, name):
    wanted = target(toy, head, name)
    posed = pose_head(flame, head, ['jawSide_rest'], jaw_pose(head, name))
    # the component moves the hinge itself by a few micrometres
    np.testing.assert_allclose(posed, wanted, atol=1e-5)
    without = pose_head(flame, head, [], jaw_pose(head, name))
    assert np.abs(without - wanted).max() < 1e-3


def test_correctives_of_the_jaw_do_not_mix(head, flame):
    opening = np.array(jaw_pose(head, 'jawOpen'))
    change = torch.linalg.matrix_exp(torch.tensor(
        [[0, 0, 0], [0, 0, -opening[0]], [0, opening[0], 0]])) - torch.eye(3)
    block = head.model.posedirs[..., 9:18] @ change.double().numpy().ravel()
    np.testing.assert_allclose(
        block, head.model.posedirs[..., 9 + 7] * 2 * np.sin(opening[0]),
        atol=1e-7)
    assert not head.model.posedirs[..., :9].any()
    assert not head.model.posedirs[..., 18:].any()


def test_eyes_turn_about_their_centers(head, flame):
    joints = 1000 * head.model.joints
    np.testing.assert_allclose(
        joints[3:] + 10 * head.mesh.origin + ORIGIN,
        [anatomy.EYE_CENTER, anatomy.EYE_CENTER * [-1, 1, 1]], atol=.01)
    turned = pose_head(flame, head, eyes=[.2, .3, 0, 0, -.4, 0])
    rest = head.model.v_template
    for eye, joint in (('left_eye', 3), ('right_eye', 4)):
        ball = head.mesh.parts[eye]
        center = head.model.joints[joint]
        np.testing.assert_allclose(
            np.linalg.norm(turned[ball] - center, axis=1),
            np.linalg.norm(rest[ball] - center, axis=1), atol=1e-9)
        assert np.linalg.norm(turned[ball] - rest[ball],
                              axis=1).max() > .003
    other = ~(head.mesh.parts['left_eye'] | head.mesh.parts['right_eye'])
    np.testing.assert_allclose(turned[other], rest[other], atol=1e-12)


@pytest.mark.parametrize('name, eye', [('eyeLookUp_L', 'left_eye'),
                                       ('eyeLookIn_R', 'right_eye')])
def test_gaze_is_a_pose_and_the_eyelids_a_component(toy, head, flame, name,
                                                 eye):
    poses = head.summary()['eye_poses'][name]
    assert list(poses) == [eye]
    eyes = [poses.get('left_eye', [0, 0, 0]),
            poses.get('right_eye', [0, 0, 0])]
    np.testing.assert_allclose(
        pose_head(flame, head, [name], eyes=eyes), target(toy, head, name),
        atol=1e-7)


def test_skinning_weights(head, flame):
    weights, parts = head.model.weights, head.mesh.parts
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)
    assert weights.min() >= 0
    assert (weights[parts['left_eye'], 3] == 1).all()
    assert (weights[parts['right_eye'], 4] == 1).all()
    skin = head.mesh.skin
    assert not weights[~parts['left_eye'], 3].any()
    y = head.model.v_template[:, 1]
    assert (weights[skin & (y > .035), 1] == 1).all()
    assert (weights[skin & (y < -.1685), 0] > .99).all()
    assert (np.diff(weights[skin, 0][np.argsort(y[skin])]) <= 1e-9).mean() > .9
    # nodding moves the crown and leaves the trunk
    nod = pose_head(flame, head, neck=[.3, 0, 0])
    moved = np.linalg.norm(nod - head.model.v_template, axis=1)
    assert moved[y > .09].min() > .04
    assert moved[y < -.1685].max() < 1e-3


def test_joints_follow_the_identity(toy, head):
    regressor, mesh = head.model.J_regressor, head.mesh
    np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-9)
    assert (regressor != 0).mean() < .15
    joints = head.model.joints
    np.testing.assert_allclose(joints[:3, 0], 0, atol=1e-9)
    assert joints[0, 1] < joints[1, 1] < joints[2, 1] < 0
    np.testing.assert_allclose(joints[2], head.jaw.hinge.joint, atol=1e-9)
    # a larger head has its joints further apart
    np.testing.assert_allclose(regressor @ (1.1 * mesh.vertices),
                               1.1 * joints, atol=1e-12)
    for number in range(toy.layout.num_identity):
        other = mesh.vertices + 2 * head.model.shapedirs[..., number]
        for joint, eye in ((3, 'left_eye'), (4, 'right_eye')):
            center = fit_sphere(other[mesh.parts[eye]]).center
            np.testing.assert_allclose(regressor[joint] @ other, center,
                                       atol=2e-4)


def test_landmarks_are_the_listed_vertices(toy, head, flame):
    out = flame(torch.zeros(1, 100).double(), torch.zeros(1, 50).double(),
                torch.zeros(1, 6).double())
    kit_rows = head.mesh.kit_vertices[head.mesh.landmarks]
    assert tuple(kit_rows) == toy.layout.landmarks
    expected = (toy.vertices[kit_rows] - head.mesh.origin) * .01
    np.testing.assert_allclose(out.landmarks3d[0], expected, atol=1e-9)
    np.testing.assert_allclose(out.landmarks2d[0], expected, atol=1e-9)


def contour(head, yaw):
    row = yaw if yaw >= 0 else 39 - yaw
    corners = head.model.faces[head.landmarks.dynamic_lmk_faces_idx[row]]
    return 1000 * np.einsum(
        'nk,nkc->nc', head.landmarks.dynamic_lmk_bary_coords[row],
        head.model.v_template[corners])


def test_contour_slides_with_yaw(head):
    front, turned = contour(head, 0), contour(head, 30)
    # the person's left turns away: the outline moves over the cheek
    assert (turned[11:16, 2] > front[11:16, 2] + 3).all()
    np.testing.assert_array_equal(turned[:9], front[:9])
    # and is what is seen furthest to the side
    yaw = np.radians(30)
    side = [np.cos(yaw), 0, np.sin(yaw)]
    assert (turned[9:] @ side >= front[9:] @ side - 1e-9).all()
    other = contour(head, -30)
    np.testing.assert_allclose(other[list(MIRROR[:17])] * [-1, 1, 1], turned,
                               atol=1.5)
    barys = head.landmarks.dynamic_lmk_bary_coords
    np.testing.assert_allclose(barys.sum(-1), 1, atol=1e-12)
    assert barys.min() > -1e-9


def test_head_cut_off_below_the_chin(toy, kit, head):
    y = kit.neutral.vertices[:, 1]
    low = y[kit.neutral.faces].min(1) < -9
    short = kit._replace(neutral=kit.neutral._replace(
        faces=kit.neutral.faces[~low], uv_faces=kit.neutral.uv_faces[~low]))
    cut = ict.convert_kit(short, toy.layout, full_activation=2.)
    joints = cut.model.joints
    assert cut.model.v_template[:, 1].min() > -.125
    assert joints[0, 1] < joints[1, 1] < joints[2, 1]
    assert np.abs(joints).max() < .2
    np.testing.assert_allclose(cut.model.weights.sum(1), 1, atol=1e-12)
    # a coefficient of two is now the full expression
    count = (head.mesh.kit_vertices[:, None] ==
             cut.mesh.kit_vertices[:200]).argmax(0)
    for number, factor in ((1, 1), (300, 2), (303, 2)):
        np.testing.assert_allclose(
            factor * cut.model.shapedirs[:200, :, number],
            head.model.shapedirs[count, :, number], atol=1e-12)


@pytest.mark.parametrize('change, message', [
    (dict(parts=['hair']), "no optional part 'hair': choose from mouth_soc"),
    (dict(parts=['face']), "no optional part 'face'"),
    (dict(full_activation=0.), 'full_activation must be positive')])
def test_wrong_options_are_refused(toy, kit, change, message):
    with pytest.raises(ValueError, match=message):
        ict.convert_kit(kit, toy.layout, **change)


def test_too_many_expressions_are_refused(toy, kit):
    many = dict(kit.expressions)
    many.update({f'x{i}': many['mouthPucker'] for i in range(90)})
    with pytest.raises(ValueError, match='expressions besides those of the '
                       'jaw, but a head has room for 100'):
        ict.convert_kit(kit._replace(expressions=many), toy.layout)


def test_layout_that_does_not_fit_the_polygons(toy, kit):
    parts = dict(toy.layout.parts)
    parts['eyeballs'] = parts['eye_sockets']
    faces = kit.neutral.faces
    keep = (faces < parts['eyeballs'][0]).any(1)
    bad = kit.neutral._replace(faces=faces[keep],
                               uv_faces=kit.neutral.uv_faces[keep])
    with pytest.raises(ValueError, match='part eyeballs has no polygon'):
        select_head(
            bad, dataclasses.replace(toy.layout, parts=parts))
    lonely = (faces != toy.layout.landmarks[30]).all(1)
    bad = kit.neutral._replace(faces=faces[lonely],
                               uv_faces=kit.neutral.uv_faces[lonely])
    with pytest.raises(ValueError, match=r'landmarks \[30\] lie on no'):
        select_head(bad, toy.layout)
