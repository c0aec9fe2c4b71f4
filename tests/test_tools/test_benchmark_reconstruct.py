# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.toy_pictures import picture

from mmtvface.benchmarks.speed import reconstruct as benchmark
from mmtvface.io.video_reader import read_video
from mmtvface.io.video_writer import write_video


def test_videos_have_cuts(tmp_path):
    source = write_video(tmp_path / 'a.mp4',
                         [picture(x=20 + 5 * i) for i in range(4)])
    video = list(read_video(benchmark.repeated(
        source, 250, tmp_path / 'video.mp4')))
    assert len(video) == 250

    def column(image):
        return np.flatnonzero((image > 200).all(2).any(0))[0]

    # To and fro, mirrored at first
    assert [column(image) for image in video[:8]] == pytest.approx(
        [100, 95, 90, 85, 90, 95, 100, 95], abs=1)
    assert column(video[120]) == pytest.approx(20, abs=1)
    assert column(video[240]) == pytest.approx(100, abs=1)


def test_statistics(tmp_path, monkeypatch, capsys):
    calls = []

    def reconstruct(video, options, way):
        calls.append((Path(video).name, way, tuple(options)))
        long = '40' in Path(video).name
        return benchmark.Run(
            15. if long else 6. if way == 'sequential' else 5.,
            1010. if long else 1000.)

    monkeypatch.setattr(benchmark, 'reconstruct', reconstruct)
    source = write_video(tmp_path / 'a.mp4', [picture()])
    benchmark.main([
        '--input', str(source), '--lengths', '40', '20', '--repeats', '2',
        '--json', str(tmp_path / 'speed.json'), '--', '--save', 'codes'])
    statistics = json.loads(capsys.readouterr().out)
    assert statistics == json.loads((tmp_path / 'speed.json').read_text())
    assert statistics['frames_per_second'] == 2.
    assert statistics['sequential_over_overlapped'] == 1.2
    assert statistics['peak_growth'] == .01
    assert [way for _, way, _ in calls] == [
        'overlapped', 'sequential'] * 2 + ['overlapped']
    assert calls[0] == ('20.mp4', 'overlapped', ('--save', 'codes'))


@pytest.mark.parametrize('way', ['overlapped', 'sequential'])
def test_a_failure_says_why(tmp_path, way):
    """All steps have run when there is found to be no face."""
    video = write_video(tmp_path / 'a.mp4', [picture(side=0)] * 4)
    with pytest.raises(RuntimeError, match='No face was found in any of'):
        benchmark.reconstruct(video, [], way)
