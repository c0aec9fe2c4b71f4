# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Videos of results: what they show, when, and what is heard."""

import numpy as np
import pytest
from helpers.toy_pictures import find_bright_boxes, picture

from mmtvface.apis import FaceReconstructor
from mmtvface.export.save import save_results
from mmtvface.io.video_reader import decode_video, probe_video
from mmtvface.tracking.frame_source import open_frames

av = pytest.importorskip('av')

from helpers.audio_video import (  # noqa: E402
    RATE,
    heard_in,
    pitch,
    write_with_tone,
)

KINDS = ('video', 'comparison_video')
FILES = ('overlay.mp4', 'side_by_side.mp4')


@pytest.fixture(scope='module')
def reconstructor(shared_model_files):
    return FaceReconstructor(*shared_model_files, device='cpu',
                             detector=find_bright_boxes)


def save(reconstructor, source, out):
    saved = save_results(reconstructor(source), source, out,
                         reconstructor.build_painter(16), KINDS)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ('metrics.json', *FILES))
    assert set(saved['files']) == {*KINDS, 'metrics'}


def test_rate_and_audio_are_those_of_the_source(reconstructor, tmp_path):
    path = write_with_tone(tmp_path / 'a.mp4', [picture(x=30 + i)
                                                for i in range(25)],
                           audio_seconds=1.)
    save(reconstructor, path, tmp_path / 'out')
    for name in FILES:
        video = tmp_path / 'out' / name
        assert probe_video(video).fps == probe_video(path).fps == 25
        assert [frame.time for frame in decode_video(video)] == (
            pytest.approx([i / 25 for i in range(25)]))
        samples, first, codec = heard_in(video)
        assert codec == 'aac'
        with av.open(str(video)) as container:
            ends = [float((stream.start_time + stream.duration)
                          * stream.time_base) for stream in container.streams]
        assert ends[0] == pytest.approx(1.) and abs(first) < .04
        assert abs(ends[1] - ends[0]) < 1 / 25
        assert abs(pitch(samples[4000:12000]) - 440) < 5
        # It is a copy: not a sample has changed.
        np.testing.assert_array_equal(
            samples, heard_in(path)[0][:len(samples)])


def test_uneven_videos_stay_in_step(reconstructor, tmp_path):
    times = [*range(0, 400, 40), *range(400, 1000, 120)]
    path = write_with_tone(tmp_path / 'a.mkv', [
        picture(x=30 + i) for i in range(len(times))], audio_seconds=1.,
        times=times)
    save(reconstructor, path, tmp_path / 'out')
    for name in FILES:
        shown = [f.time for f in decode_video(tmp_path / 'out' / name)]
        np.testing.assert_allclose(shown, np.array(times) / 1000, atol=2e-3)
        samples, _, _ = heard_in(tmp_path / 'out' / name)
        assert len(samples) / RATE == pytest.approx(1., abs=.1)


def test_another_rate_is_even_and_silent(reconstructor, tmp_path):
    path = write_with_tone(
        tmp_path / 'a.mp4', [picture()] * 4, audio_seconds=.2)
    source = open_frames(path)
    source.fps = 10.
    save(reconstructor, source, tmp_path / 'out')
    for name in FILES:
        video = tmp_path / 'out' / name
        assert [f.time for f in decode_video(video)] == pytest.approx(
            [0., .1, .2, .3])
        with av.open(str(video)) as container:
            assert not container.streams.audio
