# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Writing of video files (PyAV, that is FFmpeg's libraries)."""

import math
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import ModuleType, TracebackType

import cv2
import numpy as np

from mmtvface.utils.atomic import unfinished_path

from .video_reader import DEFAULT_FPS, av_module

# Ticks per second in which times of frames are stored, at least.
_TICKS = 15_000


class VideoWriter:
    """Write an H.264 file (yuv420p, plays everywhere) frame by frame.

    The file appears under its name only when it is complete. Use as a
    context manager; after an exception nothing is left behind.

    Args:
        path: Target, usually ``.mp4``; its folder must exist.
        fps: Frames per second.
        crf: Constant rate factor of x264, 0 (lossless) to 51.

    Raises:
        ValueError: If ``fps`` is not a positive number.
    """

    def __init__(self, path: str | os.PathLike, fps: float = DEFAULT_FPS,
                 crf: int = 18) -> None:
        if not 0 < fps < math.inf:
            raise ValueError(f'fps must be a positive number, not {fps}.')
        self.path = Path(path)
        self._part = unfinished_path(self.path)
        self._fps = Fraction(fps).limit_denominator(1001)
        # A frame is a whole number of ticks.
        self._step = self._fps.denominator * math.ceil(
            _TICKS / self._fps.numerator)
        self._tick = 1 / (self._fps * self._step)
        self._next = 0
        self._crf = crf
        self._container = None
        self._stream = None

    def __enter__(self) -> 'VideoWriter':
        return self

    def write(self, frame: np.ndarray, time: float | None = None) -> None:
        """Append a frame.

        The first frame sets the size (an odd side gains a repeated line, as
        the format needs even ones); frames of another size are fitted into
        it with black borders.

        Args:
            frame: (H, W, 3) uint8 RGB.
            time: When it is shown, in seconds from the beginning, for
                frames that come unevenly; given for all of them. Default:
                ``1 / fps`` after the one before.
        """
        av = av_module()
        if self._stream is None:
            self._start(av, *frame.shape[:2], uneven=time is not None)
        frame = fit_frame(frame, self._stream.height, self._stream.width)
        picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
        if time is not None:
            # Later than the frame before, of which a tick is left.
            self._next = max(round(time / self._tick),
                             self._next - self._step + 1)
        picture.pts, picture.time_base = self._next, self._tick
        picture.duration = self._step
        self._next += self._step
        self._container.mux(self._stream.encode(picture))

    def _start(self, av: ModuleType, height: int, width: int,
               uneven: bool) -> None:
        self._container = av.open(str(self._part), 'w', format='mp4')
        options = {'crf': str(self._crf), 'preset': 'fast'}
        if uneven:
            # Frames out of order would make an .mp4 look shorter than it is.
            options['bf'] = '0'
        try:
            self._stream = self._container.add_stream(
                'libx264', rate=self._fps, options=options)
        except (av.error.FFmpegError, ValueError):
            # FFmpeg builds without x264 still have the older MPEG-4 encoder.
            self._stream = self._container.add_stream(
                'mpeg4', rate=self._fps)
            self._stream.bit_rate = 8_000_000
        self._stream.width = width + width % 2
        self._stream.height = height + height % 2
        self._stream.pix_fmt = 'yuv420p'
        self._stream.codec_context.time_base = self._tick

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            if self._container is not None:
                if kind is None:
                    self._container.mux(self._stream.encode(None))
                self._container.close()
                if kind is None:
                    os.replace(self._part, self.path)
        finally:
            self._part.unlink(missing_ok=True)


def fit_frame(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a frame to a size without changing its proportions.

    A difference of one line or column is filled by repeating the edge;
    otherwise the frame is scaled to fit and centred on black.

    Args:
        frame: (H, W, 3) uint8.
        height: Target height in pixels.
        width: Target width in pixels.

    Returns:
        (height, width, 3) uint8, contiguous.
    """
    rows, cols = frame.shape[:2]
    if (rows, cols) == (height, width):
        return np.ascontiguousarray(frame)
    if 0 <= height - rows <= 1 and 0 <= width - cols <= 1:
        return cv2.copyMakeBorder(frame, 0, height - rows, 0, width - cols,
                                  cv2.BORDER_REPLICATE)
    zoom = min(height / rows, width / cols)
    size = (max(1, min(width, round(cols * zoom))),
            max(1, min(height, round(rows * zoom))))
    mode = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    small = cv2.resize(frame, size, interpolation=mode)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    return cv2.copyMakeBorder(
        small, top, height - size[1] - top, left, width - size[0] - left,
        cv2.BORDER_CONSTANT, value=(0, 0, 0))


def write_video(path: str | os.PathLike, frames: Iterable[np.ndarray],
                fps: float = DEFAULT_FPS) -> Path:
    """Write frames as one video, see :class:`VideoWriter`.

    Raises:
        ValueError: If there is no frame.
    """
    count = 0
    with VideoWriter(path, fps) as writer:
        for frame in frames:
            writer.write(frame)
            count += 1
    if not count:
        raise ValueError(f'There is no frame to write to {path}.')
    return Path(path)
