# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The sound of a source under the pictures made from it."""

from fractions import Fraction

import numpy as np
import pytest

from mmtvface.apis.inputs import open_frames
from mmtvface.utils.sound import add_sound
from mmtvface.utils.video_io import read_video
from mmtvface.utils.video_writer import write_video

av = pytest.importorskip('av')
RATE = 16000


def film(path, codec, seconds=1.2, sound_seconds=1.2, delay=0.):
    """A film of 25 frames a second with a tone of 440 Hz."""
    with av.open(str(path), 'w') as out:
        shown = out.add_stream('libx264', rate=25)
        shown.width, shown.height, shown.pix_fmt = 32, 32, 'yuv420p'
        heard = out.add_stream(codec, rate=RATE, layout='mono')
        for index in range(round(25 * seconds)):
            frame = av.VideoFrame.from_ndarray(
                np.full((32, 32, 3), 8 * index, np.uint8), format='rgb24')
            out.mux(shown.encode(frame))
        out.mux(shown.encode(None))
        time = np.arange(round(RATE * sound_seconds)) / RATE
        tone = (.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
        planar = codec == 'aac'
        data = tone if planar else (tone * 32767).astype(np.int16)
        for start in range(0, len(data), 1024):
            piece = av.AudioFrame.from_ndarray(
                data[None, start:start + 1024],
                format='fltp' if planar else 's16', layout='mono')
            piece.sample_rate, piece.pts = RATE, start + round(RATE * delay)
            out.mux(heard.encode(piece))
        out.mux(heard.encode(None))
    return path


def heard_in(path):
    """Samples, and the time of the first, of the sound of a file."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        names = [stream.type for stream in container.streams]
        assert names == ['video', 'audio']
        return (np.concatenate([frame.to_ndarray()[0].astype(float)
                                for frame in frames]), frames[0].time,
                container.streams.audio[0].codec_context.name)


@pytest.mark.parametrize(('codec', 'suffix'), [
    ('aac', 'mp4'), ('pcm_s16le', 'mov')])
def test_sound_is_kept(tmp_path, codec, suffix):
    source = film(tmp_path / f'a.{suffix}', codec)
    video = write_video(tmp_path / 'b.mp4', [
        np.full((64, 48, 3), 5 * i, np.uint8) for i in range(30)], 25.)
    pictures = list(read_video(video))
    assert add_sound(video, source)
    samples, first, name = heard_in(video)
    assert name == 'aac' and abs(first) < .07
    assert abs(len(samples) / RATE - 1.2) < .13
    middle = samples[RATE // 4:RATE // 4 + 8000]
    spectrum = np.abs(np.fft.rfft(middle))
    assert abs(np.argmax(spectrum) * RATE / 8000 - 440) < 5
    for one, other in zip(read_video(video), pictures, strict=True):
        np.testing.assert_array_equal(one, other)


def test_sound_ends_with_the_pictures_and_begins_when_it_did(tmp_path):
    source = film(tmp_path / 'a.mp4', 'aac', 1.2, .8, delay=.4)
    video = write_video(tmp_path / 'b.mp4', [
        np.zeros((32, 32, 3), np.uint8)] * 20, 25.)
    assert add_sound(video, source)
    samples, first, _ = heard_in(video)
    assert first == pytest.approx(.4, abs=.07)
    assert first + len(samples) / RATE == pytest.approx(.8, abs=.08)


def test_uneven_films_keep_no_sound(tmp_path, caplog):
    """After a second of 25 frames there is one of 10."""
    path = film(tmp_path / 'a.mp4', 'aac')
    source = open_frames(path)
    assert len(list(source)) == 30 and source.sound == path
    uneven = tmp_path / 'b.mkv'
    with av.open(str(uneven), 'w') as out:
        shown = out.add_stream('libx264', rate=1000)
        shown.width, shown.height, shown.pix_fmt = 32, 32, 'yuv420p'
        for time in [*range(0, 1000, 40), *range(1000, 2000, 100)]:
            frame = av.VideoFrame.from_ndarray(
                np.zeros((32, 32, 3), np.uint8), format='rgb24')
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            out.mux(shown.encode(frame))
        out.mux(shown.encode(None))
    source = open_frames(uneven)
    assert len(list(source)) == 35 and source.sound is None
    source = open_frames(path)
    source.fps = 30.
    assert source.sound is None


def test_no_sound_is_no_error(tmp_path, caplog):
    video = write_video(tmp_path / 'b.mp4', [
        np.zeros((32, 32, 3), np.uint8)] * 3)
    before = video.read_bytes()
    silent = write_video(tmp_path / 'c.mp4', [
        np.zeros((32, 32, 3), np.uint8)] * 3)
    assert not add_sound(video, silent)
    (tmp_path / 'junk.mp4').write_bytes(b'junk')
    assert not add_sound(video, tmp_path / 'junk.mp4')
    assert video.read_bytes() == before
