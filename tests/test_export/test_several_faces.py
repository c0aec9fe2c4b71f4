# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Outputs of frames that have several faces, and of videos of any length."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from helpers.toy_pictures import find_bright_boxes, picture

from mmtvface.animation.tracks import read_codes
from mmtvface.apis import FaceReconstructor
from mmtvface.export.painted_frame import PaintedFrame, paint_all
from mmtvface.export.save import save_results
from mmtvface.export.writer import Target, open_writers
from mmtvface.export.writers.codes import stack_results
from mmtvface.io.video_reader import read_video
from mmtvface.reconstruction.results import NO_FACE, FrameResult, frame_camera
from mmtvface.reconstruction.summary import Summary

KINDS = ('obj', 'codes', 'landmarks', 'flame_npz', 'overlay', 'grid',
         'video', 'comparison_video')
SIZE = (120, 240)
#: Left column and side of each face in the frames 0, 1, 2 and 4.
PLACES = {0: (20, 30), 1: (140, 44)}


@pytest.fixture(scope='module')
def reconstructor(shared_model_files):
    return FaceReconstructor(*shared_model_files, device='cpu',
                             detector=find_bright_boxes)


def images_of(track):
    x, side = PLACES[track]
    return [picture(x + 3 * i, 20, 0 if i == 3 else side, SIZE)
            for i in range(5)]


@pytest.fixture(scope='module')
def frames():
    """Two faces; nobody in frame 3."""
    return [np.maximum(*both) for both in zip(*map(images_of, PLACES),
                                              strict=True)]


@pytest.fixture(scope='module')
def results(reconstructor):
    """As of a reconstruction of all faces; the second is away in frame 4."""
    found = {}
    for track in PLACES:
        for result in reconstructor(images_of(track)):
            if result.valid and (result.index, track) != (4, 1):
                found.setdefault(result.index, []).append(replace(
                    result, name=f'{result.name}_track{track}',
                    frame_name=result.name, track_id=track,
                    time=.04 * result.index**2))
    found[3] = [FrameResult(3, '000003', NO_FACE, frame_size=SIZE,
                            time=.36)]
    return [result for index in sorted(found) for result in found[index]]


@pytest.fixture(scope='module')
def saved(results, frames, reconstructor, tmp_path_factory):
    folder = tmp_path_factory.mktemp('several') / 'out'
    files = save_results(iter(results), frames, folder,
                         reconstructor.build_painter(64), KINDS)['files']
    assert set(files) == {*KINDS, 'metrics'}
    return folder


def change(before, after, track, index):
    """Mean change of the pixels of a face."""
    x, side = PLACES[track]
    where = np.s_[20:20 + side, x + 3 * index:x + 3 * index + side]
    return np.abs(before[where].astype(int) - after[where]).mean()


def test_videos_show_all_faces_of_a_frame(saved, frames):
    video = list(read_video(saved / 'overlay.mp4'))
    assert len(video) == len(frames)
    for index, (before, after) in enumerate(zip(frames, video, strict=True)):
        seen = [change(before, after, track, index) > 20 for track in PLACES]
        assert seen == [index != 3, index < 3], index
    side = list(read_video(saved / 'side_by_side.mp4'))
    assert len(side) == len(frames)
    shown = [row[:, 300:].max() > 50 for row in side]
    assert shown == [True, True, True, False, True]


def test_the_nearer_face_is_painted_last(results, frames, reconstructor):
    painter = reconstructor.build_painter(64)
    far = results[0]
    near = replace(far, camera=far.camera * [1.2])

    def painted(image, *faces):
        return paint_all([PaintedFrame(painter, face, image, ['overlay'])
                          for face in faces], 'overlay')

    expected = painted(painted(frames[0], far), near)
    assert (expected != painted(painted(frames[0], near), far)).any()
    for faces in ((far, near), (near, far)):
        np.testing.assert_array_equal(painted(frames[0], *faces), expected)


def test_files_of_results_and_of_tracks(saved):
    names = [f'00000{i}_track{track}' for i in (0, 1, 2) for track in (0, 1)]
    names.append('000004_track0')
    assert sorted(p.stem for p in (saved / 'meshes').glob('*.obj')) == names
    for size in ('frame', 'crop'):
        assert sorted(p.stem for p in (saved / 'overlay' / size).iterdir()
                      ) == names
    for track, index in ((0, [0, 1, 2, 4]), (1, [0, 1, 2])):
        with np.load(saved / 'flame_npz' / f'track{track}.npz') as file:
            assert file['frame_index'].tolist() == index
            assert file['frame_name'].tolist() == [f'{i:06d}' for i in index]
            np.testing.assert_allclose(file['time'],
                                       .04 * np.square(index))


def test_statistics_count_frames_and_faces(saved):
    metrics = json.loads((saved / 'metrics.json').read_text())
    assert (metrics['frames'], metrics['frames_reconstructed'],
            metrics['faces_reconstructed']) == (5, 4, 7)
    assert metrics['skipped'] == {NO_FACE: ['000003']}
    assert metrics['num_tracks'] == 2 and set(metrics['shape_spread']) == {
        '0', '1'}
    assert len(metrics['landmark_nme']['per_frame']) == 7


def test_codes_are_those_that_are_stacked(saved, results):
    expected = stack_results(results)
    with np.load(saved / 'codes.npz', allow_pickle=False) as file:
        assert set(file) == {*expected, 'fps'}
        for name, array in expected.items():
            assert file[name].dtype == array.dtype, name
            np.testing.assert_array_equal(file[name], array, name)
    assert expected['frame_index'].tolist() == [0, 0, 1, 1, 2, 2, 3, 4]
    assert expected['frame_name'][1] == '000000'
    assert expected['result_name'][1] == '000000_track1'
    np.testing.assert_allclose(expected['time'],
                               .04 * expected['frame_index']**2)
    assert np.isnan(expected['pose'][6]).all()


def test_animations_follow_one_face(saved, results):
    main = read_codes(saved / 'codes.npz')
    assert main.frame_index.tolist() == [0, 1, 2, 3, 4]
    assert main.frame_names == [f'{i:06d}' for i in range(5)]
    assert main.valid.tolist() == [True, True, True, False, True]
    assert main.track_id.tolist() == [0, 0, 0, -1, 0]
    np.testing.assert_allclose(main.time, .04 * np.arange(5)**2)
    other = read_codes(saved / 'codes.npz', track=1)
    assert other.valid.tolist() == [True, True, True, False, False]
    np.testing.assert_array_equal(other.codes['pose'][1],
                                  results[3].codes['pose'])
    np.testing.assert_array_equal(other.camera[2], results[5].camera)
    assert np.isnan(other.codes['pose'][4]).all()
    everybody = read_codes(saved / 'codes.npz', track='all')
    assert everybody.frame_index.tolist() == [0, 0, 1, 1, 2, 2, 3, 4]
    with pytest.raises(ValueError, match=r'no face 7; .* \[0, 1\]'):
        read_codes(saved / 'codes.npz', track=7)


def test_several_results_survive_a_stop(results, frames, reconstructor,
                                        tmp_path):
    """Also those of the frame in which it happens."""
    def failing():
        yield from results[:3]
        raise OSError('power cut')

    with pytest.raises(OSError, match='power cut'):
        save_results(failing(), frames, tmp_path,
                     reconstructor.build_painter(64), ['codes', 'video'])
    with np.load(tmp_path / 'codes.npz') as codes:
        assert codes['frame_index'].tolist() == [0, 0, 1]
    assert len(list(read_video(tmp_path / 'overlay.mp4'))) == 2
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['stopped'] == 'OSError: power cut'
    assert metrics['frames'] == 2


def test_interpolated_landmarks_are_no_reference(results):
    track = [r for r in results if r.track_id == 0]
    whole, gap = Summary(), Summary()
    for number, result in enumerate(track):
        whole.add(result)
        gap.add(replace(result, detection_source='interpolated')
                if number == 1 else result)
    with whole, gap:
        found, expected = gap.metrics(), whole.metrics()
    assert found['frames_reconstructed'] == 4
    assert 'faces_reconstructed' not in found
    per_frame = expected['landmark_nme']['per_frame']
    del per_frame[track[1].name]
    assert found['landmark_nme']['per_frame'] == per_frame
    assert found['landmark_nme']['reference'] == 'detected'
    assert expected['landmark_jitter']['reference'] < 1e-6
    assert found['landmark_jitter'] == dict(predicted=None, reference=None)
    only = Summary()
    with only:
        only.add(replace(track[0], detection_source='interpolated'))
        assert only.metrics()['landmark_nme'] is None


def synthetic(count, tracks=2):
    """Results of two faces at once, each of which is there for 100 frames."""
    rng = np.random.default_rng(0)
    points, matrix = rng.random((68, 3)) * 50, np.diag([2., 2., 1.])
    vertices = rng.random((20, 3)).astype(np.float32)
    for index in range(count):
        for face in range(tracks):
            codes = dict(
                shape=rng.random(100).astype(np.float32),
                exp=np.zeros(50, np.float32), pose=np.zeros(6, np.float32),
                cam=np.array([8, 0, 0], np.float32))
            track = index // 100 * tracks + face
            yield FrameResult(
                index, f'{index:06d}_track{track}', track_id=track,
                frame_size=(480, 640), codes=codes, vertices=vertices,
                camera=frame_camera(codes['cam'], matrix, 224),
                landmarks2d=points[:, :2] + rng.random((68, 2)),
                landmarks3d=points.copy(), visible2d=np.ones(68, bool),
                visible3d=np.ones(68, bool), crop_matrix=matrix,
                crop_size=224, detection=points[:, :2].copy(),
                detection_source='detected', frame_name=f'{index:06d}')


def kept_in_memory(add, count):
    """Bytes per result that are still held after some results."""
    for result in synthetic(2):
        add(result)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for result in synthetic(count):
        add(result)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / (2 * count)


def test_memory_does_not_grow_with_the_results(tmp_path):
    codes, flame = open_writers(['codes', 'flame_npz'], Target(tmp_path))
    for writer in (codes, flame):
        assert kept_in_memory(lambda result, to=writer: to.add(
            PaintedFrame(None, result)), 1000) < 30
        tracemalloc.start()
        assert writer.finish()
        # 12 and 3 MB of arrays.
        assert tracemalloc.get_traced_memory()[1] < 6e6
        tracemalloc.stop()
    with Summary(tmp_path) as summary:
        assert kept_in_memory(summary.add, 1000) < 400
        statistics = summary.metrics()
    assert statistics['num_tracks'] == 20
    for track in (0, 19):
        shapes = np.stack([r.codes['shape'] for part in (2, 1000)
                           for r in synthetic(part) if r.track_id == track])
        mean = shapes.mean(0, dtype=np.float64)
        assert statistics['shape_spread'][str(track)] == pytest.approx(
            np.linalg.norm(shapes - mean, axis=1).max()
            / np.linalg.norm(mean))
    with np.load(tmp_path / 'codes.npz') as file:
        assert len(file['exp']) == 2004
    assert len(list((tmp_path / 'flame_npz').iterdir())) == 20
