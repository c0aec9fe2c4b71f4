# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Animated heads in Blender: its own importer, its own skin and keys."""

import numpy as np
import pytest
import torch
from helpers.blender import from_blender, play_in_blender, why_no_blender
from helpers.gltf_player import GltfPlayer
from helpers.toy_head import toy_head

from mmtvface.export.save import save_results
from mmtvface.geometry.mesh import vertex_normals
from mmtvface.heads import FLAME
from mmtvface.reconstruction.results import FrameResult, frame_camera
from mmtvface.renderers import DetailSurface, MeshRenderer
from mmtvface.visualization import FramePainter

FPS = 25.
FRAMES = (0, 1, 2, 5, 6)  # nobody is seen in 3 and 4
SIZE = (120, 160)


@pytest.fixture(scope='module', autouse=True)
def blender():
    if reason := why_no_blender():
        pytest.skip(reason)


def make_result(flame, index):
    """Vigorous codes: far below 0, and above 1."""
    rng = np.random.default_rng(index)

    def draw(size, scale):
        return rng.normal(0, scale, size).astype(np.float32)

    codes = dict(
        shape=np.ones(flame.num_shape, np.float32),
        exp=draw(flame.num_expression, 1.5), pose=draw(6, .3),
        neck_pose=draw(3, .2), eye_pose=draw(6, .2),
        cam=np.array([6, 0, 0], np.float32))
    with torch.no_grad():
        vertices = flame(*(torch.from_numpy(codes[name])[None] for name in (
            'shape', 'exp', 'pose', 'eye_pose', 'neck_pose'))).vertices[0]
    matrix = np.diag([2., 2., 1.])
    points = np.zeros((68, 2))
    return FrameResult(
        index=index, name=f'{index:06d}', frame_size=SIZE, track_id=0,
        codes=codes, vertices=vertices.numpy(), crop_matrix=matrix,
        camera=frame_camera(codes['cam'], matrix, 224), crop_size=224,
        displacement=draw((32, 32), 1e-3), landmarks2d=points,
        landmarks3d=np.zeros((68, 3)), detection=points,
        visible2d=np.ones(68, bool), visible3d=np.ones(68, bool),
        time=index / FPS)


@pytest.fixture(scope='module')
def head():
    return toy_head()


@pytest.fixture(scope='module')
def results(head):
    flame = FLAME.from_data(head.model, head.landmarks, 20, 10)
    return [make_result(flame, index) for index in FRAMES], flame


@pytest.fixture(scope='module')
def folder(head, results, tmp_path_factory):
    out = tmp_path_factory.mktemp('blender')
    track, flame = results
    painter = FramePainter(
        MeshRenderer(head.topology), None, DetailSurface(head.topology, 32),
        32, flame)
    pictures = np.random.default_rng(0).integers(
        0, 256, (FRAMES[-1] + 1, *SIZE, 3), np.uint8)
    save_results(track, list(pictures), out, painter, ['glb'])
    return out


@pytest.fixture(scope='module')
def played(folder):
    return play_in_blender(folder / 'glb' / 'track0.glb', FPS,
                           (*FRAMES, 3, 4), folder)


def test_what_blender_finds(played):
    told = played.told
    kinds = {kind: name for name, (kind, _) in told['objects'].items()}
    assert {'ARMATURE', 'MESH'} <= set(kinds)
    assert told['objects'][kinds['MESH']][1] == kinds['ARMATURE']
    assert told['bones'] == dict(root=None, neck='root', jaw='neck',
                                 left_eye='neck', right_eye='neck')
    assert told['shape_keys'][:11] == [
        'Basis', *(f'expression_{i:03d}' for i in range(10))]
    assert told['shape_keys'][11] == 'corrective_000'
    assert told['fps'] == pytest.approx(FPS)
    assert len(told['actions']) == 2  # of the bones and of the shape keys
    for limits in told['actions'].values():
        np.testing.assert_allclose(limits, [0, 6], atol=1e-4)
    np.testing.assert_allclose(told['key_frames'], [0, 1, 2, 4, 5, 6],
                               atol=1e-4)


def test_images_are_where_blender_looks_for_them(played):
    told = played.told
    assert told['images'] == dict(texture=[32, 32, 'sRGB'],
                                  normal_map=[32, 32, 'Non-Color'])
    for link in (['TEX_IMAGE', 'texture', 'BSDF_PRINCIPLED', 'Base Color'],
                 ['TEX_IMAGE', 'normal_map', 'NORMAL_MAP', 'Color'],
                 ['NORMAL_MAP', None, 'BSDF_PRINCIPLED', 'Normal']):
        assert link in told['links']


def test_blender_shows_our_vertices(played, results, head):
    """In metres, in the frames of the video; nobody seen: the last pose."""
    faces = head.topology.faces
    for row, result in enumerate(results[0]):
        found, expected = played.corners[row], result.vertices[faces.ravel()]
        distance = np.linalg.norm(found - expected, axis=1)
        assert distance.max() < 1e-4
    np.testing.assert_allclose(played.corners[5:], played.corners[[2, 2]],
                               atol=1e-6)
    np.testing.assert_allclose(
        played.uv, head.topology.uv_coords[head.topology.uv_faces.ravel()],
        atol=1e-6)


def test_normals(played, results, head, folder):
    """Those of the file at rest; Blender turns them with the surface."""
    player = GltfPlayer(folder / 'glb' / 'track0.glb')
    at_rest = player.attribute('NORMAL')[
        player.array(player.primitive['indices'])]
    assert ((played.rest_normals * at_rest).sum(1) > .999).all()
    faces = torch.from_numpy(head.topology.faces)
    for row, result in enumerate(results[0]):
        vertices = torch.from_numpy(1e3 * result.vertices[None]).double()
        expected = vertex_normals(vertices, faces)[0].numpy()[
            faces.ravel().numpy()]
        cosine = (played.normals[row] * expected).sum(1)
        assert np.median(cosine) > .95  # the random shapes have folds


def test_axes_by_hand():
    """Blender: z up, to the left of a face +x, a face looks to -y."""
    np.testing.assert_allclose(
        from_blender(np.array([[1., 0, 0], [0, -1, 0], [0, 0, 1]])),
        [[1, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_sliders_must_be_widened(folder, played):
    """If this fails, Blender is mended and the README's warning can go."""
    cut = play_in_blender(folder / 'glb' / 'track0.glb', FPS, FRAMES, folder,
                          widen=False)
    distance = np.linalg.norm(cut.corners - played.corners[:5], axis=-1)
    assert distance[1:].max() > 1e-3


def test_what_blender_says_is_passed_on(tmp_path):
    (tmp_path / 'bad.glb').write_bytes(b'none')
    with pytest.raises(RuntimeError, match='Blender'):
        play_in_blender(tmp_path / 'bad.glb', FPS, [0], tmp_path)
