# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The memory of a process does not grow with the length of a video."""

import os
import subprocess
import sys

import pytest

resource = pytest.importorskip('resource')

SCRIPT = '''
import resource, sys, torch
from pathlib import Path
from helpers.model_files import write_model
from mmtvface.apis import FaceReconstructor, save_results
from helpers.drawn_video import DrawnVideo
from helpers.toy_pictures import find_bright_boxes, picture

def draw(index):
    frame = picture(x=40 + index % 7)
    frame[90:110, 100 - index % 5:120] = 255
    return frame

folder, length = Path(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
reconstructor = FaceReconstructor(
    *write_model(folder), 'cpu', faces='all', detector=find_bright_boxes,
    smooth='savgol', batch_size=4)
painter = reconstructor.build_painter(32)
video = DrawnVideo(int(length), draw)
saved = save_results(reconstructor(video), video, folder, painter,
                     ['codes', 'video'])
assert saved['faces_reconstructed'] == 2 * int(length), saved
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
'''


def test_peak_of_a_long_video(tmp_path):
    peaks = []
    for length in (300, 3000):
        done = subprocess.run(
            [sys.executable, '-c', SCRIPT, str(tmp_path), str(length)],
            capture_output=True, text=True, timeout=600, env={
                **os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
        assert not done.returncode, done.stderr
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < 1.05 * peaks[0], peaks
