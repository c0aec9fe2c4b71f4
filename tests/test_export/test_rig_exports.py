# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Tracks as one file: animated glTF, FLAME's parameters with cameras."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.gltf_player import GltfPlayer
from helpers.toy_head import toy_head
from PIL import Image

from mmtvface.export.head_rig import build_rig, low_rank
from mmtvface.export.painted_frame import PaintedFrame, pose_result
from mmtvface.export.save import save_results
from mmtvface.export.writer import Target, open_writers
from mmtvface.export.writers.flame_npz import fit_length
from mmtvface.export.writers.glb import (
    _normals,
    joint_influences,
    key_times,
    quaternions,
)
from mmtvface.geometry.perspective import (
    equivalent_perspective,
    required_focal,
)
from mmtvface.heads import FLAME
from mmtvface.reconstruction.results import NO_FACE, FrameResult, frame_camera
from mmtvface.renderers import DetailSurface, MeshRenderer
from mmtvface.tracking.frame_source import open_frames
from mmtvface.visualization import FramePainter

HEIGHT, WIDTH, FPS = 1080, 1920, 25.
MISSING = (3, 4)


@pytest.fixture(scope='module')
def head():
    return toy_head()


@pytest.fixture(scope='module')
def flame(head):
    return FLAME.from_data(head.model, head.landmarks, 20, 10)


def pose_head(flame, codes):
    def batch(name, size=6):
        return torch.from_numpy(codes.get(name, np.zeros(size, np.float32))
                                )[None]
    with torch.no_grad():
        return flame(batch('shape'), batch('exp'), batch('pose'),
                     batch('eye_pose'), batch('neck_pose', 3)
                     ).vertices[0].numpy()


def make_track(flame, frames, seed=0, track=0, shape_noise=.1, extra=True):
    """Results of a large head that moves through a frame of full size."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=flame.num_shape)
    landmarks = rng.random((68, 2))

    def draw(size, scale):
        return rng.normal(0, scale, size).astype(np.float32)

    results = []
    for index in frames:
        codes = dict(
            shape=(mean + shape_noise * rng.normal(size=flame.num_shape)
                   ).astype(np.float32),
            exp=draw(flame.num_expression, 1.), pose=draw(6, .4),
            cam=np.array([7 + rng.random(), *draw(2, .02)], np.float32))
        if extra:
            codes.update(neck_pose=draw(3, .2), eye_pose=draw(6, .2))
        zoom = 224 / 900  # a crop of 900 pixels, off the middle of the frame
        matrix = np.array([[zoom, 0, -zoom * (900 + 10 * index)],
                           [0, zoom, -zoom * 80], [0, 0, 1]])
        results.append(FrameResult(
            index=index, name=f'{index:06d}', frame_size=(HEIGHT, WIDTH),
            track_id=track, codes=codes, vertices=pose_head(flame, codes),
            camera=frame_camera(codes['cam'], matrix, 224),
            crop_matrix=matrix, crop_size=224, landmarks2d=landmarks,
            landmarks3d=np.zeros((68, 3)), detection=landmarks,
            visible2d=np.ones(68, bool), visible3d=np.ones(68, bool)))
    return results


@pytest.fixture(scope='module')
def results(flame):
    known = make_track(flame, [1, 2, 5, 6])
    gap = [FrameResult(index, f'{index:06d}', NO_FACE) for index in (0,
                                                                     *MISSING)]
    return sorted([*known, *gap, *make_track(flame, [7], 1, 1)],
                  key=lambda result: result.index)


@pytest.fixture(scope='module')
def out(head, flame, results, tmp_path_factory):
    folder = tmp_path_factory.mktemp('tracks')
    painter = FramePainter(MeshRenderer(head.topology), flame=flame)
    frames = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 8
    source = open_frames(frames)
    source.fps = FPS
    saved = save_results(results, source, folder, painter, ['flame_npz'])
    assert set(saved['files']) == {'flame_npz', 'metrics'}
    # Without images; those are tested below.
    writer, = open_writers(['glb'], Target(folder, FPS, painter))
    for result in results:
        writer.add(PaintedFrame(painter, result))
    assert writer.finish()
    return folder


def test_one_file_per_face(out):
    for kind, suffix in (('glb', 'glb'), ('flame_npz', 'npz')):
        assert sorted(p.name for p in (out / kind).iterdir()) == [
            f'track0.{suffix}', f'track1.{suffix}']


def test_the_animation_gives_our_vertices(out, results, head):
    """Skin and morph targets, by the rules of glTF, from the file alone."""
    topology = head.topology
    for track in (0, 1):
        player = GltfPlayer(out / 'glb' / f'track{track}.glb')
        corners = player.array(player.primitive['indices'])
        for result in results:
            if not result.valid or result.track_id != track:
                continue
            found = player.vertices(result.index / FPS)[corners]
            expected = result.vertices[topology.faces.ravel()]
            distance = np.linalg.norm(found - expected, axis=1)
            assert distance.max() < 5e-5
        # the poses are far from one another, and from the rest mesh
        rest = player.vertices()[corners]
        assert np.linalg.norm(rest - expected, axis=1).max() > .01


def test_a_gap_holds_the_last_pose(out):
    player = GltfPlayer(out / 'glb' / 'track0.glb')
    held = player.vertices(2 / FPS)
    for time in (2.7 / FPS, 3 / FPS, 4 / FPS):
        np.testing.assert_allclose(player.vertices(time), held, atol=1e-6)
    assert np.abs(player.vertices(5 / FPS) - held).max() > 5e-3
    np.testing.assert_allclose(  # before the first frame, after the last
        player.vertices(0), player.vertices(1 / FPS), atol=1e-7)
    extras = player.document['asset']['extras']
    assert (extras['fps'], extras['first_frame'], extras['last_frame'],
            extras['frames']) == (FPS, 1, 6, 4)
    assert 0 <= extras['corrective_error_m'] <= 2e-5


def test_keyframes_at_the_times_of_the_frames(head, flame, results,
                                             tmp_path):
    """A face at 0.1, 0.3 and 2 s; the frame before the last is at 0.9 s."""
    times = dict(zip((1, 2, 3, 4, 5), (.1, .3, .5, .9, 2.), strict=True))
    shown = [replace(result, time=times[result.index]) for result in results
             if result.index in times]
    painter = FramePainter(MeshRenderer(head.topology), flame=flame)
    frames = [np.zeros((8, 8, 3), np.uint8)] * 6
    save_results(shown, frames, tmp_path, painter, ['glb', 'flame_npz'])
    player = GltfPlayer(tmp_path / 'glb' / 'track0.glb')
    seen = {time: player.vertices(time) for time in (0, .1, .3, .5, .9, 2)}
    for result in shown:
        if result.valid:
            corners = seen[result.time]
            distance = np.linalg.norm(
                corners[:, None] - result.vertices[None], axis=-1).min(1)
            assert distance.max() < 5e-5
    np.testing.assert_allclose(seen[0], seen[.1], atol=1e-7)
    np.testing.assert_allclose(seen[.5], seen[.3], atol=1e-6)
    np.testing.assert_allclose(seen[.9], seen[.3], atol=1e-6)
    assert np.abs(seen[2] - seen[.9]).max() > 5e-3
    with np.load(tmp_path / 'flame_npz' / 'track0.npz') as content:
        np.testing.assert_allclose(content['time'], [.1, .3, 2.])


def test_trimesh_reads_the_mesh(out, head):
    trimesh = pytest.importorskip('trimesh')
    path = out / 'glb' / 'track0.glb'
    scene = trimesh.load(path, process=False)
    mesh = next(iter(scene.geometry.values()))
    player = GltfPlayer(path)
    topology, corners = head.topology, mesh.faces.ravel()
    np.testing.assert_allclose(mesh.vertices, player.vertices(), atol=1e-6)
    np.testing.assert_allclose(  # trimesh turns v upwards again
        mesh.visual.uv[corners],
        topology.uv_coords[topology.uv_faces.ravel()], atol=1e-6)
    # Normals look out of the sphere, and are one where the UV map is cut.
    assert ((mesh.vertex_normals * mesh.vertices).sum(1) > 0).all()
    assert len(mesh.vertices) == len(topology.uv_coords) > len(
        head.model.v_template)


def test_normals_of_the_smallest_faces_are_unit_vectors():
    corners = np.array([[0., 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]]) * 1e-4
    normals = _normals(corners, np.array([[0, 2, 1]]))
    np.testing.assert_allclose(normals, [[0, 0, -1]] * 3 + [[0, 0, 1]],
                               atol=1e-6)


def test_texture_and_normal_map_are_embedded(head, flame, results, tmp_path):
    """Of the more frontal of two frames."""
    painter = FramePainter(
        MeshRenderer(head.topology), None, DetailSurface(head.topology, 32),
        32, flame)
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (120, 160, 3), np.uint8)
              for _ in range(3)]
    track = []
    for index, angle in enumerate((.5, .1, .09)):
        codes = dict(results[1].codes, pose=np.array(
            [0, angle, 0, 0, 0, 0], np.float32))
        matrix = np.diag([2., 2., 1.])
        track.append(replace(
            results[1], index=index, codes=codes, frame_size=(120, 160),
            vertices=pose_head(flame, codes), crop_matrix=matrix,
            camera=frame_camera(np.array([6., 0, 0]), matrix, 224),
            displacement=rng.normal(0, 1e-3, (32, 32)).astype(np.float32)))
    saved = save_results(track, frames, tmp_path, painter, ['glb'])
    assert set(saved['files']) == {'glb', 'metrics'}
    player = GltfPlayer(tmp_path / 'glb' / 'track0.glb')
    document = player.document
    material = document['materials'][0]
    face = pose_result(painter, track[1])
    expected = (
        painter.bake_texture(face, frames[1])[0].movedim(0, -1) * 255,
        painter.normal_map(face))
    for entry, pixels in zip(
            (material['pbrMetallicRoughness']['baseColorTexture'],
             material['normalTexture']), expected, strict=True):
        image = document['images'][
            document['textures'][entry['index']]['source']]
        found = Image.open(io.BytesIO(player.view(image['bufferView'])))
        np.testing.assert_allclose(np.asarray(found), pixels, atol=.51)


def test_flame_parameters_give_our_vertices(out, flame, results):
    with np.load(out / 'flame_npz' / 'track0.npz',
                 allow_pickle=False) as file:
        content = dict(file)
    track = [r for r in results if r.valid and r.track_id == 0]
    assert content['shape'].shape == (300, )
    assert content['expr'].shape == (4, 100)
    assert content['eyes_pose'].shape == (4, 6)
    assert not content['expr'][:, 10:].any()
    assert not content['translation'].any()
    np.testing.assert_array_equal(content['frame_index'], [1, 2, 5, 6])
    np.testing.assert_allclose(content['shape'],
                               content['shape_per_frame'].mean(0), atol=1e-6)
    assert content['fps'] == FPS and content['image_size'].tolist() == [
        HEIGHT, WIDTH]
    for i, result in enumerate(track):
        codes = dict(
            shape=content['shape_per_frame'][i, :20],
            exp=content['expr'][i, :10], eye_pose=content['eyes_pose'][i],
            neck_pose=content['neck_pose'][i], pose=np.concatenate(
                [content['rotation'][i], content['jaw_pose'][i]]))
        vertices = pose_head(flame, codes)
        np.testing.assert_allclose(vertices, result.vertices, atol=1e-7)
        place = content['extrinsics'][i]
        np.testing.assert_allclose(place[:, :3], np.diag([1, -1, -1]),
                                   atol=1e-9)
        seen = vertices.astype(np.float64) @ place[:, :3].T + place[:, 3]
        pixels = seen @ content['intrinsics'].T
        expected = result.vertices_image[:, :2]
        assert np.abs(pixels[:, :2] / pixels[:, 2:] - expected).max() < .11
        assert np.ptp(expected, 0).max() > 500  # a head as large as that


def test_a_constant_identity_is_not_repeated(flame, tmp_path):
    track = make_track(flame, [0, 1], shape_noise=0., extra=False)
    save_results(track, [np.zeros((8, 8, 3), np.uint8)] * 2, tmp_path,
                 FramePainter(MeshRenderer(toy_head().topology)),
                 ['flame_npz'])
    with np.load(tmp_path / 'flame_npz' / 'track0.npz') as content:
        assert 'shape_per_frame' not in content
        np.testing.assert_allclose(content['shape'][:20],
                                   track[0].codes['shape'], atol=1e-6)
        assert not content['neck_pose'].any()


def test_the_perspective_camera_of_a_turned_crop():
    """By hand: 100 pixels per metre, turned by 90 degrees."""
    camera = np.array([[[0, -100., 0, 40], [-100, 0, 0, 60],
                        [0, 0, -100, 0]]])
    points = np.array([[[.1, .2, .05], [-.1, .3, -.05]]])
    focal, depth = required_focal(camera, points, (101, 201), .01)
    np.testing.assert_allclose(depth, 0, atol=1e-12)
    # 0.05 m and at most |(20 + 60, 10 - 10)| pixels from (100, 50)
    radius = max(np.hypot(-20 - 60, -10 + 10), np.hypot(-30 - 60, 10 + 10))
    # r |z| / 0.01 - z, with z = +0.05 for the farther point
    farther = radius * .05 / .01 - .05
    np.testing.assert_allclose(focal, 100 * farther, rtol=1e-6)
    lens = equivalent_perspective(camera, focal[0], depth, (101, 201))
    assert np.linalg.det(lens.extrinsics[0, :, :3]) == pytest.approx(1)
    seen = points[0] @ lens.extrinsics[0, :, :3].T + lens.extrinsics[0, :, 3]
    pixels = seen @ lens.intrinsics.T
    np.testing.assert_allclose(
        pixels[:, :2] / pixels[:, 2:], [[20, 50], [10, 70]], atol=.0101)


def test_cameras_that_are_no_similarity():
    camera = np.zeros((1, 3, 4))
    camera[0, :2, :2] = [[100, 0], [0, 90]]
    with pytest.raises(ValueError, match='similarities'):
        required_focal(camera, np.zeros((1, 2, 3)), (8, 8))


def test_correctives_are_as_many_as_needed(flame):
    """A head that only moves its jaw about one axis needs few targets."""
    count = 40
    pose = np.zeros((count, 6))
    pose[:, 3] = np.linspace(0, .4, count)
    codes = dict(shape=np.ones((count, 20)), exp=np.zeros((count, 10)),
                 pose=pose)
    rig = build_rig(flame, codes)
    assert 1 <= len(rig.correctives) <= 2 and rig.error <= 2e-5
    exact = build_rig(flame, codes, 1e-9)
    assert len(exact.correctives) == 2  # sine, cosine - 1
    still = build_rig(flame, dict(codes, pose=np.zeros((count, 6))))
    assert len(still.correctives) == 0


def test_low_rank_is_a_factorization():
    rng = np.random.default_rng(0)
    codes, directions = rng.normal(size=(30, 5)), rng.normal(size=(5, 7, 3))
    product = np.tensordot(codes, directions, 1)
    weights, basis, error = low_rank(codes, directions, 1e-9)
    assert weights.shape == (30, 5) and error < 1e-9
    np.testing.assert_allclose(np.tensordot(weights, basis, 1), product)
    weights, basis, error = low_rank(codes, directions, 4.)
    assert 0 < len(basis) < 5
    rest = np.linalg.norm(np.tensordot(weights, basis, 1) - product, axis=-1)
    assert error == pytest.approx(rest.max()) and 1e-9 < error <= 4


def test_influences_by_hand():
    weights = np.array([[0, .25, .75, 0, 0], [.2] * 5])
    (joints, first), (more, second) = joint_influences(weights)
    np.testing.assert_allclose(first, [[.75, .25, 0, 0], [.2] * 4])
    np.testing.assert_array_equal(joints[0], [2, 1, 0, 0])
    np.testing.assert_allclose(second, [[0] * 4, [.2, 0, 0, 0]])
    assert more[1, 0] == 4 and not more[0].any()
    (_, only), = joint_influences(np.array([[.4, .3, .2, .09995, .00005]]))
    assert only.sum() == pytest.approx(1)


def test_keys_by_hand():
    frames = np.array([2, 3, 7, 8, 10])
    times, shown = key_times(frames, frames / 10, (frames - 1) / 10)
    np.testing.assert_allclose(times, [.2, .3, .6, .7, .8, .9, 1.])
    np.testing.assert_array_equal(shown, [0, 1, 1, 2, 3, 3, 4])
    # At changing times, two of which are the same.
    times, shown = key_times(
        np.array([0, 1, 2, 5, 6]), np.array([0, .5, .5, 2, 2.1]),
        np.array([0, 0, .5, 1.2, 2]))
    np.testing.assert_allclose(times, [0, .5, 1.2, 2, 2.1])
    np.testing.assert_array_equal(shown, [0, 1, 2, 3, 4])


def test_quaternions_take_the_short_way():
    angles = np.linspace(0, 4 * np.pi, 60)
    turns = np.zeros((60, 3, 3))
    turns[:, 0, 0] = turns[:, 2, 2] = np.cos(angles)
    turns[:, 0, 2] = np.sin(angles)
    turns[:, 2, 0] = -np.sin(angles)
    turns[:, 1, 1] = 1
    found = quaternions(turns)
    sign = np.sign(found[0, 3])
    np.testing.assert_allclose(sign * found[:, 3], np.cos(angles / 2),
                               atol=1e-6)


def test_padding_and_cutting():
    codes = np.arange(6.).reshape(2, 3)
    np.testing.assert_array_equal(fit_length(codes, 2), codes[:, :2])
    np.testing.assert_array_equal(fit_length(codes, 4)[1], [3, 4, 5, 0])


def test_a_model_without_flame_cannot_have_a_rig(tmp_path):
    painter = FramePainter(MeshRenderer(toy_head().topology))
    with pytest.raises(ValueError, match="'glb'.*FLAME head"):
        save_results([], [np.zeros((8, 8, 3), np.uint8)], tmp_path, painter,
                     ['glb'])
