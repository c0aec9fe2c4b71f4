# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What every kind of output holds."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.toy_pictures import find_bright_boxes, picture
from helpers.toy_reconstructor import toy_topology
from scipy.io import loadmat

from mmtvface.apis import FaceReconstructor
from mmtvface.export.painted_frame import PaintedFrame, pose_result
from mmtvface.export.save import save_results
from mmtvface.export.writer import (
    DEFAULT_KINDS,
    Target,
    all_kinds,
    check_kinds,
    open_writers,
)
from mmtvface.geometry.crop import warp
from mmtvface.io.mesh import read_mesh, read_obj
from mmtvface.io.video_reader import read_video
from mmtvface.renderers import DetailSurface
from mmtvface.visualization import PICTURES, FramePainter
from mmtvface.visualization.normal_map import NormalMapper, decode_normal_map

SIZE = 64
# A rig needs a FLAME head: test_rig_exports.py.
TOY_KINDS = tuple(kind for kind in all_kinds() if kind != 'glb')


@pytest.fixture(scope='module')
def reconstructor(shared_model_files):
    return FaceReconstructor(*shared_model_files, device='cpu',
                             detector=find_bright_boxes)


@pytest.fixture(scope='module')
def frames():
    return [picture(x=30 + i) for i in range(2)]


@pytest.fixture(scope='module')
def results(reconstructor, frames):
    """As of a model with a detail branch."""
    rng = np.random.default_rng(0)
    return [replace(
        result, codes={**result.codes, 'detail': np.arange(
            4, dtype=np.float32)},
        displacement=cv2.resize(rng.normal(0, 2e-3, (16, 16)), (
            SIZE, SIZE), interpolation=cv2.INTER_CUBIC).astype(np.float32))
        for result in reconstructor(frames)]


@pytest.fixture(scope='module')
def painter(reconstructor):
    return FramePainter(
        reconstructor.build_renderer(), reconstructor.model.texture,
        DetailSurface(toy_topology(), SIZE), SIZE)


@pytest.fixture(scope='module')
def out(results, frames, painter, tmp_path_factory):
    """A folder with everything that can be saved."""
    folder = tmp_path_factory.mktemp('all') / 'out'
    saved = save_results(iter(results), frames, folder, painter, TOY_KINDS)
    assert set(saved['files']) == {*TOY_KINDS, 'metrics'}
    assert not [p for p in folder.rglob('*') if 'part' in p.name]
    return folder


def read_png(path):
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return image[..., ::-1] if image.ndim == 3 else image


def test_pictures_at_both_sizes(out, results, frames, painter):
    result, image = results[1], frames[1]
    face = pose_result(painter, result)
    crop = warp(image, result.crop_matrix, result.crop_size)
    for folder, place, background in (
            ('frame', face, image),
            ('crop', face.moved(result.crop_matrix), crop)):
        expected = painter.paint(place, background, PICTURES)
        for kind in PICTURES:
            found = read_png(out / kind / folder / f'{result.name}.png')
            assert found.shape[:2] == background.shape[:2]
            np.testing.assert_array_equal(found, expected[kind])
            assert sorted(p.name for p in (out / kind / folder).iterdir()
                          ) == ['000000.png', '000001.png']
    depth = read_png(out / 'depth' / 'frame' / '000001.png')
    assert depth.dtype == np.uint16 and (depth > 0).sum() > 100
    view = read_png(out / 'depth' / 'crop_view' / '000001.png')
    assert view.shape == (32, 32, 3) and view.max() == 255
    # The detail is in the pictures, and differs from the coarse shape.
    overlays = [read_png(out / kind / 'frame' / '000001.png').astype(int)
                for kind in ('overlay', 'detail_overlay')]
    assert np.abs(overlays[0] - overlays[1]).max() > 20


def test_the_textured_mesh_is_understood_by_trimesh(out, results, frames,
                                                    painter):
    trimesh = pytest.importorskip('trimesh')
    path = out / 'meshes' / '000001.obj'
    mesh = trimesh.load(path, process=False)
    texture = np.asarray(mesh.visual.material.image)[..., :3]
    expected = painter.bake_texture(pose_result(painter, results[1]),
                                    frames[1])[0].movedim(0, -1) * 255
    np.testing.assert_allclose(texture, expected, atol=.51)
    topology, corners = toy_topology(), mesh.faces.ravel()
    np.testing.assert_allclose(
        mesh.vertices[corners],
        results[1].vertices[topology.faces.ravel()], atol=1e-6)
    np.testing.assert_allclose(
        mesh.visual.uv[corners],
        topology.uv_coords[topology.uv_faces.ravel()], atol=1e-5)


def test_the_written_normal_map_reproduces_the_detail(out, results, painter):
    """From the files alone, as another program reads them."""
    path = out / 'meshes' / '000001.obj'
    mesh = read_obj(path)
    stored = torch.from_numpy(read_png(
        path.with_name('000001_normals.png')).copy()).permute(2, 0, 1)
    assert '000001_normals.png' in path.with_suffix('.mtl').read_text()
    vertices = torch.from_numpy(mesh.vertices).float()[None]
    mapper = NormalMapper(
        torch.from_numpy(mesh.faces), torch.from_numpy(
            mesh.uv_coords).float(), torch.from_numpy(mesh.uv_faces), SIZE)
    normals = torch.from_numpy(painter.mesh_normals(
        pose_result(painter, results[1])))[None]
    found = decode_normal_map(stored[None] / 255,
                              mapper.frame(vertices, normals))
    surface = painter.surface
    maps = surface.maps(torch.from_numpy(results[1].vertices)[None])
    detail = maps.normals + surface.normal_offsets(
        torch.from_numpy(results[1].displacement)[None, None], maps)
    cosine = (found * F.normalize(detail, dim=1)).sum(1).clamp(-1, 1)
    inside = surface.uv_face_eye_mask[0] > 0
    assert torch.rad2deg(cosine.acos())[inside].max() < 1
    flat = (found * F.normalize(maps.normals, dim=1)).sum(1).clamp(-1, 1)
    assert torch.rad2deg(flat.acos())[inside].mean() > 3


def test_dense_meshes(out, results, painter):
    trimesh = pytest.importorskip('trimesh')
    face = pose_result(painter, results[0])
    vertices, faces = read_mesh(out / 'dense' / '000000.ply')
    assert len(vertices) == SIZE**2 and len(faces) == 2 * (SIZE - 1)**2
    expected = painter.dense_mesh(face)
    np.testing.assert_allclose(vertices, expected.vertices, atol=1e-7)
    np.testing.assert_array_equal(faces, expected.faces)
    colors = trimesh.load(out / 'dense' / '000000.ply',
                          process=False).visual.vertex_colors[:, :3]
    texture = read_png(out / 'meshes' / '000000.png')
    np.testing.assert_allclose(colors, texture.reshape(-1, 3), atol=1)
    text = read_obj(out / 'dense' / '000000.obj')
    np.testing.assert_allclose(text.vertices, vertices, atol=1e-6)
    np.testing.assert_allclose(text.colors * 255, colors, atol=.6)
    coarse = painter.dense_mesh(replace_displacement(painter, results[0]))
    assert np.abs(coarse.vertices - vertices).max() > 2e-3


def replace_displacement(painter, result):
    return pose_result(painter, replace(result, displacement=None))


def test_matlab_files(out, results):
    content = loadmat(out / 'mat' / '000001.mat', squeeze_me=True)
    result = results[1]
    for name, code in result.codes.items():
        np.testing.assert_array_equal(content[name], code)
    for name in ('vertices', 'vertices_image', 'camera', 'landmarks2d',
                 'landmarks3d', 'visible2d', 'displacement', 'detection',
                 'crop_matrix', 'frame_size'):
        np.testing.assert_array_equal(content[name], getattr(result, name))
    np.testing.assert_array_equal(content['faces'] - 1,
                                  toy_topology().faces)
    assert content['frame_name'] == '000001'


def test_landmark_files(out, results):
    for name, columns in (('kpt2d', 3), ('kpt3d', 4)):
        array = np.load(out / 'landmarks' / f'000001_{name}.npy')
        assert array.shape == (68, columns)
        text = np.loadtxt(out / 'landmarks' / f'000001_{name}.txt')
        np.testing.assert_allclose(text, array, atol=1e-4)
        points = getattr(results[1], f'landmarks{name[3:]}')
        np.testing.assert_array_equal(array[:, :-1], points)
        np.testing.assert_array_equal(
            array[:, -1], getattr(results[1], f'visible{name[3:]}'))


def test_codes_and_videos(out, frames):
    with np.load(out / 'codes.npz') as codes:
        assert codes['detail'].tolist() == [[0, 1, 2, 3]] * 2
        assert 'displacement' not in codes
    videos = [list(read_video(out / f'{name}.mp4'))
              for name in ('overlay', 'detail_overlay')]
    assert len(videos[0]) == len(videos[1]) == 2
    change = np.abs(videos[0][1].astype(int) - videos[1][1])
    assert change.max() > 20
    grid = read_png(out / 'overlay_grid.png')
    assert grid.shape == (2 * 258 - 2, 8 * 258 - 2, 3)


def test_an_earlier_run_leaves_nothing_behind(out, results, frames,
                                              painter, tmp_path):
    folder = tmp_path / 'out'
    shutil.copytree(out, folder)
    save_results(results[:1], frames, folder, painter, TOY_KINDS)
    stems = {p.stem.split('_')[0] for p in folder.rglob('*.*')
             if p.parent != folder}
    assert stems == {'000000', 'track0'}


def test_frames_without_a_face_or_an_image(results, frames, painter,
                                           tmp_path):
    lost = replace(results[0], status='no_face', vertices=None, codes={},
                   displacement=None)
    far = replace(results[1], index=5, name='far')  # beyond the input's end
    save_results([lost, far], frames, tmp_path, painter, TOY_KINDS)
    names = {p.name for p in tmp_path.rglob('*.*')}
    assert {'far.obj', 'far.ply', 'far.mat', 'far_kpt2d.npy'} <= names
    assert 'far_normals.png' in names
    assert not {'000000.obj', 'far.png', 'overlay_grid.png'} & names
    assert len(list(read_video(tmp_path / 'overlay.mp4'))) == 1
    assert read_obj(tmp_path / 'meshes' / 'far.obj').uv_coords is not None


@pytest.mark.parametrize('kind, part', [
    ('albedo', 'FLAMETexture'), ('rendered', 'FLAMETexture'),
    ('dense', 'DetailBranch'), ('detail_overlay', 'DetailBranch'),
    ('detail_video', 'DetailBranch')])
def test_what_the_model_lacks_is_said_before_any_work(
        reconstructor, tmp_path, kind, part):
    def never():
        raise AssertionError('work was begun')
        yield

    renderer = reconstructor.build_renderer()
    out = tmp_path / 'out'
    with pytest.raises(ValueError, match=f"'{kind}'.* no .*{part}"):
        save_results(never(), picture(), out, renderer, ['codes', kind])
    assert not out.exists()


def test_a_model_without_an_uv_map(model_files):
    reconstructor = FaceReconstructor(*model_files, device='cpu')
    reconstructor.model.renderer = None
    painter = reconstructor.build_painter()
    simple = ('obj', 'overlay', 'normals', 'depth', 'grid', 'video')
    assert check_kinds(simple, painter) == simple
    for kind in ('albedo', 'dense', 'detail_video'):
        with pytest.raises(ValueError, match=f"'{kind}'.*MeshRenderer"):
            check_kinds([kind], painter)


def test_names_of_kinds():
    with pytest.raises(ValueError, match="'gltf'.*'obj'"):
        check_kinds(['gltf'])
    assert check_kinds(['obj', 'codes', 'obj']) == ('obj', 'codes')
    assert set(DEFAULT_KINDS) < set(all_kinds())


def test_one_failing_video_does_not_spoil_the_other(results, frames, painter,
                                                    tmp_path, monkeypatch):
    from mmtvface.io.video_writer import VideoWriter
    leave = VideoWriter.__exit__

    def fail(self, *args):
        leave(self, *args)
        if self.path.name == 'detail_overlay.mp4':
            raise OSError('the disk is full')

    monkeypatch.setattr(VideoWriter, '__exit__', fail)
    with pytest.raises(OSError, match='the disk is full'):
        save_results(results, frames, tmp_path, painter,
                     ['video', 'detail_video'])
    assert len(list(read_video(tmp_path / 'overlay.mp4'))) == 2
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['stopped'] == 'OSError: the disk is full'


def test_side_by_comparison_video(out, frames, results, painter, tmp_path):
    """Five pictures in a row; a frame without a face stands alone."""
    shown = list(read_video(out / 'side_by_side.mp4'))
    assert len(shown) == len(frames)
    for row in shown:
        assert row.shape == (256, 5 * 256, 3)
        # The mesh is over the input, normals are on black.
        rest = row.astype(int)
        assert np.abs(rest[:, 512:768] - rest[:, :256]).mean() > 1
        assert rest[128, -128].max() > 80
    lost = PaintedFrame(painter, replace(results[0], status='no_face'),
                        frames[0])
    writer, = open_writers(['comparison_video'], Target(tmp_path))
    alone = writer.picture([lost])
    assert alone.shape == (256, 5 * 256, 3)
    assert alone[:, :256].any() and not alone[:, 256:].any()
