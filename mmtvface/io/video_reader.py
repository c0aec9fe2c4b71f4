# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reading of video files (PyAV, that is FFmpeg's libraries)."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmtvface.utils.deps import require

from .video_packets import DecodingLog, decoded_frames, seek_before

DEFAULT_FPS = 25.
#: By which videos are told from other files in folders.
VIDEO_SUFFIXES = ('.mp4', '.mov', '.mkv', '.avi', '.webm', '.m4v', '.mpg',
                  '.mpeg', '.m2v', '.vob', '.wmv', '.asf', '.flv', '.ts',
                  '.mts', '.m2ts', '.ogv', '.gif', '.3gp')
# Frames after which a fault has faded even where no key frame comes.
_HEALED = 300


class UnreadableVideoError(ValueError):
    """A file is no video, or nothing of it can be decoded."""


@dataclass(frozen=True)
class VideoInfo:
    """What the header of a video says.

    Attributes:
        fps: Mean frames per second.
        num_frames: Number of frames, 0 if the file does not tell.
    """

    fps: float
    num_frames: int


@dataclass(frozen=True)
class VideoFrame:
    """One decoded frame.

    Attributes:
        index: Position in the video, from 0.
        time: Presentation time in seconds.
        image: (H, W, 3) uint8 RGB, upright.
        damaged: The decoder had to guess a part of it, or of a frame since
            the last key frame, on which it builds.
    """

    index: int
    time: float
    image: np.ndarray
    damaged: bool = False


def av_module() -> ModuleType:
    """PyAV, without the complaints of FFmpeg on stderr."""
    av = require('av', 'Reading and writing videos', 'pip install av')
    # FFmpeg would write its own complaints about broken packets to stderr.
    av.logging.set_level(None)
    return av


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and stream of a video, closed at the end."""
    av = av_module()
    if not path.is_file():
        raise FileNotFoundError(f'Video not found: {path}. Check the path.')
    with path.open('rb') as file:  # what the system refuses is an OSError
        file.read(1)
    try:
        # The protocol, or "S01:E02.mp4" would name one. Tags of old files
        # are in any encoding.
        container = av.open(f'file:{path}', metadata_errors='replace')
    except (av.error.FFmpegError, ValueError) as error:
        raise UnreadableVideoError(
            f'{path} cannot be opened as a video ({error}). It is no video '
            'or its header is missing, as in an interrupted download; fetch '
            'it again or re-encode it, e.g. ffmpeg -i IN -c:v libx264 '
            'OUT.mp4.') from error
    with container:
        stream = container.streams.best('video')
        # A song's cover is a "video" of one frame.
        cover = av.stream.Disposition.attached_pic
        if stream is None or stream.disposition & cover:
            kinds = [stream.type for stream in container.streams]
            raise UnreadableVideoError(
                f'{path} has no video stream, only {kinds}'
                + ('.' if stream is None else ' (a song with its cover).'))
        yield container, stream


def probe_video(path: str | os.PathLike) -> VideoInfo:
    """Read the header of a video.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        UnreadableVideoError: If it cannot be opened or has no video stream.
    """
    with _open(Path(path)) as (_, stream):
        rate = stream.average_rate or stream.guessed_rate
        return VideoInfo(fps=float(rate) if rate else DEFAULT_FPS,
                         num_frames=stream.frames)


def _promised_frames(container: Any, stream: Any, last: float,
                     broken: int) -> int:
    """Frames that the header promises, 0 if it does not tell.

    Args:
        container: PyAV's.
        stream: Its video stream.
        last: Time of the last frame in seconds. If that is where the video
            should end, no frame is missing: they may come at any rate.
        broken: Packets that could not be decoded.
    """
    if stream.frames or not (stream.average_rate and container.duration):
        return stream.frames
    start = max(container.start_time or 0, 0) / 1e6
    duration = container.duration / 1e6
    if 'matroska' in container.format.name:  # counted from time 0
        duration -= start
    rate = float(stream.average_rate)
    if not broken and last - start >= 0.95 * duration - 1 / rate:
        return 0
    return int(duration * rate)


def _shown_size(frame: Any, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height of a frame with square pixels.

    Args:
        frame: PyAV's.
        aspect: Width of a pixel relative to its height, None if not known.
    """
    if not aspect or not 0.1 < aspect < 10:
        return frame.width, frame.height
    return (round(frame.width * max(aspect, 1)),
            round(frame.height * max(1 / aspect, 1)))


def upright(frame: np.ndarray, degrees: int) -> np.ndarray:
    """Rotate a decoded frame as its display matrix asks.

    Args:
        frame: (H, W, C).
        degrees: Counterclockwise rotation; multiples of 90 are applied.

    Returns:
        (H, W, C) or (W, H, C), contiguous.
    """
    return np.ascontiguousarray(np.rot90(frame, round(degrees / 90) % 4))


def read_video(path: str | os.PathLike) -> Iterator[np.ndarray]:
    """Decode the images of a video, see :func:`decode_video`.

    Yields:
        (H, W, 3) uint8 RGB, upright.

    Raises:
        FileNotFoundError: If there is no such file.
        UnreadableVideoError: If it cannot be opened, has no video stream, or
            no frame can be decoded.
    """
    return (frame.image for frame in decode_video(path))


def decode_video(path: str | os.PathLike, start: float | None = None,
                 first_index: int = 0,
                 log: DecodingLog | None = None) -> Iterator[VideoFrame]:
    """Decode a video frame by frame; only one frame is held.

    Broken packets and a missing end are reported by a warning and skipped:
    what can be decoded is decoded. Pictures whose pixels are not square (many
    DVDs) are stretched, so that faces have their shape.

    Args:
        path: The video file.
        start: Time of the first wanted frame in seconds, exactly as an
            earlier run gave it, to continue there without decoding all that
            is before. Where the container does not store times, or its index
            is broken, frames are counted from the beginning instead.
        first_index: Number of the first wanted frame; without ``start`` the
            frames before it are counted.
        log: Filled with what was decoded, up to the last frame.

    Yields:
        The frames in order of presentation.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        UnreadableVideoError: If it cannot be opened, has no video stream, or
            no frame can be decoded.
    """
    path = Path(path)
    av = av_module()
    log = DecodingLog() if log is None else log
    with ExitStack() as stack:
        container, stream = stack.enter_context(_open(path))
        found = start is not None and seek_before(container, stream, start)
        if start is not None and not found:  # it may be anywhere now
            container, stream = stack.enter_context(_open(path))
        stream.thread_type = 'AUTO'
        rate = float(stream.average_rate or DEFAULT_FPS)
        aspect = stream.sample_aspect_ratio
        index = first_index if found else 0
        time, broken, spoilt = None, 0, 0
        for frame in decoded_frames(container, stream, log):
            # What is wrong in a frame is copied by those that follow.
            if frame.is_corrupt or log.broken > broken:
                broken, spoilt = log.broken, _HEALED
            elif frame.key_frame:
                spoilt = 0
            else:
                spoilt = max(spoilt - 1, 0)
            time = frame.time
            if found and (time is None or time < start):
                continue
            index += 1
            if index <= first_index:
                continue
            if time is None:  # streams without time stamps
                time = (index - 1) / rate
            width, height = _shown_size(frame, aspect)
            try:
                image = upright(
                    frame.to_ndarray(format='rgb24', width=width,
                                     height=height), frame.rotation)
            except (av.error.FFmpegError, ValueError, MemoryError):
                log.add_broken(time)  # of an impossible size or format
                continue
            log.frames += 1
            yield VideoFrame(index - 1, float(time), image, spoilt > 0)
        log.expected = _promised_frames(container, stream, time or 0.,
                                        log.broken)
    if not log.frames and not first_index:
        raise UnreadableVideoError(
            f'No frame of {path} can be decoded ({log.broken} broken '
            'packets). Fetch the file again or re-encode it.')
    if problem := log.problem(first_index):
        print_log(f'{path} is damaged or incomplete: {problem}.',
                  logger='current', level=30)
