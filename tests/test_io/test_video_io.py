# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.io import video_reader as video_io
from mmtvface.io.video_packets import packets_of
from mmtvface.io.video_reader import probe_video, read_video, upright
from mmtvface.io.video_writer import VideoWriter, fit_frame, write_video

av = pytest.importorskip('av')


def frames(count=8, height=48, width=64):
    """Smooth pictures whose brightness tells their number."""
    ramp = np.linspace(0, 40, width)[None, :, None]
    return [np.broadcast_to(ramp + 20 * number + 10, (height, width, 3)
                            ).astype(np.uint8) for number in range(count)]


def test_what_is_written_is_read(tmp_path):
    path = write_video(tmp_path / 'a.mp4', frames(), fps=12.5)
    info = probe_video(path)
    assert info.fps == pytest.approx(12.5)
    assert info.num_frames == 8
    read = list(read_video(path))
    assert len(read) == 8
    for got, expected in zip(read, frames(), strict=True):
        assert got.shape == (48, 64, 3)
        assert np.abs(got.astype(int) - expected).mean() < 4
    stream = av.open(str(path)).streams.video[0]
    assert stream.codec_context.pix_fmt == 'yuv420p'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('fps', [7, 25, 24000 / 1001, 30000 / 1001, 59.94])
def test_rates_are_exact(tmp_path, fps):
    path = write_video(tmp_path / 'a.mp4', frames(5), fps)
    assert probe_video(path).fps == pytest.approx(fps, rel=1e-6)


def test_frames_at_their_own_times(tmp_path):
    times = [0., .04, .08, .3, .3, .31, 1.]
    with VideoWriter(tmp_path / 'a.mp4', 20) as writer:
        for image, time in zip(frames(), times, strict=False):
            writer.write(image, time)
    read = list(video_io.decode_video(tmp_path / 'a.mp4'))
    np.testing.assert_allclose([frame.time for frame in read], times,
                               atol=2e-4)
    assert np.diff([frame.time for frame in read]).min() > 0
    with av.open(str(tmp_path / 'a.mp4')) as container:
        stream = container.streams.video[0]
        # The last is shown for 1 / 20 s.
        assert stream.duration * stream.time_base == pytest.approx(1.05)


def test_odd_and_changing_sizes(tmp_path):
    first, second = frames(2, 33, 45)[0], frames(2, 60, 20)[1]
    path = write_video(tmp_path / 'a.mp4', [first, second])
    read = list(read_video(path))
    assert [frame.shape for frame in read] == [(34, 46, 3)] * 2
    assert np.abs(read[0][:33, :45].astype(int) - first).mean() < 4
    assert read[1][:, :8].mean() < 12  # black border beside the narrow one


def test_fit_frame():
    image = np.full((10, 20, 3), 200, np.uint8)
    assert (fit_frame(image, 11, 21) == 200).all()
    fitted = fit_frame(image, 20, 20)
    assert (fitted[5:15] == 200).all()
    assert (fitted[:5] == 0).all() and (fitted[15:] == 0).all()


def test_upright_turns_counterclockwise():
    image = np.arange(6).reshape(2, 3, 1)
    np.testing.assert_array_equal(
        upright(image, 90)[..., 0], [[2, 5], [1, 4], [0, 3]])
    np.testing.assert_array_equal(upright(image, -180), image[::-1, ::-1])
    np.testing.assert_array_equal(upright(image, 0), image)


def test_truncated_video_gives_what_is_left_and_warns(tmp_path,
                                                             monkeypatch):
    reports = []
    monkeypatch.setattr(video_io, 'print_log',
                        lambda text, **_: reports.append(text))
    noise = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3),
                                              dtype=np.uint8)
    whole = tmp_path / 'whole.mkv'
    # Matroska can be read without its end, unlike plain MP4.
    with av.open(str(whole), 'w') as container:
        stream = container.add_stream('mpeg4', rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for image in noise:
            container.mux(stream.encode(
                av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode(None))
    assert len(list(read_video(whole))) == 30 and not reports
    half = tmp_path / 'half.mkv'
    data = whole.read_bytes()
    half.write_bytes(data[:len(data) // 2])
    assert 5 < len(list(read_video(half))) < 30
    assert 'half.mkv is damaged or incomplete' in reports[0]
    assert 'of 30' in reports[0]


def test_a_stream_that_begins_later_is_passed_over():
    """As PyAV does it: the packet is read, and the generator has ended."""
    class Container:
        left = [1, 2, 'of another stream', 3, 'again', 4, 5]

        def demux(self, stream):
            while self.left:
                if isinstance(packet := self.left.pop(0), str):
                    raise IndexError('list index out of range')
                yield packet

    assert list(packets_of(Container(), None)) == [1, 2, 3, 4, 5]


def test_mp4_without_its_index_is_explained(tmp_path):
    whole = write_video(tmp_path / 'a.mp4', frames())
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(whole.read_bytes()[:200])
    with pytest.raises(ValueError, match='broken.mp4.*re-encode'):
        list(read_video(broken))
    broken.write_text('no video')
    with pytest.raises(ValueError, match='cannot be opened as a video'):
        probe_video(broken)
    with pytest.raises(FileNotFoundError, match='missing.mp4'):
        probe_video(tmp_path / 'missing.mp4')


def test_sound_only(tmp_path):
    path = tmp_path / 'a.wav'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000, layout='mono')
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format='s16', layout='mono')
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match="no video stream, only .'audio'"):
        probe_video(path)


def test_nothing_is_left_after_a_failure(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(
            tmp_path / 'a.mp4') as writer:
        writer.write(frames()[0])
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match='no frame'):
        write_video(tmp_path / 'a.mp4', [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('fps', [0, -3, float('nan'), float('inf')])
def test_fps_must_be_positive(tmp_path, fps):
    with pytest.raises(ValueError, match='fps must be a positive number'):
        VideoWriter(tmp_path / 'a.mp4', fps)
