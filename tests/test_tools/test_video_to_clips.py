# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import importlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from helpers.rendered_heads import head_video

from mmtvface.dataset_tools.clip_maker import ClipSettings, extract
from mmtvface.dataset_tools.make_set import locked, make_clip_set
from mmtvface.datasets import FaceClipDataset

pytest.importorskip('av')
pytest.importorskip('lmdb')
pytest.importorskip('mediapipe.python.solution_base')
pytest.importorskip('scenedetect')

from helpers.bad_videos import encode_sound, encode_video, truncate

REPO = Path(__file__).resolve().parents[2]
TOOL = REPO / 'tools/dataset_converters/video_to_clips.py'
sys.path.insert(0, str(TOOL.parent))
video_to_clips = importlib.import_module('mmtvface.cli.prepare')

# Short pieces, so that there is something to continue.
OPTIONS = dict(min_length=5, max_length=10, segment_length=20, max_side=96)
CFG = ['--cfg-options', *(f'{k}={v}' for k, v in OPTIONS.items())]
SPLIT = ['--split', '.5', '.5', '0']


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Two videos with a head each, and three files that are none."""
    root = tmp_path_factory.mktemp('videos')
    # Seeds with which no part of a video is like another.
    for name, first, last, seed in (('a', -.4, .1, 8), ('b', .4, -.1, 3)):
        encode_video(root / f'{name}.mp4', head_video(first, last, 40, seed),
                     'libx264', 'yuv420p')
    truncate(root / 'a.mp4', root / 'cut.mp4')
    encode_sound(root / 'sound.mp4')
    (root / 'empty.mp4').write_bytes(b'')
    return root


@pytest.fixture(scope='module')
def whole(videos, tmp_path_factory):
    """The set that a run without any incident makes."""
    out = tmp_path_factory.mktemp('whole') / 'set'
    assert video_to_clips.main([
        str(videos), '--out', str(out), '--workers', '0', '--pack', *CFG,
        *SPLIT]) == 0
    return out


def read(out):
    return json.loads((out / 'manifest.json').read_text())


def spans(out):
    """Video, first frame and length of all clips, and the videos' frames."""
    manifest = read(out)
    # A track that an interruption divides has two numbers.
    return ([(clip['video'], clip['first_frame'], clip['num_frames'])
             for clip in manifest['clips']],
            [(video['key'], video['frames'], video['faces'],
              video['finished']) for video in manifest['videos']])


def check_clips(folder):
    """All clips below a folder are complete; their number."""
    clips = list(folder.iterdir()) if folder.is_dir() else []
    for clip in clips:
        info = json.loads((clip / 'meta.json').read_text())
        frames = info['num_frames']
        assert len(info['frames']['number']) == frames
        for part in ('jpg', 'kpt', 'seg/masks'):
            assert len(list((clip / part).iterdir())) == frames, clip
        image = cv2.imread(str(clip / f'jpg/{frames:06d}.jpg'))
        assert image.shape == (info['side'], info['side'], 3)
    return len(clips)


def states(folder):
    """Inode and time of every file of the clips in a folder."""
    return {path.relative_to(folder): (path.stat().st_ino,
                                       path.stat().st_mtime_ns)
            for path in folder.rglob('*') if path.is_file()}


def test_videos_become_a_set(videos, whole):
    manifest = read(whole)
    assert sum(check_clips(whole / name) for name in ('train', 'val')) == len(
        manifest['clips']) == 8
    assert not manifest['duplicates']
    frames = {video['key'][0]: video for video in manifest['videos']}
    assert frames['a']['frames'] == frames['b']['frames'] == 40
    # Nearly all of 80 frames are used.
    assert sum(c['num_frames'] for c in manifest['clips']) >= 70
    splits = {clip['video'][0]: clip['split'] for clip in manifest['clips']}
    assert set(splits) == {'a', 'b'} and set(splits.values()) == {
        'train', 'val'}
    text = (whole / 'report.txt').read_text()
    assert re.search(r'cut-\w+: .*cut\.mp4 cannot be opened', text)
    assert re.search(r'sound-\w+: .*no video stream', text)
    assert re.search(r'empty\.mp4: skipped, the file is empty', text)
    page = (whole / 'report.html').read_text()
    assert page.count('data:image/jpeg;base64,') == page.count('src=') == len(
        manifest['clips'])
    assert not re.search(r'https?:|href|url\(|@import|<script', page)
    assert cv2.imread(str(whole / 'contact_sheet.png')).std() > 10
    for split in ('train', 'val'):
        loose = FaceClipDataset(data_root=str(whole), split=split,
                                clip_length=5, image_size=64)
        packed = FaceClipDataset(data_root=str(whole / 'packed'),
                                 split=split, clip_length=5, image_size=64)
        assert len(loose) == len(packed) > 3
        assert loose[0]['inputs'].shape[0] == 5
        assert packed.get_data_info(0)['clip_id'] == loose.get_data_info(0)[
            'clip_id']


def test_a_second_run_opens_no_video(videos, whole, monkeypatch, capsys):
    def opened(*args, **kwargs):
        raise AssertionError('a video was opened again')

    for name in ('probe_video', 'decode_video', 'build_detector'):
        monkeypatch.setattr(extract, name, opened)
    clips, manifest = states(whole / 'train'), read(whole)
    assert video_to_clips.main([
        str(videos), '--out', str(whole), '--workers', '0', *CFG,
        *SPLIT]) == 0
    assert states(whole / 'train') == clips and read(whole) == manifest
    assert 'clips with' in capsys.readouterr().out
    # Other settings do not mix with these.
    assert video_to_clips.main([str(videos), '--out', str(whole)]) == 2
    assert 'was made with other settings' in capsys.readouterr().err


def test_a_worker_that_is_killed_costs_one_try(videos, whole, tmp_path):
    settings, killed, failed = ClipSettings(**OPTIONS), [], {}

    def tell(report, videos):
        if not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)
        if report.error:
            failed[report.key] = report.error

    out = tmp_path / 'set'
    made, text = make_clip_set(
        [videos / 'a.mp4', videos / 'b.mp4', videos / 'empty.mp4'], out,
        settings, None, 2, tell)
    [(key, error)] = failed.items()
    assert key[0] in 'ab' and 'killed by signal SIGKILL' in error
    assert f'{key}: failed, will be tried again: the worker' in text
    other = [clip for clip in made.manifest['clips']
             if clip['video'] != key]
    assert [(clip['id'], clip['num_frames']) for clip in other] == [
        (clip['id'], clip['num_frames']) for clip in read(whole)['clips']
        if clip['video'] != key]
    assert not multiprocessing.active_children()
    make_clip_set([videos], out, settings, workers=0)
    assert spans(out) == spans(whole)


def wait_for(condition, process, seconds=100):
    for _ in range(seconds * 100):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError('nothing happened')


def test_a_run_that_is_killed_goes_on(videos, whole, tmp_path):
    out = tmp_path / 'set'
    work = out / '.work'
    process = subprocess.Popen(
        [sys.executable, str(TOOL), str(videos), '--out', str(out),
         '--workers', '1', *CFG, *SPLIT], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: list(work.glob('*/clips/*')), process)
        process.send_signal(signal.SIGKILL)  # the worker is left
        process.wait()
    finally:
        process.kill()
        process.communicate()
    finished = {}
    for folder in work.iterdir():
        check_clips(folder / 'clips')
        finished.update({
            clip.name: states(clip) for clip in folder.glob('clips/*')})
    assert finished
    assert not (out / 'train').exists()
    assert video_to_clips.main([
        str(videos), '--out', str(out), '--workers', '0', *CFG, *SPLIT]) == 0
    assert spans(out) == spans(whole)
    for split in ('train', 'val'):
        check_clips(out / split)
    places = {path.name: path for split in ('train', 'val')
              for path in (out / split).iterdir()}
    assert {name: states(places[name]) for name in finished} == finished
    assert not list(work.glob('*/segment')) and not list(
        work.glob('*/clips/*'))


def test_interrupted_workers_end(videos, tmp_path):
    def stop(report, videos):
        raise KeyboardInterrupt

    settings = ClipSettings(**OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        make_clip_set([videos / 'a.mp4'], tmp_path, settings, workers=1,
                      tell=stop)
    assert not multiprocessing.active_children()
    [state] = (tmp_path / '.work').iterdir()
    assert state.name.startswith('a-')
    assert not (tmp_path / 'manifest.json').exists()
    with locked(tmp_path):  # nobody holds it
        pass


def test_interrupting_is_no_error(monkeypatch, tmp_path, capsys):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmtvface.dataset_tools.make_set.make_clip_set', stop)
    assert video_to_clips.main(['x', '--out', str(tmp_path)]) == 130
    assert 'run the same command again' in capsys.readouterr().err


@pytest.mark.parametrize('arguments, message', [
    (['gone.mp4'], r'error: There is no video or folder gone\.mp4\.'),
    ([], 'error: There is no video in .*found no file'),
    (['--cfg-options', 'nonsense=1'], r"error: Unknown settings \['nonsense'"),
    (['--cfg-options', 'min_size=abc'],
     "error: min_size must be a finite number from 0 on, but it is 'abc'"),
    (['--cfg-options', 'min_length=0'], 'min_length must be a whole'),
    (['--cfg-options', 'min_size'], 'must be KEY=VALUE'),
    (['--split', '0', '0', '0'], 'error: ratios must be shares'),
    (['--split', 'nan', '1', '1'], 'must be a finite number'),
    (['--config', 'gone.py'], r'error: .*gone\.py'),
    (['--config', 'empty.py'], r'error: .*has no settings = dict'),
    (['--config', 'wrong.py'], r'error: .*wrong\.py cannot be read'),
    (['--masks', 'parsing'], 'needs parsing_weights'),
    (['--identities', 'gone.json'], 'error: There is no file of identities'),
    (['--identity-weights', 'gone.pkl'], r'error: .*gone\.pkl'),
    (['--backend', 'dlib'], "invalid choice: 'dlib'"),
    (['--workers', '-1'], '--workers: must be a whole number from 0'),
    (['--workers', 'two'], "'two'"),
])
def test_wrong_options(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path('empty.py').write_text('x = 1\n')
    Path('wrong.py').write_text('settings = dict(\n')
    folder = tmp_path / 'videos'
    folder.mkdir()
    if arguments:
        (folder / 'a.mp4').write_text('never opened')
    place = [] if 'gone.mp4' in arguments else [str(folder)]
    try:
        code = video_to_clips.main([*place, *arguments, '--out', 'set'])
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2 and re.search(message, error), error
    assert 'Traceback' not in error
    assert len([line for line in error.splitlines() if 'error:' in line]) == 1
    assert not (tmp_path / 'set/manifest.json').exists()
