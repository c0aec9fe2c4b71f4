# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The tool that measures real videos, on drawn ones and a toy model."""

import functools
import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.toy_pictures import find_bright_boxes, picture
from helpers.toy_reconstructor import toy_config
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmtvface.benchmarks import real_videos
from mmtvface.benchmarks.real_videos import measure, reference_rotations
from mmtvface.geometry.head_pose import HEAD_POINTS
from mmtvface.geometry.landmarks import LIP_PAIRS
from mmtvface.io.video_writer import write_video
from mmtvface.reconstruction.results import NO_FACE, FrameResult, frame_camera
from mmtvface.registry import MODELS

TOOL = (Path(__file__).resolve().parents[2] /
        'tools/analysis_tools/real_videos.py')


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('tool_real_videos', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def turn(yaw):
    """(3, 3) of a turn to the left by radians."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def face(gap=0., yaw=0.):
    """(68, 3) pixels and depth; outer eye corners are 100 pixels apart."""
    points = HEAD_POINTS.copy()
    for upper, lower in LIP_PAIRS:
        points[lower] = points[upper] - [0, gap / 100, 0]
    return points @ turn(yaw).T * [100, -100, -100] + [300, 300, 0]


def result(index, points, yaw=0., track=0):
    pose = np.array([0, yaw, 0, 0, 0, 0], np.float32)
    return FrameResult(
        index, str(index), track_id=track, codes=dict(pose=pose),
        camera=frame_camera(np.array([8., 0, 0]), np.eye(3), 224),
        landmarks2d=points[:, :2])


def test_rotations_of_landmarks_are_in_the_axes_of_the_head():
    yaws = np.array([.1, .4, -.2, .3])
    reference = np.stack([face(yaw=yaw) for yaw in yaws])
    reference[1] = np.nan
    # Of a head whose own zero looks 0.5 to the left
    pred = np.stack([turn(yaw - .5) for yaw in yaws])
    found = reference_rotations(reference, pred)
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[[0, 2, 3]], pred[[0, 2, 3]], atol=1e-9)
    assert np.isnan(reference_rotations(reference, pred * np.nan)).all()


def test_numbers_of_a_video():
    gaps = np.array([0., 8, 16, 8, 0, 4])
    reference = np.stack([face(gap) for gap in gaps])
    points = np.stack([face(gap / 4) for gap in gaps])
    points[..., 0] += 3
    points[2, :, 0] += 3
    reference[5] = np.nan
    results = [result(i, p, track=i // 3) for i, p in enumerate(points)]
    results[4] = FrameResult(4, '4', NO_FACE)
    row = measure(results, reference)
    assert {name: row[name] for name in (
        'frames', 'lost', 'reference_lost', 'tracks', 'worst_frame')} == dict(
            frames=6, lost=1, reference_lost=1, tracks=2, worst_frame=2)
    assert row['mouth_open_amplitude'] == pytest.approx(.25)
    assert row['mouth_open_corr'] == pytest.approx(1)
    assert row['yaw_corr'] is None and row['eye_left_amplitude'] is None
    # The box of the true landmarks; three lips are off by 3/4 of the gap,
    # and all points to the side by 3 pixels, once by 6.
    box = 100 * np.sqrt(np.prod(np.ptp(HEAD_POINTS[:, :2], axis=0)))
    lips = np.hypot(np.array([3, 3, 6, 3]), .75 * gaps[:4])
    sides = np.array([3., 3, 6, 3])
    errors = 100 * (65 * sides + 3 * lips) / 68 / box
    inner = 100 * (48 * sides + 3 * lips) / 51 / box
    assert row['nme'] == pytest.approx(errors.mean())
    assert row['nme_inner'] == pytest.approx(inner.mean())
    assert row['worst_nme'] == pytest.approx(inner[2])
    still = measure([result(i, face(9)) for i in range(6)], reference)
    assert still['mouth_open_amplitude'] == pytest.approx(0, abs=1e-9)
    assert still['mouth_open_corr'] == still['jitter'] == 0
    assert still['reference_jitter'] > 0
    lost = measure([FrameResult(i, str(i), NO_FACE) for i in range(6)],
                   reference)
    assert lost['lost'] == 6 and lost['nme'] is lost['yaw_corr'] is None


def test_medians_leave_out_what_is_not_known():
    rows = [dict(video=name, run='default', nme=nme, jitter=None,
                 worst_frame=7)
            for name, nme in (('a', 1.), ('b', None), ('c', 4.))]
    assert real_videos.medians(rows) == [dict(
        video='median', run='default', nme=2.5, jitter=None)]


@pytest.fixture
def toy_model(tmp_path):
    """Config file and checkpoint of a random toy model."""
    config = Config(dict(
        custom_imports=dict(imports=['helpers.toy_reconstructor']),
        model=toy_config(
            data_preprocessor=dict(type='FaceClipDataPreprocessor')),
        test_dataloader=dict(dataset=dict(
            type='FaceClipDataset', clip_length=3, image_size=32))))
    config.dump(tmp_path / 'toy.py')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmtvface'):
        state = MODELS.build(config.model).state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'toy.pth')
    return [str(tmp_path / 'toy.py'), str(tmp_path / 'toy.pth')]


def test_a_folder_of_videos(tool, tmp_path, toy_model, monkeypatch, capsys):
    folder = tmp_path / 'videos'
    folder.mkdir()
    for name, side in (('b', 40), ('a', 40), ('nobody', 0)):
        write_video(folder / f'{name}.mp4',
                    [picture(x=20 + 5 * i, side=side) for i in range(6)])
    (folder / 'notes.txt').write_text('no video')
    monkeypatch.setattr(
        tool, 'FaceReconstructor', functools.partial(
            tool.FaceReconstructor, detector=find_bright_boxes))
    monkeypatch.setattr(
        real_videos, 'reference_landmarks', lambda frames: np.stack(
            [face(4 * i) * .4 for i, _ in enumerate(frames)]))
    out = tmp_path / 'out'
    code = tool.main([
        str(folder), '--out', str(out), '--frames', '4', '--refine', '0',
        '--single', '--device', 'cpu', '--model', *toy_model])
    printed = capsys.readouterr().out
    assert code == 1 and 'FAILED: nobody.mp4: No face' in printed
    assert printed == (out / 'results.md').read_text()
    found = json.loads((out / 'results.json').read_text())
    # No refinement is the default of the toy model: it does not run twice.
    assert [(row['video'], row['run'], row['frames'], row['lost'])
            for row in found['rows']] == [
        (name, run, 4, 0) for name in 'ab'
        for run in ('default', 'single frames')]
    assert all(row['fps'] > 0 and row['nme'] > 0 and
               row['mouth_open_amplitude'] >= 0 for row in found['rows'])
    assert [row['run'] for row in found['medians']] == [
        'default', 'single frames']
    assert printed.count('| median') == 4
    # Input, overlay and mesh of two runs; four frames
    for name in 'ab':
        sheet = cv2.imread(str(out / f'{name}.png'))
        assert sheet.shape == (5 * 202 - 2, 4 * 202 - 2, 3)
        cells = [sheet[202 * row:202 * row + 200, :200] for row in range(3)]
        assert cells[2].max() == 255 and cells[2].std() > 5  # grey on white
        assert (cells[0] != cells[1]).any()
    assert not (out / 'nobody.png').exists()


def test_a_folder_without_videos(tool, tmp_path, capsys):
    assert tool.main([str(tmp_path)]) == 2
    assert 'must be a folder with videos' in capsys.readouterr().err


def test_points_of_mediapipe_are_pixel_indices(monkeypatch):
    """Edges of an image are 0 and 1, depth is relative to its width."""
    class Point:
        x, y, z = .5, .25, -.1

    class Network:
        def __init__(self, **options):
            assert options['refine_landmarks']

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def process(self, frame):
            found = type('Found', (), dict(multi_face_landmarks=None))
            if frame.any():
                faces = [type('Face', (), dict(landmark=[Point] * 478))]
                found.multi_face_landmarks = faces
            return found

    from mmtvface.tracking.detectors import mediapipe_runtime
    monkeypatch.setattr(
        mediapipe_runtime, 'module',
        lambda name: type('Module', (), dict(FaceMesh=Network)))
    found = real_videos.reference_landmarks(
        [np.full((40, 100, 3), gray, np.uint8) for gray in (9, 0)])
    np.testing.assert_allclose(found[0], [[49.5, 9.5, -10]] * 68)
    assert np.isnan(found[1]).all()
