# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Cuts, identity, smoothing, interruptions and length of videos."""

import contextlib
import shutil
import sqlite3
import threading
import time
import tracemalloc

import cv2
import numpy as np
import pytest
from helpers.drawn_video import DrawnVideo, rooms, with_face
from helpers.toy_pictures import find_bright_boxes, picture

from mmtvface.apis import FaceReconstructor
from mmtvface.io.video_writer import write_video
from mmtvface.reconstruction import finish, pipeline
from mmtvface.reconstruction.settings import DEFAULT_REFINE
from mmtvface.tracking.track_store import RESUME_FILE


def build(model_files, **kwargs):
    kwargs.setdefault('detector', find_bright_boxes)
    return FaceReconstructor(*model_files, device='cpu', **kwargs)


def test_no_track_crosses_a_cut(model_files):
    """A face in the same place, but in another picture."""
    frames = [with_face(room, 40 + i) for room in rooms(2) for i in range(5)]
    results = list(build(model_files)(frames))
    assert [r.track_id for r in results] == [0] * 5 + [1] * 5
    shapes = np.stack([r.codes['shape'] for r in results])
    assert (shapes[:5] == shapes[0]).all() and (
        shapes[5:] == shapes[5]).all() and (shapes[0] != shapes[5]).any()


@pytest.mark.parametrize('step', ['Looking for faces', 'Reconstructing'])
def test_an_interrupted_run_goes_on(model_files, tmp_path, step):
    path = write_video(tmp_path / 'a.mp4',
                       [picture(x=20 + 2 * i) for i in range(31)])
    calls = []

    def detect(image):
        calls.append('detect')
        return find_bright_boxes(image)

    reconstructor = build(model_files, detector=detect, clip_length=3)
    encode = reconstructor.model.encode_with_detail

    def count(inputs):
        calls.append('encode')
        return encode(inputs)

    reconstructor.model.encode_with_detail = count
    expected = list(reconstructor(path))
    whole = calls.copy()
    calls.clear()

    def stop(name, done, total):
        if name == step and done >= 25:
            raise KeyboardInterrupt

    resume = tmp_path / 'resume'
    with pytest.raises(KeyboardInterrupt):
        list(reconstructor(path, progress=stop, resume=resume))
    # As if it had been killed while it wrote
    (resume / f'{RESUME_FILE}-wal').write_bytes(b'{"x"')
    before = calls.copy()
    calls.clear()
    found = list(reconstructor(path, resume=resume))
    assert before.count('detect') + calls.count('detect') == 31
    # 15 clips; of the six frames or so that are left, and their neighbours
    assert whole.count('encode') == 15
    assert calls.count('encode') == (
        15 if step == 'Looking for faces' else 3)
    calls.clear()
    list(reconstructor(path, resume=resume))
    assert not calls.count('detect') and calls.count('encode') <= 1
    # Codes that make no sense are found again, and all of a damaged file.
    file = resume / RESUME_FILE
    for change in ("update codes set encoded = x'00' where frame = 5",
                   'update codes set frame = 3000 where frame = 7', None):
        if change is None:
            file.write_bytes(b'x' * 50 + file.read_bytes()[50:])
        else:
            with contextlib.closing(sqlite3.connect(file)) as base, base:
                base.execute(change)
        calls.clear()
        list(reconstructor(path, resume=resume))
        assert calls.count('encode') == 15
        assert calls.count('detect') == (31 if change is None else 0)
    for one, other in zip(found, expected, strict=True):
        assert one.index == other.index
        np.testing.assert_array_equal(one.vertices, other.vertices)
    with pytest.warns(DeprecationWarning, match="'resume'"):
        list(reconstructor(path, journal=resume))
    # Another option, another file
    shutil.rmtree(resume)
    with pytest.raises(KeyboardInterrupt):
        list(reconstructor(path, progress=stop, resume=resume))
    calls.clear()
    other = build(model_files, detector=detect, clip_length=2)
    list(other(path, resume=resume))
    assert calls.count('detect') == 31
    with pytest.raises(ValueError, match='input of files'):
        reconstructor([picture()], resume=resume)


def test_one_identity_per_track(model_files):
    frames = [picture(x=30 + 4 * i, y=20 + i) for i in range(6)]
    one = np.stack([r.codes['shape'] for r in build(model_files)(frames)])
    each = np.stack([r.codes['shape'] for r in build(
        model_files, identity='frame', crop_sigma=0.)(frames)])
    assert (one == one[0]).all() and np.ptp(each, 0).max() > 1e-6
    with pytest.raises(ValueError, match='identity must be one of'):
        build(model_files, identity='person')
    with pytest.raises(ValueError, match='smooth must be None'):
        build(model_files, smooth='kalman')
    with pytest.raises(ValueError, match='refine needs a FLAME head'):
        build(model_files, refine=2)
    with pytest.raises(ValueError, match='refine corrects one identity'):
        build(model_files, refine=2, identity='frame')
    # Refinement is on by default where it is possible.
    assert build(model_files).settings.finish.refine == 0
    for options, steps in (({}, DEFAULT_REFINE), (dict(refine=0), 0),
                           (dict(identity='frame'), 0)):
        packaged = FaceReconstructor(device='cpu', **options)
        assert packaged.settings.finish.refine == steps, options


@pytest.mark.parametrize('smooth', ['one-euro', 'savgol'])
def test_smoothing_is_reported(model_files, smooth):
    shifts = np.random.default_rng(0).integers(-3, 4, 12)
    frames = [picture(x=60 + int(shift)) for shift in shifts]
    reconstructor = build(model_files, crop_sigma=0., smooth=smooth)
    raw, calm = (np.stack([r.codes['pose'] for r in build(
        model_files, crop_sigma=0., smooth=method)(frames)])
        for method in (None, smooth))
    list(reconstructor(frames))
    report = reconstructor.report['smoothing']
    assert report['jitter_after_mm'] < report['jitter_before_mm']
    assert np.abs(np.diff(calm, 2, axis=0)).sum() < (
        np.abs(np.diff(raw, 2, axis=0)).sum())
    if smooth == 'savgol':
        assert abs(report['lag_frames']) < .3


def test_memory_of_a_long_video(model_files, monkeypatch):
    """Nothing of a frame stays but its place in a track."""
    monkeypatch.setattr(finish, '_BLOCK', 50)
    monkeypatch.setattr(finish, '_MARGIN', 10)
    monkeypatch.setattr(finish, '_MOST_FRAMES', 50)
    monkeypatch.setattr(pipeline, 'FRAME_MEMORY', 1 << 20)
    reconstructor = build(model_files, batch_size=8)

    def video(length):
        return DrawnVideo(length, lambda index: picture(x=40 + index % 7))

    list(reconstructor(video(20)))

    def peak(length):
        tracemalloc.start()
        count = sum(result.valid for result in reconstructor(video(length)))
        assert count == length
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    growth = (peak(500) - peak(100)) / 400
    # A frame has 57 kB, a mesh 2 kB, landmarks 1 kB.
    assert growth < 300, growth


def two_faces(i, third=False):
    """One that moves to the right, and a smaller one below it."""
    frame = picture(x=20 + 2 * i, y=10, side=40)
    frame[80:105, 100 - i:125 - i] = 255
    if third:
        frame[80:105, 10:35] = 255
    return frame


@pytest.mark.parametrize('batch_size', [1, 3])
def test_all_faces(model_files, batch_size):
    """Each as if it were the only one, whatever goes through at once."""
    frames = [two_faces(i, third=4 <= i < 9) for i in range(12)]
    options = dict(clip_length=4, identity='frame')
    results = list(build(model_files, faces='all', batch_size=batch_size,
                         **options)(frames))
    assert [r.name for r in results][-2:] == ['000011_track0',
                                              '000011_track1']
    assert [(r.index, r.track_id) for r in results] == sorted(
        (r.index, r.track_id) for r in results)
    by_track = [[r for r in results if r.track_id == track]
                for track in range(3)]
    assert [len(track) for track in by_track] == [12, 12, 5]
    main = list(build(model_files, **options)(frames))
    assert [r.name for r in main] == [r.frame_name for r in by_track[0]]
    for one, other in zip(by_track[0], main, strict=True):
        np.testing.assert_allclose(one.vertices, other.vertices, atol=1e-6)
    masked = [frame.copy() for frame in frames]
    for frame in masked:
        frame[:60] = picture(side=0)[:60]
        frame[:, :40] = picture(side=0)[:, :40]
    alone = list(build(model_files, **options)(masked))
    for one, other in zip(by_track[1], alone, strict=True):
        np.testing.assert_allclose(one.landmarks2d, other.landmarks2d,
                                   atol=1e-3)
    with pytest.raises(ValueError, match="faces must be one of.*'some'"):
        build(model_files, faces='some')


def test_short_gaps_are_filled_if_wanted(model_files):
    frames = [picture(x=40 + i) for i in range(9)]
    for i in (3, 4):
        frames[i] = picture(side=0)
    plain = list(build(model_files)(frames))
    assert [r.valid for r in plain] == [i not in (3, 4) for i in range(9)]
    results = list(build(model_files, fill_gaps=2)(frames))
    assert all(r.valid for r in results)
    assert [r.detection_source for r in results] == [
        'interpolated' if i in (3, 4) else 'detected' for i in range(9)]
    np.testing.assert_allclose(results[3].detection[0], [43, 30])
    assert list(build(model_files, fill_gaps=1)(frames))[3].status == 'no_face'
    with pytest.raises(ValueError, match='fill_gaps must be a whole'):
        build(model_files, fill_gaps=-1)


def test_steps_work_at_the_same_time(model_files):
    """The first results come while later frames were not even read."""
    shown = rooms(20)
    seen = []

    def draw(index):
        seen.append(index)
        return with_face(shown[index // 60])

    results = build(model_files)(DrawnVideo(1200, draw))
    first = next(results)
    assert first.valid and 60 <= max(seen) < 600
    results.close()
    count = len(seen)
    assert first.track_id == 0
    time.sleep(.3)
    assert len(seen) == count  # all threads have ended


def test_errors_of_other_threads_are_raised(model_files):
    def fail(image):
        raise RuntimeError('the detector is broken')

    with pytest.raises(RuntimeError, match='detector is broken'):
        list(build(model_files, detector=fail)([picture()]))
    reconstructor = build(model_files)
    reconstructor.model.regressor = None
    with pytest.raises(TypeError, match='not callable'):
        list(reconstructor([picture()]))
    assert threading.active_count() == 1 or not [
        thread for thread in threading.enumerate() if 'work' in thread.name]


def test_videos_of_turned_telephones_and_4k(model_files, tmp_path):
    bad_videos = pytest.importorskip('helpers.bad_videos')
    frames = [picture(x=40 + 2 * i) for i in range(4)]
    path = bad_videos.encode_video(tmp_path / 'a.mp4', frames, 'libx264',
                                   'yuv420p')
    bad_videos.set_rotation(path, 90)
    turned = list(build(model_files)(path))
    assert [r.frame_size for r in turned] == [(160, 120)] * 4
    # Stored to the right is up or down; the face moves along.
    motion = turned[3].detection.mean(0) - turned[0].detection.mean(0)
    assert abs(motion[1]) == pytest.approx(6, abs=1)
    assert abs(motion[0]) < 1
    large = [cv2.resize(frame, (3840, 2160),
                        interpolation=cv2.INTER_NEAREST) for frame in frames]
    result = list(build(model_files)(write_video(tmp_path / 'b.mp4', large)))
    assert [r.frame_size for r in result] == [(2160, 3840)] * 4
    for one, frame in zip(result, frames, strict=True):
        small, = find_bright_boxes(frame)
        np.testing.assert_allclose(
            one.detection.mean(0) / [24, 18], small.mean(0) + .5, atol=.2)
