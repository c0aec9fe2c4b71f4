# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pickle

import numpy as np
import pytest
import torch
from helpers.toy_head import save_toy_head, toy_head
from scipy.spatial.transform import Rotation

from mmtvface.heads import FLAME
from mmtvface.registry import MODELS

NS, NE = 12, 7


def _codes(batch, dtype=torch.float64, scale=.5):
    generator = torch.Generator().manual_seed(3)

    def draw(size):
        return scale * torch.randn(batch, size, generator=generator,
                                   dtype=torch.float64).to(dtype)

    return dict(shape=draw(NS), expression=draw(NE), pose=draw(6),
                eye_pose=draw(6), neck_pose=draw(3))


def _layer(dtype=torch.float64, head=None):
    head = head or toy_head()
    return FLAME.from_data(head.model, head.landmarks, NS, NE, dtype)


def _reference(head, shape, expression, pose, eye_pose, neck_pose):
    """One head from the paper's equations, in loops."""
    model, marks = head.model, head.landmarks
    betas = np.zeros(400)
    betas[:len(shape)] = shape
    betas[300:300 + len(expression)] = expression
    vectors = [pose[:3], neck_pose, pose[3:], eye_pose[:3], eye_pose[3:]]
    rotations = [Rotation.from_rotvec(v).as_matrix() for v in vectors]
    shaped = model.v_template.copy()
    for k, beta in enumerate(betas):
        shaped += beta * model.shapedirs[:, :, k]
    joints = np.array([sum(model.J_regressor[j, v] * shaped[v]
                           for v in range(len(shaped))) for j in range(5)])
    rest = shaped.copy()
    for j in range(1, 5):
        for entry, value in enumerate((rotations[j] - np.eye(3)).ravel()):
            rest += value * model.posedirs[:, :, 9 * (j - 1) + entry]
    world = []
    for j, parent in enumerate(model.parents):
        local = np.eye(4)
        local[:3, :3] = rotations[j]
        local[:3, 3] = joints[j] - (joints[parent] if j else 0)
        world.append(world[parent] @ local if j else local)
    posed = np.zeros_like(rest)
    for v in range(len(rest)):
        for j in range(5):
            moved = world[j] @ np.append(rest[v] - joints[j], 1)
            posed[v] += model.weights[v, j] * moved[:3]

    head_rotation = rotations[0] @ rotations[1]
    yaw = np.rad2deg(np.arctan2(-head_rotation[2, 0], np.hypot(
        head_rotation[0, 0], head_rotation[1, 0])))
    row = int(np.round(min(yaw, 39)))
    row = row if row >= 0 else (78 if row < -39 else 39 - row)

    def points(faces, weights):
        return np.array([w @ posed[model.faces[f]]
                         for f, w in zip(faces, weights, strict=True)])

    contour = points(marks.dynamic_lmk_faces_idx[row],
                     marks.dynamic_lmk_bary_coords[row])
    static = points(marks.static_lmk_faces_idx, marks.static_lmk_bary_coords)
    full = points(marks.full_lmk_faces_idx[0], marks.full_lmk_bary_coords[0])
    return posed, np.concatenate((contour, static)), full


@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 1e-6),
                                              (torch.float64, 1e-13)])
def test_agrees_with_the_equations_in_loops(dtype, tolerance):
    head = toy_head()
    codes = _codes(6, dtype)
    output = _layer(dtype, head)(**codes)
    rows = set()
    for b in range(6):
        expected = _reference(
            head, **{k: v[b].double().numpy() for k, v in codes.items()})
        for actual, want in zip(output, expected, strict=True):
            assert actual.dtype == dtype
            np.testing.assert_allclose(actual[b], want, atol=tolerance)
        rows.add(expected[1][:17].tobytes())
    assert len(rows) == 6


def test_neck_and_eyes_rest_by_default():
    layer, codes = _layer(), _codes(2)
    expected = layer(**dict(codes, eye_pose=torch.zeros(2, 6).double(),
                            neck_pose=torch.zeros(2, 3).double()))
    actual = layer(codes['shape'], codes['expression'], codes['pose'])
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


def test_zero_codes_give_the_mean_head():
    head = toy_head()
    output = _layer(head=head)(*(torch.zeros(1, n).double()
                                 for n in (NS, NE, 6)))
    np.testing.assert_allclose(output.vertices[0], head.model.v_template,
                               atol=1e-15)


def test_heads_at_rest():
    layer, codes = _layer(), _codes(3)
    shape = codes['shape']
    full = layer(shape, 0 * codes['expression'], 0 * codes['pose']).vertices
    torch.testing.assert_close(layer.neutral(shape), full)
    with pytest.raises(ValueError, match='shape'):
        layer.neutral(shape[:, 1:])


def test_batch_of_none_and_heads_do_not_mix():
    layer, codes = _layer(), _codes(4)
    together = layer(**codes).vertices
    alone = layer(**{k: v[2:3] for k, v in codes.items()}).vertices
    torch.testing.assert_close(together[2:3], alone, atol=1e-14, rtol=0)
    empty = layer(**{k: v[:0] for k, v in codes.items()})
    assert [tuple(a.shape) for a in empty] == [(0, 60, 3), (0, 68, 3),
                                               (0, 68, 3)]


def test_gradients_of_vertices_and_landmarks():
    layer, codes = _layer(), _codes(2, scale=.2)
    codes['pose'][0] = 0
    names = list(codes)
    # Fixed random sums keep the Jacobian small.
    generator = torch.Generator().manual_seed(0)
    mixes = [torch.randn(n * 3, 4, generator=generator, dtype=torch.float64)
             for n in (60, 68, 68)]

    def sums(*values):
        output = layer(**dict(zip(names, values, strict=True)))
        return tuple(a.flatten(1) @ m
                     for a, m in zip(output, mixes, strict=True))

    assert torch.autograd.gradcheck(
        sums, [codes[name].requires_grad_() for name in names])


def test_inputs_are_not_changed():
    codes = _codes(2)
    before = {k: v.clone() for k, v in codes.items()}
    _layer()(**codes)
    for name, value in codes.items():
        assert torch.equal(value, before[name])


def test_files_registry_and_precision(tmp_path):
    head = toy_head()
    paths = save_toy_head(tmp_path, head)
    layer = MODELS.build(dict(
        type='FLAME', model_path=str(paths['model_path']),
        landmark_embedding_path=str(paths['landmark_embedding_path']),
        num_shape=NS, num_expression=NE))
    assert layer.v_template.dtype == torch.float32
    assert layer.faces.dtype == torch.int64
    assert torch.equal(layer.faces, torch.from_numpy(head.model.faces))
    assert not layer.state_dict() and not list(layer.parameters())
    double = layer.double()
    output = double(**_codes(2))
    expected = _layer(head=head)(**_codes(2))
    torch.testing.assert_close(output.vertices, expected.vertices,
                               atol=1e-7, rtol=0)
    assert output.landmarks2d.dtype == torch.float64


def test_buffers_do_not_share_memory_with_the_data():
    head = toy_head()
    template, faces = head.model.v_template.copy(), head.model.faces.copy()
    layer = _layer(head=head)
    layer.v_template.zero_()
    layer.faces.zero_()
    layer.weights.zero_()
    np.testing.assert_array_equal(head.model.v_template, template)
    np.testing.assert_array_equal(head.model.faces, faces)
    assert head.model.weights.min() > 0


@pytest.mark.parametrize('change, message', [
    (dict(shape=torch.zeros(2, 100).double()), r'shape .*\(B, 12\)'),
    (dict(expression=torch.zeros(1, NE).double()), r'expression .*\(2, 7\)'),
    (dict(pose=torch.zeros(2, 15).double()), r'pose .*\(2, 6\).*\(2, 15\)'),
    (dict(eye_pose=torch.zeros(2, 3).double()), r'eye_pose .*\(2, 6\)'),
    (dict(neck_pose=torch.zeros(3, 3).double()), r'neck_pose .*\(2, 3\)'),
])
def test_wrong_shapes(change, message):
    with pytest.raises(ValueError, match=message):
        _layer()(**dict(_codes(2), **change))


def test_wrong_arguments(tmp_path):
    paths = save_toy_head(tmp_path, toy_head())
    files = dict(model_path=paths['model_path'],
                 landmark_embedding_path=paths['landmark_embedding_path'])
    with pytest.raises(ValueError, match=r'num_shape .*0\.\.300.* 301'):
        FLAME(**files, num_shape=301)
    with pytest.raises(ValueError, match=r'num_expression .*0\.\.100.* -1'):
        FLAME(**files, num_expression=-1)
    with pytest.raises(ValueError, match='needs a landmark_embedding_path'):
        FLAME(paths['model_path'])
    with pytest.raises(FileNotFoundError, match='flame.is.tue.mpg.de'):
        FLAME(tmp_path / 'none.pkl', files['landmark_embedding_path'])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
def test_cuda_agrees_with_cpu():
    layer, codes = _layer(), _codes(3)
    expected = layer(**codes)
    actual = layer.cuda()(**{k: v.cuda() for k, v in codes.items()})
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a.cpu(), b, atol=1e-12, rtol=0)


def test_agrees_with_smplx(tmp_path):
    smplx = pytest.importorskip('smplx')
    head, codes = toy_head(), _codes(4)
    save_toy_head(tmp_path, head)['model_path'].rename(
        tmp_path / 'FLAME_NEUTRAL.npz')
    static = dict(lmk_face_idx=head.landmarks.static_lmk_faces_idx,
                  lmk_b_coords=head.landmarks.static_lmk_bary_coords)
    (tmp_path / 'flame_static_embedding.pkl').write_bytes(
        pickle.dumps(static))
    dynamic = dict(lmk_face_idx=head.landmarks.dynamic_lmk_faces_idx,
                   lmk_b_coords=head.landmarks.dynamic_lmk_bary_coords)
    np.save(tmp_path / 'flame_dynamic_embedding.npy', dynamic,
            allow_pickle=True)
    reference = smplx.FLAME(
        str(tmp_path), ext='npz', num_betas=NS, num_expression_coeffs=NE,
        batch_size=4, dtype=torch.float64)
    expected = reference(
        betas=codes['shape'], expression=codes['expression'],
        global_orient=codes['pose'][:, :3], jaw_pose=codes['pose'][:, 3:],
        neck_pose=codes['neck_pose'], leye_pose=codes['eye_pose'][:, :3],
        reye_pose=codes['eye_pose'][:, 3:]).vertices
    actual = _layer(head=head)(**codes).vertices
    # Its Rodrigues formula adds 1e-8 to the axis-angle vector.
    torch.testing.assert_close(actual, expected, atol=1e-7, rtol=0)
