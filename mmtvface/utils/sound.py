# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The sound of one video put under the pictures of another."""

import os
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from .atomic import atomic_path
from .video_io import av_module

# What an .mp4 may hold and players play; anything else is encoded as AAC.
_KEPT = {'aac', 'mp3', 'ac3', 'eac3', 'opus', 'alac'}


def add_sound(video: str | os.PathLike, source: str | os.PathLike) -> bool:
    """Give a video the sound of the one that it was made from.

    Pictures are copied packet by packet, and so is the sound if an .mp4 may
    hold it. Sound before the source's first picture and after the video's
    last one is left out. A source whose sound is broken leaves the video as
    it is, with a warning.

    Args:
        video: An .mp4 whose first picture is the source's first one and
            whose rate is the source's; replaced.
        source: Any video.

    Returns:
        Whether there is sound now.
    """
    av = av_module()
    try:
        with av.open(f'file:{source}', metadata_errors='replace') as sounding:
            if not sounding.streams.audio:
                return False
            with atomic_path(video) as part:
                _join(av, Path(video), sounding, part)
    except (av.error.FFmpegError, ValueError) as error:
        print_log(f'The sound of {source} is left out: {error}.',
                  logger='current', level=30)
        return False
    return True


def _join(av: Any, video: Path, sounding: Any, part: Path) -> None:
    """Write pictures and sound to a new file."""
    sound = sounding.streams.best('audio')
    pictures = sounding.streams.best('video')
    begin = 0.
    if pictures is not None and pictures.start_time is not None:
        begin = float(pictures.start_time * pictures.time_base)
    with av.open(str(video)) as silent, av.open(
            str(part), 'w', format='mp4') as out:
        shown = silent.streams.video[0]
        end = float(shown.duration * shown.time_base)
        copied = out.add_stream_from_template(shown)
        kept = sound.codec_context.name in _KEPT
        heard = out.add_stream_from_template(sound) if kept else (
            out.add_stream('aac', rate=sound.rate))
        for packet in silent.demux(shown):
            if packet.dts is not None:
                packet.stream = copied
                out.mux(packet)
        if kept:
            shift = round(begin / sound.time_base)
            for packet in sounding.demux(sound):
                if packet.dts is None or packet.pts is None:
                    continue
                time = float(packet.pts * sound.time_base) - begin
                if -1e-6 <= time < end:
                    packet.pts -= shift
                    packet.dts -= shift
                    packet.stream = heard
                    out.mux(packet)
            return
        resampler = av.AudioResampler('fltp', sound.layout, sound.rate)
        for frame in sounding.decode(sound):
            if frame.time is None or not 0 <= frame.time - begin < end:
                continue
            frame.pts = round((frame.time - begin) / frame.time_base)
            for piece in resampler.resample(frame):
                out.mux(heard.encode(piece))
        out.mux(heard.encode(None))
