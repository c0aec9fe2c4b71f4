# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Ctrl-C, and those who stop to listen."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.drawn_video import DrawnVideo
from helpers.toy_pictures import find_bright_boxes, picture

from mmtvface.apis import FaceReconstructor

SCRIPT = '''
import signal
import sys
from pathlib import Path
from helpers.model_files import write_model
from mmtvface.apis import FaceReconstructor, save_results
from helpers.drawn_video import DrawnVideo, rooms, with_face
from helpers.toy_pictures import find_bright_boxes
from mmtvface.utils.command_line import run_command

# A suite in the background ignores the signal, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
shown = rooms(60)
video = DrawnVideo(3600, lambda index: with_face(shown[index // 60]))

def told(results):
    for number, result in enumerate(results):
        if number == 30:
            print('go', flush=True)
        yield result

def work():
    folder = Path(sys.argv[1])
    reconstructor = FaceReconstructor(
        *write_model(folder), 'cpu', detector=find_bright_boxes)
    save_results(told(reconstructor(video)), video, folder,
                 reconstructor.build_painter(32), ['codes', 'video'])

sys.exit(run_command(work))
'''


@pytest.mark.skipif(os.name == 'nt', reason='signals of Unix')
def test_ctrl_c_while_all_steps_work(tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-c', SCRIPT, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={
            **os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    try:
        assert process.stdout.readline() == 'go\n', process.stderr.read()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert errors.strip().endswith('Interrupted.')
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['stopped'].startswith('KeyboardInterrupt')
    with np.load(tmp_path / 'codes.npz') as codes:
        # The frame in work may be in one of them.
        assert abs(len(codes['shape']) - metrics['frames']) <= 1
        assert 25 <= len(codes['shape']) < 3600


def moving(index):
    return picture(x=40 + index % 5)


def test_nobody_waits_for_a_shot_that_is_not_wanted(model_files):
    """Leaving after an interruption of the caller is a matter of a frame."""
    reconstructor = FaceReconstructor(*model_files, device='cpu',
                                      detector=find_bright_boxes)

    def draw(index):
        frame = moving(index)
        if index < 60:
            frame[:, :, 2] = 160  # another room
        else:
            time.sleep(.02)
        return frame

    results = reconstructor(DrawnVideo(1000, draw))
    next(results)
    begin = time.monotonic()
    results.close()
    assert time.monotonic() - begin < 5  # of 19 seconds


def test_what_is_known_is_read_with_progress(model_files, tmp_path):
    """And can be interrupted, too."""
    seen = []

    reconstructor = FaceReconstructor(*model_files, device='cpu',
                                      detector=find_bright_boxes)
    video = DrawnVideo(30, moving, files=True)

    def stop(step, done, total):
        seen.append((step, done))
        if step == 'Reconstructing':
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(reconstructor(video, progress=stop, resume=tmp_path / 'j'))
    assert ('Looking for faces', 30) in seen
    seen.clear()

    def early(step, done, total):
        seen.append((step, done))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(reconstructor(video, progress=early, resume=tmp_path / 'j'))
    assert seen == [('Looking for faces', i) for i in (1, 2, 3)]


def test_another_option_is_told(model_files, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr('mmtvface.tracking.track_store.print_log',
                        lambda text, **_: told.append(text))

    def run(**options):
        reconstructor = FaceReconstructor(
            *model_files, device='cpu', detector=find_bright_boxes, **options)
        list(reconstructor(DrawnVideo(3, moving, files=True),
                           resume=tmp_path / 'j'))

    run()
    run()
    assert not told
    run(fill_gaps=2)
    assert len(told) == 1 and 'another settings: everything' in told[0]


KILLED = '''
import os, signal, sys
from pathlib import Path
import numpy as np
from helpers.model_files import write_model
from helpers.drawn_video import DrawnVideo, rooms, with_face
from helpers.toy_pictures import find_bright_boxes
from mmtvface.apis import FaceReconstructor

folder, kill_at = Path(sys.argv[1]), sys.argv[2:]
shown = rooms(3)
video = DrawnVideo(180, lambda index: with_face(
    shown[index // 60], 40 + index % 9), files=True)

def progress(step, done, total):
    if [step, str(done)] == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

results = list(FaceReconstructor(
    *write_model(folder), 'cpu', detector=find_bright_boxes)(
    video, progress=progress, resume=folder / 'resume'))
print(len(results), hash(b''.join(
    result.vertices.tobytes() + result.camera.tobytes()
    for result in results)))
'''


def test_killed_runs_end_with_the_same_bytes(tmp_path):
    def run(folder, *kill_at):
        folder.mkdir(exist_ok=True)
        return subprocess.run(
            [sys.executable, '-c', KILLED, str(folder), *kill_at],
            capture_output=True, text=True, timeout=300, env={
                **os.environ, 'PYTHONHASHSEED': '0',
                'PYTHONPATH': os.pathsep.join(
                    [str(Path(__file__).parent), *sys.path])})

    whole = run(tmp_path / 'whole')
    assert whole.stdout.startswith('180 '), whole.stderr
    for kill_at in (('Looking for faces', '30'), ('Finishing', '120')):
        killed = run(tmp_path / 'killed', *kill_at)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert run(tmp_path / 'killed').stdout == whole.stdout
