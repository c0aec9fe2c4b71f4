# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Videos of all kinds, and ways to break them."""

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

# Rows of the display matrix, a b u, c d v (16.16 and 2.30 fixed point), by
# how far players turn the picture clockwise.
_ONE = 1 << 16
_MATRIX = {0: (_ONE, 0, 0, 0, _ONE, 0), 90: (0, _ONE, 0, -_ONE, 0, 0),
           180: (-_ONE, 0, 0, 0, -_ONE, 0), 270: (0, -_ONE, 0, _ONE, 0, 0)}


def moving_frames(count: int, size: tuple[int, int] = (240, 320),
                  seed: int = 0) -> list[np.ndarray]:
    """Grey noise that moves by a column per frame, and no cut.

    Args:
        count: Number of frames.
        size: Height and width.
        seed: Of the noise.

    Returns:
        (H, W, 3) uint8 each; the first pixel holds the frame's number as
        :class:`~helpers.scripted_faces.ScriptedDetector` reads it.
    """
    gray = np.random.default_rng(seed).integers(100, 130, size)
    picture = np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)
    frames = []
    for number in range(count):
        frame = np.roll(picture, number, axis=1)
        frame[0, 0, :2] = divmod(number, 256)
        frames.append(frame)
    return frames


def encode_video(path: Path, frames: Iterable[np.ndarray],
                 codec: str = 'ffv1', pix_fmt: str = 'bgr0',
                 rate: int = 25, times: Sequence[int] | None = None,
                 **options: str) -> Path:
    """Write a video with any codec; the default is lossless.

    Args:
        path: The suffix chooses the container.
        frames: (H, W, 3) uint8 RGB, all of one size.
        codec: Of FFmpeg.
        pix_fmt: Pixel format of the stream.
        rate: Frames per second.
        times: Time of each frame in milliseconds; default: even.
        **options: Of the codec.

    Returns:
        ``path``.
    """
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.pix_fmt = pix_fmt
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(frames):
            if not number:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def encode_sound(path: Path) -> Path:
    """Write a tenth of a second of silence and no picture.

    Returns:
        ``path``.
    """
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=48000, layout='mono')
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 4800), np.float32), format='fltp', layout='mono')
        sound.sample_rate = 48000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path


def overwrite_middle(path: Path, target: Path, share: float = 0.1,
                     seed: int = 0) -> Path:
    """Copy a file with random bytes in its middle.

    Args:
        path: The file.
        target: The copy.
        share: Of the bytes.
        seed: Of the bytes.

    Returns:
        ``target``.
    """
    data = bytearray(path.read_bytes())
    length = int(len(data) * share)
    start = (len(data) - length) // 2
    data[start:start + length] = np.random.default_rng(seed).bytes(length)
    target.write_bytes(data)
    return target


def truncate(path: Path, target: Path, share: float = 0.5) -> Path:
    """Copy the beginning of a file.

    Args:
        path: The file.
        target: The copy.
        share: Of the bytes that are left.

    Returns:
        ``target``.
    """
    data = path.read_bytes()
    target.write_bytes(data[:int(len(data) * share)])
    return target


def set_rotation(path: Path, degrees: int) -> None:
    """Make players turn an MP4 file, as telephones mark upright videos.

    Writes the display matrix of the first track into its header.

    Args:
        path: The file.
        degrees: Clockwise: 0, 90, 180 or 270.

    Raises:
        ValueError: If the file has no track header.
    """
    data = bytearray(path.read_bytes())
    header = data.find(b'tkhd')
    if header < 0:
        raise ValueError(f'{path} has no track header.')
    # Version 1 has times of 64 bits.
    start = header + 4 + (52 if data[header + 4] == 1 else 40)
    struct.pack_into('>6i', data, start, *_MATRIX[degrees])
    path.write_bytes(data)
