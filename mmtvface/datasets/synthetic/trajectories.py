# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Smooth motions of a talking head along a clip.

Every function is pure: random generator and number of frames in, values per
frame out. Times are in seconds, so the frame rate only samples the motion.
"""

import math
from collections.abc import Sequence

import numpy as np

FPS = 25.
BLINK_CLOSING = .07
"""Seconds from open to closed."""
BLINK_OPENING = .12
"""Seconds from closed to open; a blink covers 3 to 5 frames at 25 fps."""


def smooth_noise(rng: np.random.Generator, num_frames: int,
                 channels: int = 1, cutoff: float = 1., fps: float = FPS,
                 waves: int = 6) -> np.ndarray:
    """Band-limited noise: a sum of sines with random frequencies.

    Args:
        rng: Generator.
        num_frames: t.
        channels: Independent signals C.
        cutoff: Highest frequency in Hz; the lowest is a twentieth of it.
        fps: Frames per second.
        waves: Sines per signal.

    Returns:
        (t, C) with mean 0 and variance 1 over an infinite clip, in
        [-sqrt(2 * waves), sqrt(2 * waves)].
    """
    time = np.arange(num_frames)[:, None, None] / fps
    frequency = cutoff * rng.uniform(.05, 1., (channels, waves))
    phase = rng.uniform(0, 2 * math.pi, (channels, waves))
    angle = 2 * math.pi * frequency * time + phase
    return np.cos(angle).sum(-1) * math.sqrt(2 / waves)


def soft_limit(values: np.ndarray, limit: float | np.ndarray) -> np.ndarray:
    """Bend values smoothly into (-limit, limit); small ones hardly change."""
    return limit * np.tanh(values / limit)


def turns(rng: np.random.Generator, num_frames: int, rate: float,
          spread: Sequence[float], fps: float = FPS) -> np.ndarray:
    """Quick turns of the head from one posture to the next.

    A turn takes 0.15 to 0.6 seconds, whatever its angle: one of 60 degrees
    reaches 200 to 600 degrees per second in its middle.

    Args:
        rng: Generator.
        num_frames: t.
        rate: Turns per second.
        spread: Standard deviations of the postures' angles, any number C.
        fps: Frames per second.

    Returns:
        (t, C), in the unit of ``spread``.
    """
    time = np.arange(num_frames) / fps
    count = rng.poisson(rate * num_frames / fps)
    starts = rng.uniform(-.3, max(num_frames / fps, 1e-9), count)
    lengths = rng.uniform(.15, .6, count)
    postures = rng.standard_normal((count + 1, len(spread))) * spread
    angles = np.tile(postures[0], (num_frames, 1))
    last = postures[0]
    for index in np.argsort(starts):
        phase = np.clip((time - starts[index]) / lengths[index], 0, 1)
        eased = phase * phase * (3 - 2 * phase)
        angles += eased[:, None] * (postures[index + 1] - last)
        last = postures[index + 1]
    return angles


def head_motion(rng: np.random.Generator, num_frames: int,
                limits: Sequence[float] = (40., 20., 15.),
                scale: float = 1., fps: float = FPS,
                turn_rate: float = 0.) -> np.ndarray:
    """Turning of the head: a posture of the clip and motion around it.

    Args:
        rng: Generator.
        num_frames: t.
        limits: Largest yaw, pitch and roll in degrees.
        scale: Factor on all angles (0 keeps the head straight).
        fps: Frames per second.
        turn_rate: Quick turns per second, see :func:`turns`.

    Returns:
        (t, 3) radians: yaw (positive turns the face to the person's left),
        pitch (positive nods down), roll (positive tilts the head's top to
        the person's right).
    """
    limit = np.radians(np.asarray(limits, np.float64)) * max(scale, 1e-9)
    posture = .45 * rng.standard_normal(3)
    liveliness = rng.uniform(.1, .35)
    motion = liveliness * smooth_noise(rng, num_frames, 3, .8, fps)
    nods = .04 * smooth_noise(rng, num_frames, 3, 2.5, fps)
    if turn_rate:
        posture = .5 * posture + turns(rng, num_frames, turn_rate,
                                       (.5, .25, .25), fps)
    return soft_limit((posture + motion + nods) * limit, limit)


def speech(rng: np.random.Generator, num_frames: int, fps: float = FPS,
           talking: float = .7) -> np.ndarray:
    """How far the mouth opens in speech.

    Syllables at 4 to 7 Hz whose strength varies, in phrases with pauses.

    Args:
        rng: Generator.
        num_frames: t.
        fps: Frames per second.
        talking: Probability that the person talks in this clip.

    Returns:
        (t,) 0 (closed) to 1 (wide open).
    """
    talks = rng.random() < talking
    rate = rng.uniform(4., 7.)
    # The rate wanders by integrating a smooth change of it.
    drift = np.cumsum(smooth_noise(rng, num_frames, 1, 1., fps)[:, 0]) / fps
    time = np.arange(num_frames) / fps
    phase = 2 * math.pi * (rate * time + .6 * drift + rng.random())
    strength = .45 + .22 * smooth_noise(rng, num_frames, 1, 2.5, fps)[:, 0]
    phrase = 1 / (1 + np.exp(
        -6 * (smooth_noise(rng, num_frames, 1, .7, fps)[:, 0] + .5)))
    syllables = .5 - .5 * np.cos(phase)
    rest = .06 * rng.random()
    loud = rng.uniform(.5, 1.) if talks else 0.
    return np.clip(
        rest + loud * phrase * np.clip(strength, 0, 1) * syllables, 0, 1)


def blinks(rng: np.random.Generator, num_frames: int, rate: float = .35,
           fps: float = FPS) -> np.ndarray:
    """Eyelids that close quickly and open a little more slowly.

    Args:
        rng: Generator.
        num_frames: t.
        rate: Blinks per second.
        fps: Frames per second.

    Returns:
        (t,) 0 (open) to 1 (closed).
    """
    time = np.arange(num_frames) / fps
    duration = num_frames / fps + BLINK_CLOSING + BLINK_OPENING
    # The count is drawn for the extended clip, so that blinks that began
    # before it or end after it occur as often as they should.
    count = rng.poisson(rate * duration)
    peaks = rng.uniform(-BLINK_OPENING, duration - BLINK_OPENING, count)
    closure = np.zeros(num_frames)
    for peak in peaks:
        offset = time - peak
        phase = np.where(offset < 0, -offset / BLINK_CLOSING,
                         offset / BLINK_OPENING)
        closure = np.maximum(
            closure, .5 + .5 * np.cos(math.pi * np.clip(phase, 0, 1)))
    return closure


def activation(rng: np.random.Generator, num_frames: int, strength: float,
               cutoff: float = .8, fps: float = FPS) -> np.ndarray:
    """An expression that comes and goes.

    Args:
        rng: Generator.
        num_frames: t.
        strength: Value at full activation.
        cutoff: Highest frequency in Hz.
        fps: Frames per second.

    Returns:
        (t,) between 0 and ``strength``.
    """
    level = rng.uniform(-1.5, 1.5)
    wave = smooth_noise(rng, num_frames, 1, cutoff, fps)[:, 0]
    return strength / (1 + np.exp(-2. * (wave + level)))


def gaze(rng: np.random.Generator, head: np.ndarray, limit: float,
         fps: float = FPS) -> np.ndarray:
    """Eyes that jump between targets near the camera.

    People mostly keep looking at the same side while the head turns, so half
    of the head's rotation is taken back; the rest are saccades.

    Args:
        rng: Generator.
        head: (t, 3) yaw, pitch, roll of the head in radians.
        limit: Largest angle of the eyes in radians.
        fps: Frames per second.

    Returns:
        (t, 2) yaw and pitch of the eyes in the head, radians, with the signs
        of :func:`head_motion`.
    """
    num_frames = len(head)
    jumps = rng.random(num_frames) < 1.2 / fps
    targets = rng.normal(0, .3, (num_frames + 1, 2))
    looking = targets[np.cumsum(jumps)]
    return soft_limit(limit * looking - .5 * head[:, :2],
                      limit) if limit else np.zeros((num_frames, 2))
