# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import importlib.util

import numpy as np
import pytest
from helpers.pages import REPO
from PIL import Image

from mmtvface.io.video_writer import VideoWriter


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location(
        'animated_picture', REPO / 'tools/docs/animated_picture.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'video.mp4'
    with VideoWriter(path, 25) as writer:
        for index in range(8):
            frame = np.full((48, 96, 3), 30 * index, np.uint8)
            writer.write(frame)
    return path


def test_every_second_frame_in_the_time_of_the_video(tool, video, tmp_path):
    out = tmp_path / 'picture.webp'
    assert tool.main([str(video), str(out), '--width', '48']) == 0
    with Image.open(out) as image:
        assert (image.n_frames, image.size) == (4, (48, 24))
        greys = []
        for index in range(4):
            image.seek(index)
            greys.append(np.asarray(image.convert('RGB')).mean())
            assert image.info['duration'] == 80  # of two frames, ms
    assert greys == pytest.approx([0, 60, 120, 180], abs=8)


def test_too_large_is_refused_and_nothing_is_written(tool, video, tmp_path,
                                                     capsys):
    out = tmp_path / 'picture.webp'
    assert tool.main([str(video), str(out), '--max-kb', '0']) == 2
    assert 'raise --every or --max-kb' in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ['video.mp4']
