# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The audio of one video put under the pictures of another."""

import heapq
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmtvface.utils.atomic import atomic_path

from .video_packets import packets_of
from .video_reader import av_module

# What an .mp4 may hold and players play; anything else is encoded as AAC.
_KEPT = {'aac', 'mp3', 'ac3', 'eac3', 'opus', 'alac'}


def add_audio(video: str | os.PathLike, source: str | os.PathLike) -> bool:
    """Give a video the audio of the one that it was made from.

    Pictures are copied packet by packet, and so is the audio if an .mp4 may
    hold it. Audio before the source's first picture and after the video's
    last one is left out. A source whose audio is broken leaves the video as
    it is, with a warning.

    Args:
        video: An .mp4 whose first picture is the source's first one and
            whose rate is the source's; replaced.
        source: Any video.

    Returns:
        Whether there is audio now.
    """
    av = av_module()
    try:
        with av.open(f'file:{source}', metadata_errors='replace') as file:
            if not file.streams.audio:
                return False
            with atomic_path(video) as part:
                _join(av, Path(video), file, part)
    except (av.error.FFmpegError, ValueError) as error:
        print_log(f'The audio of {source} is left out: {error}.',
                  logger='current', level=30)
        return False
    return True


def _join(av: Any, video: Path, file: Any, part: Path) -> None:
    """Write pictures and audio, interleaved, to a new file."""
    audio = file.streams.best('audio')
    if audio is None or audio.codec_context is None:
        raise ValueError('there is no decoder for it')
    pictures = file.streams.best('video')
    begin = 0.
    if pictures is not None and pictures.start_time is not None:
        begin = float(pictures.start_time * pictures.time_base)
    with av.open(str(video)) as silent, av.open(
            str(part), 'w', format='mp4') as out:
        shown = silent.streams.video[0]
        end = float((shown.start_time + shown.duration) * shown.time_base)
        copied = out.add_stream_from_template(shown)
        if audio.codec_context.name in _KEPT:
            packets = _copied(file, audio, out, begin, end)
        else:
            packets = _encoded(av, file, audio, out, begin, end)
        # In the order of time, or players would have to seek.
        for _, packet in heapq.merge(
                _pictures(silent, shown, copied), packets,
                key=lambda entry: entry[0]):
            out.mux(packet)


def _pictures(silent: Any, shown: Any, copied: Any
              ) -> Iterator[tuple[float, Any]]:
    """Packets of the pictures and their times."""
    for packet in silent.demux(shown):
        if packet.dts is not None:
            time = float(packet.dts * shown.time_base)
            packet.stream = copied
            yield time, packet


def _copied(file: Any, audio: Any, out: Any, begin: float, end: float
            ) -> Iterator[tuple[float, Any]]:
    """Packets of the audio as they are, from ``begin`` on."""
    heard = out.add_stream_from_template(audio)
    shift = round(begin / audio.time_base)

    def packets() -> Iterator[tuple[float, Any]]:
        for packet in packets_of(file, audio):
            if packet.dts is None or packet.pts is None:
                continue
            time = float(packet.pts * audio.time_base) - begin
            # One packet is not heard, but the next is decoded with it.
            lead = float((packet.duration or 0) * audio.time_base)
            if -1.5 * lead - 1e-6 <= time < end:
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = heard
                yield time, packet
    return packets()


def _encoded(av: Any, file: Any, audio: Any, out: Any, begin: float,
             end: float) -> Iterator[tuple[float, Any]]:
    """Packets of the audio as AAC, from ``begin`` on."""
    heard = out.add_stream('aac', rate=audio.rate)
    resampler = av.AudioResampler('fltp', audio.layout, audio.rate)

    def frames() -> Iterator[Any]:
        for frame in chain.from_iterable(
                packet.decode() for packet in packets_of(file, audio)):
            if frame.time is None or not 0 <= frame.time - begin < end:
                continue
            frame.pts = round((frame.time - begin) / frame.time_base)
            yield from resampler.resample(frame)
        yield from resampler.resample(None)
        yield None  # the encoder gives what it holds

    def packets() -> Iterator[tuple[float, Any]]:
        for frame in frames():
            for packet in heard.encode(frame):
                yield float(packet.pts * packet.time_base), packet
    return packets()
