# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The audio of a source under the pictures made from it."""

import numpy as np
import pytest

from mmtvface.io.audio import add_audio
from mmtvface.io.video_reader import read_video
from mmtvface.io.video_writer import write_video
from mmtvface.tracking.frame_source import open_frames

av = pytest.importorskip('av')

from helpers.audio_video import (  # noqa: E402
    RATE,
    heard_in,
    pitch,
    write_with_tone,
)
from helpers.bad_videos import encode_video  # noqa: E402


def video_of(path, codec, count=30, **options):
    """25 frames a second that become brighter, and a tone."""
    return write_with_tone(path, [np.full((32, 32, 3), 8 * i, np.uint8)
                                  for i in range(count)], codec, **options)


@pytest.mark.parametrize(('codec', 'suffix'), [
    ('aac', 'mp4'), ('pcm_s16le', 'mov')])
def test_audio_is_kept(tmp_path, codec, suffix):
    source = video_of(tmp_path / f'a.{suffix}', codec)
    video = write_video(tmp_path / 'b.mp4', [
        np.full((64, 48, 3), 5 * i, np.uint8) for i in range(30)], 25.)
    pictures = list(read_video(video))
    assert add_audio(video, source)
    samples, first, name = heard_in(video)
    assert name == 'aac' and abs(first) < .07
    assert abs(len(samples) / RATE - 1.2) < .13
    assert abs(pitch(samples[RATE // 4:RATE // 4 + 8000]) - 440) < 5
    for one, other in zip(read_video(video), pictures, strict=True):
        np.testing.assert_array_equal(one, other)


def test_audio_ends_with_the_pictures_and_begins_when_it_did(tmp_path):
    source = video_of(tmp_path / 'a.mp4', 'aac', audio_seconds=.8, delay=.4)
    video = write_video(tmp_path / 'b.mp4', [
        np.zeros((32, 32, 3), np.uint8)] * 20, 25.)
    assert add_audio(video, source)
    samples, first, _ = heard_in(video)
    assert first == pytest.approx(.4, abs=.07)
    assert first + len(samples) / RATE == pytest.approx(.8, abs=.08)


def times_in(path):
    return [frame.time for frame in open_frames(path)]


def silent_video(path, times):
    """A silent video whose frames are shown at these milliseconds."""
    return encode_video(path, [np.zeros((32, 32, 3), np.uint8)] * len(times),
                        'libx264', 'yuv420p', times=times, bf='0')


def test_frames_have_the_times_of_their_video(tmp_path):
    path = video_of(tmp_path / 'a.mp4', 'aac')
    source = open_frames(path)
    assert times_in(path) == [i / 25 for i in range(30)]  # exactly
    assert source.audio == path
    source.fps = 30.  # another rate than the audio's
    assert source.audio is None
    assert {frame.time for frame in source} == {None}
    # After a second of 25 frames there is one of 10.
    times = [*range(0, 1000, 40), *range(1000, 2000, 100)]
    uneven = silent_video(tmp_path / 'b.mkv', times)
    source = open_frames(uneven)
    np.testing.assert_allclose([f.time for f in source],
                               np.array(times) / 1000, atol=1.1e-3)
    assert source.audio == uneven


def test_joined_recordings_keep_no_audio(tmp_path):
    """Their times leap: by an hour, which nobody wants to see."""
    path = silent_video(tmp_path / 'a.mkv', [
        0, 40, 80, 3_600_000, 3_600_040, 3_600_080])
    source = open_frames(path)
    times = [frame.time for frame in source]
    np.testing.assert_allclose(np.diff(times)[[0, 1, 3, 4]], .04, atol=2e-3)
    assert times[3] - times[2] == pytest.approx(1 / source.fps)
    assert source.audio is None


def test_no_audio_is_no_error(tmp_path, caplog):
    video = write_video(tmp_path / 'b.mp4', [
        np.zeros((32, 32, 3), np.uint8)] * 3)
    before = video.read_bytes()
    silent = write_video(tmp_path / 'c.mp4', [
        np.zeros((32, 32, 3), np.uint8)] * 3)
    assert not add_audio(video, silent)
    (tmp_path / 'junk.mp4').write_bytes(b'junk')
    assert not add_audio(video, tmp_path / 'junk.mp4')
    assert video.read_bytes() == before


@pytest.mark.parametrize(('suffix', 'codec'), [
    ('mp4', 'aac'), ('mov', 'pcm_s16le'), ('ts', 'aac')])
def test_broken_sound_leaves_the_pictures(tmp_path, caplog, suffix, codec):
    whole = video_of(tmp_path / f'a.{suffix}', codec, 3, audio_seconds=.1)
    data, broken = whole.read_bytes(), tmp_path / 'broken'
    video = write_video(tmp_path / 'b.mp4', [
        np.zeros((32, 32, 3), np.uint8)] * 3)
    silent = video.read_bytes()
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(60):
        bad = bytearray(data[:rng.integers(len(data))]
                        if rng.random() < .3 else data)
        for place in rng.integers(len(bad), size=20) if bad else ():
            bad[place] = rng.integers(256)
        broken.write_bytes(bad)
        video.write_bytes(silent)
        kept += add_audio(video, broken)
        assert len(list(read_video(video))) == 3
    assert 0 < kept < 60
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [whole.name, 'b.mp4', 'broken'])
