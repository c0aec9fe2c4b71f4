# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Places in a video file, and what its packets hold, whatever is broken."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmtvface.utils.deps import require
from mmtvface.utils.time_code import time_code

# Containers that store the time of every frame. In the others (AVI, raw
# streams, MPEG program streams) times are counted or guessed from where
# decoding begins, so that they name no frame after a seek.
_TIMED = {'matroska', 'webm', 'mov', 'mp4', 'mpegts', 'flv'}
# How long before the wanted frame a key frame is looked for, seconds.
_STEPS = (0., 2., 8., 30., 120.)
# Packets that are looked at for the first key frame after a seek.
_LOOK = 1000
# Faults of the machine or network, gone the next time. Not EIO and EPERM,
# by which FFmpeg also says that a file is damaged.
_PASSING = {errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN,
            errno.EHOSTDOWN, errno.EHOSTUNREACH}


@dataclass
class DecodingLog:
    """What became of the packets of a video.

    Attributes:
        frames: Frames decoded.
        broken: Packets that could not be decoded.
        expected: Frames that the header promises, 0 if it does not tell.
        first_broken: Time of the first broken packet in seconds; None if it
            is not known.
    """

    frames: int = 0
    broken: int = 0
    expected: int = 0
    first_broken: float | None = None

    def add_broken(self, time: float | None) -> None:
        """Count a packet, of this time in seconds if it is known."""
        if not self.broken:
            self.first_broken = time
        self.broken += 1

    def problem(self, before: int = 0) -> str:
        """What is wrong, '' if nothing is.

        Args:
            before: Frames that were decoded by an earlier run.
        """
        frames = self.frames + before
        if not self.broken and frames >= 0.95 * self.expected - 1:
            return ''
        return (f'{frames} frames decoded of '
                f'{self.expected or "an unknown number"}, {self.broken} '
                'broken packets skipped' + (
                    '' if self.first_broken is None else
                    f', the first at {time_code(self.first_broken)}'))


def packets_of(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of a stream from where its container stands.

    PyAV stumbles over streams that begin later than the file, as they do in
    broadcasts and damaged files: they are passed over.

    Args:
        container: PyAV's, open for reading.
        stream: One of its streams.

    Yields:
        PyAV's packets; the last one is empty and has no times.
    """
    while True:
        try:
            yield from container.demux(stream)
            return
        except IndexError:  # the packet is taken, it goes on behind it
            pass


def seek_before(container: Any, stream: Any, start: float) -> bool:
    """Go to a key frame from which a frame can be decoded exactly.

    Seeking alone may end behind the wanted frame: MPEG-TS has no index, and
    others are searched by the order of decoding, in which a key frame
    precedes frames that are shown before it.

    Args:
        container: PyAV's, open for reading.
        stream: Its video stream.
        start: Time of the wanted frame in seconds.

    Returns:
        False if that is not possible; the container must be opened anew to
        read it from the beginning.
    """
    ffmpeg_error = require('av', 'Reading videos', 'pip install av'
                           ).error.FFmpegError
    if not stream.time_base or not (
            _TIMED & set(container.format.name.split(','))):
        return False
    wanted = round(start / stream.time_base)
    for step in _STEPS:
        place = int((start - step) / stream.time_base)
        try:
            container.seek(place, stream=stream)
            for _, packet in zip(range(_LOOK), packets_of(container, stream),
                                 strict=False):
                if packet.is_keyframe and packet.pts is not None:
                    if packet.pts > wanted:
                        break
                    container.seek(place, stream=stream)
                    return True
        except ffmpeg_error:
            pass
    return False


def decoded_frames(container: Any, stream: Any, log: DecodingLog
                   ) -> Iterator[Any]:
    """Everything that can be decoded, to the end.

    Args:
        container: PyAV's, open for reading.
        stream: Its video stream.
        log: Its broken packets are counted.

    Yields:
        PyAV's video frames in order of presentation.

    Raises:
        OSError: If the file cannot be read for the moment.
    """
    error = require('av', 'Reading videos', 'pip install av').error
    packets = packets_of(container, stream)
    packet = True
    while packet is not None:
        try:
            packet = next(packets, None)
        except error.EOFError:
            packet = None
        except error.FFmpegError as problem:
            if problem.errno in _PASSING:
                raise OSError(problem.errno, problem.strerror,
                              container.name) from problem
            log.add_broken(None)
            packet = None  # of the container: none follows
        try:
            # None asks for the frames that the decoder holds back.
            yield from stream.decode(packet)
        except error.EOFError:  # it has been asked already
            pass
        except error.FFmpegError:
            at = packet and packet.pts
            log.add_broken(None if at is None else
                           float(at * packet.time_base))
