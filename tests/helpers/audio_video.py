# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Videos with a tone, and the tone back from them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 16000  # samples per second


def write_with_tone(path: Path, frames: Sequence[np.ndarray],
                    codec: str = 'aac', audio_seconds: float = 1.2,
                    delay: float = 0.,
                    times: Sequence[int] | None = None) -> Path:
    """A video with a tone of 440 Hz.

    Args:
        path: The suffix chooses the container.
        frames: (H, W, 3) uint8 RGB, of one size with even sides.
        codec: Of the audio, 'aac' or 'pcm_s16le'.
        audio_seconds: Length of the tone.
        delay: Time at which it begins, seconds.
        times: Time of each frame in milliseconds; default: 25 a second.

    Returns:
        ``path``.
    """
    with av.open(str(path), 'w') as out:
        shown = out.add_stream('libx264', rate=25, options={'bf': '0'})
        shown.height, shown.width = frames[0].shape[:2]
        shown.pix_fmt = 'yuv420p'
        shown.codec_context.time_base = Fraction(1, 1000)
        heard = out.add_stream(codec, rate=RATE, layout='mono')
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            frame.time_base = Fraction(1, 1000)
            frame.pts = times[index] if times is not None else 40 * index
            frame.duration = 40
            out.mux(shown.encode(frame))
        out.mux(shown.encode(None))
        seconds = np.arange(round(RATE * audio_seconds)) / RATE
        tone = (.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
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


def heard_in(path: Path) -> tuple[np.ndarray, float, str]:
    """The audio of a file of one video and one audio stream.

    Returns:
        (n,) samples of the first channel, the time of the first in seconds,
        and the name of the codec.
    """
    with av.open(str(path)) as container:
        names = [stream.type for stream in container.streams]
        assert names == ['video', 'audio'], names
        frames = list(container.decode(audio=0))
        return (np.concatenate([frame.to_ndarray()[0].astype(float)
                                for frame in frames]), frames[0].time,
                container.streams.audio[0].codec_context.name)


def pitch(samples: np.ndarray) -> float:
    """Loudest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum) * RATE / len(samples))
