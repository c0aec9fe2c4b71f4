# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.toy_pictures import find_bright_boxes, picture

from mmtvface.apis import FaceReconstructor
from mmtvface.export.painted_frame import PaintedFrame
from mmtvface.export.save import save_results
from mmtvface.export.writer import Target, open_writers
from mmtvface.export.writers.videos import GridWriter
from mmtvface.io.mesh import read_obj
from mmtvface.io.video_reader import read_video
from mmtvface.io.video_writer import VideoWriter, write_video

KINDS = ('obj', 'codes', 'grid', 'video', 'landmarks')


@pytest.fixture
def reconstructor(model_files):
    return FaceReconstructor(*model_files, device='cpu',
                             detector=find_bright_boxes)


def test_everything_is_written_and_agrees(reconstructor, tmp_path):
    path = write_video(
        tmp_path / 'a.mp4',
        [picture(x=30 + i, side=0 if i == 2 else 40, size=(121, 163))
         for i in range(6)], fps=10)
    results = list(reconstructor(path))
    out = tmp_path / 'out' / 'deep'
    saved = save_results(iter(results), path, out,
                         reconstructor.build_painter(64), KINDS)
    assert set(saved['files']) == {*KINDS, 'metrics'}

    names = [r.name for r in results if r.valid]
    assert sorted(p.name for p in (out / 'meshes').iterdir()) == sorted(
        name + suffix for name in names for suffix in ('.mtl', '.obj', '.png'))
    mesh = read_obj(out / 'meshes' / f'{names[3]}.obj')
    chosen = next(r for r in results if r.name == names[3])
    np.testing.assert_allclose(mesh.vertices, chosen.vertices, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, reconstructor.triangles)
    assert mesh.uv_coords.shape == (144, 2)

    with np.load(out / 'codes.npz', allow_pickle=False) as codes:
        assert codes['shape'].shape == (6, 4)
        assert codes['light'].shape == (6, 9, 3)
        assert codes['frame_name'].tolist() == [r.name for r in results]
        assert codes['valid'].tolist() == [i != 2 for i in range(6)]
        assert np.isnan(codes['pose'][2]).all()
        np.testing.assert_array_equal(codes['visible2d'][4],
                                      results[4].visible2d)
        assert codes['visible2d'].dtype == bool
        assert not codes['visible2d'][2].any()
        np.testing.assert_array_equal(codes['exp'][4], results[4].codes['exp'])
        np.testing.assert_array_equal(codes['camera'][4], results[4].camera)
        assert codes['frame_size'].tolist() == [[122, 164]] * 6
        assert codes['fps'] == pytest.approx(10)

    video = list(read_video(out / 'overlay.mp4'))
    originals = list(read_video(path))
    assert len(video) == 6 and video[0].shape == originals[0].shape
    change = [np.abs(a.astype(int) - b).mean()
              for a, b in zip(video, originals, strict=True)]
    assert change[2] < 2 and min(change[:2] + change[3:]) > 2 * change[2]

    grid = cv2.imread(str(out / 'overlay_grid.png'))
    # Input, landmarks, overlay, front, rendered, normals, depth
    assert grid.shape == (5 * 258 - 2, 7 * 258 - 2, 3)
    landmarks = np.load(out / 'landmarks' / f'{names[3]}_kpt2d.npy')
    np.testing.assert_allclose(landmarks[:, :2], chosen.landmarks2d)

    metrics = json.loads((out / 'metrics.json').read_text())
    assert metrics['frames'] == 6 and metrics['frames_reconstructed'] == 5
    assert metrics['skipped'] == {'no_face': ['000002']}
    error = np.linalg.norm(chosen.landmarks2d - chosen.detection,
                           axis=1).mean()
    box = np.ptp(chosen.detection, 0).mean()
    assert metrics['landmark_nme']['per_frame'][chosen.name] == (
        pytest.approx(error / box))
    assert metrics['landmark_nme']['reference'] == 'detected'
    shapes = np.stack([r.codes['shape'] for r in results if r.valid])
    mean = shapes.mean(0)
    spread = np.linalg.norm(shapes - mean, axis=1).max()
    assert metrics['shape_spread'] == {
        '0': pytest.approx(spread / np.linalg.norm(mean), abs=1e-6)}
    # Frames 3, 4 and 5 are the only three in a row.
    three = [r.landmarks2d for r in results[3:]]
    bend = np.linalg.norm(three[0] - 2 * three[1] + three[2], axis=1).mean()
    size = np.ptp(three[1], 0).mean()
    assert metrics['landmark_jitter']['predicted'] == pytest.approx(
        bend / size)
    assert not [p for p in out.rglob('*') if 'part' in p.name]


def test_one_image_and_a_renderer_without_uv_map(reconstructor, tmp_path):
    reconstructor.model.renderer = None
    image = picture()
    saved = save_results(reconstructor(image), image, tmp_path,
                         reconstructor.build_renderer())
    mesh = read_obj(tmp_path / 'meshes' / '000000.obj')
    assert mesh.uv_coords is None and len(mesh.vertices) == 144
    assert saved['landmark_jitter'] == dict(predicted=None, reference=None)
    assert saved['shape_spread'] == {'0': 0.}
    drawn, = read_video(tmp_path / 'overlay.mp4')
    assert np.abs(drawn.astype(int) - image).mean() > 1


def test_only_what_is_asked_for(reconstructor, tmp_path):
    image = picture()
    save_results(reconstructor(image), image, tmp_path,
                 reconstructor.build_painter(64), ['codes'])
    assert sorted(p.name for p in tmp_path.iterdir()
                  if p.name != 'weights.pth') == ['codes.npz', 'metrics.json']


def test_stale_meshes_go_but_foreign_files_stay(reconstructor, tmp_path):
    renderer = reconstructor.build_painter(64)
    out = tmp_path / 'out'
    (out / 'meshes').mkdir(parents=True)
    foreign = out / 'meshes' / 'mine.obj'
    foreign.write_text('v 0 0 0\n')
    frames = [picture(), picture()]
    save_results(reconstructor(frames), frames, out, renderer, ['obj'])
    assert foreign.exists()  # no earlier run has made it
    foreign.unlink()
    save_results(reconstructor(frames[:1]), frames[:1], out, renderer,
                 ['obj'])
    assert sorted(p.name for p in (out / 'meshes').iterdir()) == [
        '000000.mtl', '000000.obj', '000000.png']


def test_unwritable_output_is_refused_before_the_work(reconstructor,
                                                      tmp_path):
    file = tmp_path / 'file'
    file.write_text('')

    def never():
        raise AssertionError('work was begun')
        yield

    with pytest.raises(ValueError, match='Cannot write to the output folder'):
        save_results(never(), picture(), file / 'out',
                     reconstructor.build_painter(64))


@pytest.mark.parametrize('kind', [RuntimeError, KeyboardInterrupt])
def test_what_is_done_survives_a_stop_in_the_middle(reconstructor, tmp_path,
                                                    kind):
    frames = [picture(x=30 + i) for i in range(5)]

    def failing():
        for result in reconstructor(frames):
            if result.index == 3:
                raise kind('power cut')
            yield result

    out = tmp_path / 'out'
    with pytest.raises(kind, match='power cut'):
        save_results(failing(), frames, out, reconstructor.build_painter(64))
    assert sorted(p.name for p in out.rglob('*.*')
                  if p.suffix not in ('.mtl', '.png')) == [
        '000000.obj', '000001.obj', '000002.obj', 'codes.npz',
        'metrics.json', 'overlay.mp4']
    assert (out / 'overlay_grid.png').is_file()
    assert len(list(read_video(out / 'overlay.mp4'))) == 3
    with np.load(out / 'codes.npz') as codes:
        assert codes['frame_index'].tolist() == [0, 1, 2]
    metrics = json.loads((out / 'metrics.json').read_text())
    assert metrics['frames'] == 3
    assert metrics['stopped'] == f'{kind.__name__}: power cut'


def test_a_failing_video_does_not_take_the_rest_along(
        reconstructor, tmp_path, monkeypatch):
    def full(self, frame, time):
        self._container = self._stream = FullDisk()
        raise OSError('the disk is full')

    class FullDisk:
        def encode(self, frame):
            raise OSError('still full')

    monkeypatch.setattr(VideoWriter, 'write', full)
    with pytest.raises(OSError, match='the disk is full'):
        save_results(reconstructor(picture()), picture(), tmp_path / 'out',
                     reconstructor.build_painter(64))
    assert sorted(p.name for p in (tmp_path / 'out').rglob('*.*')) == [
        '000000.mtl', '000000.obj', '000000.png', 'codes.npz',
        'metrics.json']


def test_an_input_without_a_face_leaves_earlier_results(reconstructor,
                                                        tmp_path):
    renderer = reconstructor.build_painter(64)
    save_results(reconstructor(picture()), picture(), tmp_path / 'out',
                 renderer)
    before = sorted((tmp_path / 'out').rglob('*'))
    empty = picture(side=0)
    with pytest.raises(ValueError, match='No face'):
        save_results(reconstructor(empty), empty, tmp_path / 'out', renderer)
    assert sorted((tmp_path / 'out').rglob('*')) == before


def grid_writer(folder, most):
    writer, = open_writers(['grid'], Target(folder, max_grid_rows=most))
    return writer


def test_grid_rows_are_spread_over_any_length(reconstructor, tmp_path,
                                             monkeypatch):
    monkeypatch.setattr(GridWriter, 'row', lambda self, frame: frame.image)
    writer, picked = grid_writer(tmp_path, most=4), []
    result = next(iter(reconstructor(picture())))
    for number in range(37):
        writer.add(PaintedFrame(None, result, number))
        picked.append(list(writer.rows))
    assert writer.rows == [0, 16, 32]
    assert max(map(len, picked)) == 4
    assert picked[3] == [0, 1, 2, 3]
    # All faces of a frame, of which the nearest.
    writer = grid_writer(tmp_path, most=5)
    near = replace(result, camera=result.camera * 2)
    for number in range(7):
        writer.add_frame([PaintedFrame(None, face, number) for face in
                          [result, near][:1 + number % 4]])
    assert writer.rows == [0, 4]
    writer = grid_writer(tmp_path, most=1)
    writer.add_frame([PaintedFrame(None, result, 1),
                      PaintedFrame(None, near, 2)])
    assert writer.rows == [2]


def test_a_painted_frame_makes_everything_once(reconstructor, monkeypatch):
    image = picture()
    painter = reconstructor.build_painter(32)
    result = next(iter(reconstructor(image)))
    calls = []
    paint = painter.paint
    monkeypatch.setattr(painter, 'paint', lambda *args: calls.append(
        args[2]) or paint(*args))
    frame = PaintedFrame(painter, result, image, {'overlay', 'depth'})
    for _ in range(2):
        assert set(frame.in_frame) == set(frame.in_crop) == {
            'overlay', 'depth'}
    assert len(calls) == 2
    assert frame.texture is frame.texture
    assert PaintedFrame(painter, result).texture is None
