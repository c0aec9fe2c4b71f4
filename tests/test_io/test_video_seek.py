# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import errno
from fractions import Fraction

import numpy as np
import pytest

from mmtvface.io.video_packets import DecodingLog, decoded_frames
from mmtvface.io.video_reader import (
    UnreadableVideoError,
    decode_video,
    probe_video,
    read_video,
)

av = pytest.importorskip('av')

COUNT = 40
OPEN_GOP = {'x264-params': 'keyint=12:min-keyint=12:bframes=3:open-gop=1'}
CLOSED = {'g': '15', 'bf': '3'}


def numbered(number):
    """(64, 96, 3) whose six stripes are the number's bits, and noise."""
    image = np.random.default_rng(number).integers(
        100, 140, (64, 96, 3)).astype(np.uint8)
    for bit in range(6):
        image[:40, bit * 16:bit * 16 + 16] = 255 * (number >> bit & 1)
    return image


def number_of(image):
    return sum(int(image[4:36, bit * 16 + 5:bit * 16 + 11].mean() > 127)
               << bit for bit in range(6))


def encode(path, codec='libx264', pix_fmt='yuv420p', options=CLOSED,
           times=None, aspect=None, count=COUNT, **container_options):
    with av.open(str(path), 'w', **container_options) as container:
        stream = container.add_stream(codec, rate=25, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(number), 'rgb24')
            frame.pts = times[number] if times else number
            if times:
                frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


# Two frames 3 ms apart, and pauses.
UNEVEN = np.cumsum([3, 8, 20, 40, 120] * 8).tolist()
LATE = [3000 + 40 * number for number in range(COUNT)]


@pytest.mark.parametrize('name, options', [
    ('open.mp4', dict(options=OPEN_GOP)),
    ('late.mp4', dict(times=LATE)),
    ('uneven.mkv', dict(times=UNEVEN)),
    ('pieces.mp4', dict(container_options={
        'movflags': 'frag_keyframe+empty_moov'})),
    ('broadcast.ts', {}),
    ('old.avi', {}),
    ('raw.h264', dict(format='h264')),
    ('disc.mpg', dict(codec='mpeg2video', options={'g': '9', 'bf': '2'})),
])
def test_decoding_goes_on_at_the_exact_frame(tmp_path, name, options):
    path = encode(tmp_path / name, **options)
    whole = list(decode_video(path))
    assert [number_of(frame.image) for frame in whole] == list(range(COUNT))
    # Before, at and behind key frames.
    for at in (1, 10, 11, 12, 13, 14, 15, 16, 29, 30, COUNT - 1):
        rest = list(decode_video(path, whole[at].time, at))
        assert [frame.index for frame in rest] == list(range(at, COUNT))
        assert [frame.time for frame in rest] == [
            frame.time for frame in whole[at:]]
        np.testing.assert_array_equal(rest[0].image, whole[at].image)
        assert number_of(rest[-1].image) == COUNT - 1


def test_frames_are_counted_where_times_are_not_known(tmp_path):
    path = encode(tmp_path / 'a.mp4')
    rest = list(decode_video(path, None, 17))
    assert [frame.index for frame in rest] == list(range(17, COUNT))
    assert number_of(rest[0].image) == 17


def test_pixels_become_square(tmp_path):
    wide = encode(tmp_path / 'wide.mkv', aspect=Fraction(4, 3), count=2)
    assert next(read_video(wide)).shape == (64, 128, 3)
    tall = encode(tmp_path / 'tall.mp4', aspect=Fraction(3, 4), count=2)
    image = next(read_video(tall))
    assert image.shape == (85, 96, 3)
    assert number_of(image) == 0


def test_a_name_is_no_protocol_and_tags_need_no_encoding(tmp_path,
                                                        monkeypatch):
    monkeypatch.chdir(tmp_path)
    with av.open('file:S01:E02.avi', 'w', format='avi') as container:
        container.metadata['title'] = 'Amelie'
        stream = container.add_stream('mpeg4', rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, 'yuv420p'
        container.mux(stream.encode(
            av.VideoFrame.from_ndarray(numbered(5), 'rgb24')))
        container.mux(stream.encode(None))
    data = (tmp_path / 'S01:E02.avi').read_bytes()
    assert b'Amelie' in data
    (tmp_path / 'S01:E02.avi').write_bytes(
        data.replace(b'Amelie', 'Amélie'.encode('latin-1')))
    assert number_of(next(read_video('S01:E02.avi'))) == 5


def test_the_cover_of_a_song_is_no_video(tmp_path):
    path = tmp_path / 'song.m4a'
    with av.open(str(path), 'w', format='mp4') as container:
        sound = container.add_stream('aac', rate=8000, layout='mono')
        cover = container.add_stream('mjpeg')
        cover.width, cover.height, cover.pix_fmt = 96, 64, 'yuvj420p'
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in cover.encode(
                av.VideoFrame.from_ndarray(numbered(0), 'rgb24')):
            packet.stream = cover
            container.mux(packet)
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format='fltp', layout='mono')
        silence.sample_rate = 8000
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    with pytest.raises(UnreadableVideoError, match='a song with its cover'):
        probe_video(path)


def test_a_disk_that_fails_is_no_fault_of_the_video(tmp_path, monkeypatch):
    path = encode(tmp_path / 'a.mp4', count=2)

    def fail(*_, **__):
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(type(path), 'open', fail)
    with pytest.raises(OSError, match='Input/output error') as caught:
        probe_video(path)
    assert not isinstance(caught.value, ValueError)


@pytest.mark.parametrize('number, passes', [
    (errno.ESTALE, True), (errno.ENOMEM, True), (errno.EIO, False)])
def test_a_fault_in_the_middle(tmp_path, number, passes):
    class Container:
        name = 'a.mkv'

        def demux(self, stream):
            yield from list(real.demux(stream))[:5]
            raise av.error.FFmpegError(number, 'fault')

    log = DecodingLog()
    with av.open(str(encode(tmp_path / 'a.mkv', options={'bf': '0'}))
                 ) as real:
        frames = decoded_frames(Container(), real.streams.video[0], log)
        if passes:
            with pytest.raises(OSError, match='fault.*a.mkv'):
                list(frames)
        else:
            # Those that the decoder held back are there too.
            assert len(list(frames)) == 5
            assert log.broken == 1
