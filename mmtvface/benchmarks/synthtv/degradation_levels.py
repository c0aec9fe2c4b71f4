# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Degradation levels, and what happens to a clip: all draws, no pixels."""

import math
from dataclasses import dataclass

import numpy as np

from mmtvface.datasets.synthetic.occluders import KINDS
from mmtvface.datasets.synthetic.performance import split_generator
from mmtvface.datasets.synthetic.trajectories import FPS, smooth_noise

Range = tuple[float, float]


@dataclass(frozen=True)
class DegradationLevel:
    """Ranges of what happens between a face and the file.

    A pair is the range of a strength that is drawn once per clip; how it
    then changes from frame to frame is said below. Lengths are fractions of
    the image side, so that one table serves every size; grey levels are of
    255; times are in frames at 25 per second.

    Attributes:
        resolution: Factor by which the face is smaller in the video than in
            the crop. Noise and compression act at that size.
        defocus: Standard deviation of the blur of a lens at rest.
        hunt_prob: Probability that the autofocus hunts.
        hunt: Standard deviation added at the worst moment of a hunt; it comes
            and goes at 0.5 to 2 Hz.
        shutter: Exposure as a fraction of the frame interval. The blur of a
            frame is along the true motion of the head in that frame and the
            shake of the camera.
        shake: Speed of the camera's shake, fraction of the side per frame
            (standard deviation). The crop follows the face, so that only the
            blur of it is seen.
        noise: Standard deviation of the sensor's noise, new in every frame.
        cast: Largest relative difference of the channels' gains.
        contrast: Largest logarithm of the gamma.
        saturation: Largest change of the saturation.
        flicker: Amplitude of brightness that pulses with the lamps at 2 to
            12 Hz, their beat with the frame rate.
        step_prob: Probability per frame that the exposure jumps.
        step: Largest logarithm (base 2: stops) of such a jump, after which
            the automatic gain returns in about five frames.
        quality: JPEG quality of key frames.
        drop: By how much the quality of predicted frames is lower.
        gop: Frames from one key frame to the next.
        occluder_prob: Probability that something passes in front of the face.
        passage: Frames from its coming to its going.
        nearness: Smallest distance of its tip from the middle of the image.
        freeze_prob: Probability per frame that the picture stands still.
        error_prob: Probability per frame that macro-blocks are lost; they
            stay wrong until the next key frame.
    """

    resolution: Range
    defocus: Range
    hunt_prob: float
    hunt: Range
    shutter: Range
    shake: Range
    noise: Range
    cast: float
    contrast: float
    saturation: float
    flicker: Range
    step_prob: float
    step: float
    quality: Range
    drop: Range
    gop: Range
    occluder_prob: float
    passage: Range
    nearness: Range
    freeze_prob: float
    error_prob: float


LEVELS: dict[str, DegradationLevel] = {
    # A studio in HD: tripod, steady light, sharp lens, a generous bit rate.
    'easy': DegradationLevel(
        resolution=(1., 1.), defocus=(0., .005), hunt_prob=0., hunt=(0., 0.),
        shutter=(.2, .5), shake=(0., .004), noise=(.5, 2.5), cast=.03,
        contrast=.08, saturation=.1, flicker=(0., .01), step_prob=0.,
        step=0., quality=(75, 95), drop=(0, 5), gop=(12, 25),
        occluder_prob=.05, passage=(15, 40), nearness=(.3, .55),
        freeze_prob=0., error_prob=0.),
    # Ordinary broadcast or web video: a face in a wide shot, some noise, a
    # modest bit rate, a hand or a caption now and then.
    'medium': DegradationLevel(
        resolution=(1., 1.5), defocus=(.002, .01), hunt_prob=.3,
        hunt=(.005, .015), shutter=(.4, .8), shake=(.003, .015),
        noise=(2., 8.), cast=.08, contrast=.15, saturation=.25,
        flicker=(.005, .04), step_prob=.01, step=.3, quality=(35, 75),
        drop=(2, 12), gop=(10, 20), occluder_prob=.3, passage=(8, 30),
        nearness=(.15, .5), freeze_prob=.005, error_prob=.005),
    # A bad webcam, an old tape, a telephone in the hand at night: all of it
    # at once, and much of it different in the next frame.
    'hard': DegradationLevel(
        resolution=(1.3, 2.2), defocus=(.003, .012), hunt_prob=.6,
        hunt=(.01, .03), shutter=(.5, 1.), shake=(.008, .035),
        noise=(6., 20.), cast=.15, contrast=.25, saturation=.4,
        flicker=(.02, .12), step_prob=.05, step=1., quality=(12, 40),
        drop=(2, 8), gop=(6, 12), occluder_prob=.7, passage=(5, 20),
        nearness=(0., .4), freeze_prob=.03, error_prob=.02),
}
"""DegradationLevel by name, from the best to the worst pictures."""

DIFFICULTIES = (*LEVELS, 'mixed')
"""What a dataset may show; 'mixed' draws a level for every clip."""

CAPTION = 'caption'
_RETURN = 5.  # frames in which the automatic gain takes a jump back
_FAR = 1.3  # distance from the middle, in sides, at which nothing is seen
_RAMP = .35  # part of a passage in which the object comes, and goes


@dataclass(frozen=True)
class Occlusion:
    """Something in front of the face.

    Attributes:
        kind: One of the kinds of occluders, or :data:`CAPTION`.
        path: (t, 3) x, y in sides of the image, and angle in degrees; NaN
            where it is out of sight.
        seed: Of its appearance.
    """

    kind: str
    path: np.ndarray
    seed: int


@dataclass(frozen=True)
class ClipPlan:
    """Strengths for the t frames of a clip.

    Attributes:
        resolution: Factor of the loss of resolution, at least 1.
        blur: (t,) standard deviation of the defocus, sides.
        smear: (t, 2) motion during the exposure, x and y, sides.
        gains: (t, 3) factor per channel.
        gamma: Exponent on values in 0..1.
        saturation: 0 is grey, 1 unchanged.
        noise: Standard deviation, grey levels.
        quality: (t,) JPEG qualities 1..100.
        key: (t,) bool, frames that are coded on their own.
        frozen: (t,) bool, frames that repeat the one before.
        lost: (t, 6) lost macro-blocks: left, top, right, bottom in 0..1 and
            displacement x, y of what is shown there, sides; NaN: none.
        occlusion: None: nothing in front.
    """

    resolution: float
    blur: np.ndarray
    smear: np.ndarray
    gains: np.ndarray
    gamma: float
    saturation: float
    noise: float
    quality: np.ndarray
    key: np.ndarray
    frozen: np.ndarray
    lost: np.ndarray
    occlusion: Occlusion | None


def _between(pair: Range, value: float) -> float:
    return pair[0] + (pair[1] - pair[0]) * value


def _draw_light(rng: np.random.Generator, num_frames: int,
                level: DegradationLevel) -> np.ndarray:
    """(t, 3) gains: cast of the clip, flicker of lamps, jumps of the gain."""
    cast = 1 + level.cast * rng.uniform(-1, 1, 3)
    amplitude = _between(level.flicker, rng.random())
    frequency, phase = rng.uniform(2, 12), rng.uniform(0, 2 * math.pi)
    time = np.arange(num_frames)
    lamps = 1 + amplitude * np.sin(
        2 * math.pi * frequency * time / FPS + phase)
    jumps = rng.random(num_frames) < level.step_prob
    sizes = level.step * rng.uniform(-1, 1, num_frames) * jumps
    stops, jump = np.zeros(num_frames), 0.
    for frame in range(num_frames):
        jump = jump * math.exp(-1 / _RETURN) + sizes[frame]
        stops[frame] = jump
    return cast * (lamps * 2**stops)[:, None]


def _draw_focus(rng: np.random.Generator, num_frames: int,
                level: DegradationLevel) -> np.ndarray:
    """(t,) standard deviation of the defocus, sides."""
    rest = _between(level.defocus, rng.random())
    hunts = rng.random() < level.hunt_prob
    depth = _between(level.hunt, rng.random())
    frequency, phase = rng.uniform(.5, 2), rng.uniform(0, 2 * math.pi)
    wave = .5 + .5 * np.sin(
        2 * math.pi * frequency * np.arange(num_frames) / FPS + phase)
    return rest + hunts * depth * wave**2


def head_motion(landmarks: np.ndarray) -> np.ndarray:
    """Motion of a head in the image.

    Args:
        landmarks: (t, L, 2) in [-1, 1].

    Returns:
        (t, 2) sides per frame, central differences.
    """
    if len(landmarks) < 2:
        return np.zeros((len(landmarks), 2))
    return np.gradient(landmarks.mean(1, dtype=np.float64) / 2, axis=0)


def _draw_codec(rng: np.random.Generator, num_frames: int,
                level: DegradationLevel) -> tuple[np.ndarray, np.ndarray]:
    """Qualities (t,) and key frames (t,) bool."""
    best = _between(level.quality, rng.random())
    drop = _between(level.drop, rng.random())
    gop = max(1, round(_between(level.gop, rng.random())))
    place = (np.arange(num_frames) + rng.integers(gop)) % gop
    key = place == 0
    # A rate control is never quite even.
    wander = 1 + .15 * rng.standard_normal(num_frames)
    quality = (best - np.where(key, 0, drop)) * wander
    # What came before the window is not known: it starts afresh.
    key[:1] = True
    return np.clip(np.rint(quality), 4, 100).astype(int), key


def _draw_losses(rng: np.random.Generator, num_frames: int,
                 level: DegradationLevel) -> tuple[np.ndarray, np.ndarray]:
    """Frozen frames (t,) bool and lost macro-blocks (t, 6)."""
    frozen = rng.random(num_frames) < level.freeze_prob
    hit = rng.random(num_frames) < level.error_prob
    numbers = rng.random((num_frames, 6))
    size = np.stack([.25 + .5 * numbers[:, 2], .12 + .2 * numbers[:, 3]], 1)
    start = numbers[:, :2] * (1 - size)
    shift = .5 * (numbers[:, 4:] - .5)
    lost = np.concatenate([start, start + size, shift], 1)
    lost[~hit] = np.nan
    frozen[:1] = False
    lost[:1] = np.nan
    return frozen, lost


def _draw_occlusion(rng: np.random.Generator, num_frames: int,
                    level: DegradationLevel) -> Occlusion | None:
    """Something that comes, stays for a moment and goes."""
    happens = rng.random() < level.occluder_prob
    kind = (*KINDS, CAPTION)[rng.integers(len(KINDS) + 1)]
    length = _between(level.passage, rng.random())
    near = _between(level.nearness, rng.random())
    # Seen in the window for a part of the passage at least
    start = rng.uniform(-.6 * length, num_frames - .4 * length)
    angle = rng.uniform(-.9, .9) * math.pi  # 0 is below the face
    seed = int(rng.integers(2**32))
    wave = smooth_noise(rng, num_frames, 3, .9)
    if not happens:
        return None
    phase = (np.arange(num_frames) - start) / length
    present = np.minimum(phase, 1 - phase)
    if kind == CAPTION:
        # It belongs to the picture, not to the crop that follows the face.
        side = 1 if math.cos(angle) > -.3 else -1
        path = np.stack([.5 + .03 * wave[:, 0],
                         .5 + side * (.2 + .5 * near) + .02 * wave[:, 1],
                         0 * wave[:, 2]], 1)
    else:
        ease = np.clip(present / _RAMP, 0, 1)
        ease = ease * ease * (3 - 2 * ease)
        distance = near + (_FAR - near) * (1 - ease) + .04 * wave[:, 0]
        outward = np.array([math.sin(angle), abs(math.cos(angle))])
        path = np.concatenate([
            .5 + distance[:, None] * outward + .02 * wave[:, 1:],
            -np.degrees(angle) * .6 + 6 * wave[:, :1]], 1)
    path[present <= 0] = np.nan
    return Occlusion(kind, path, seed)


def draw_plan(rng: np.random.Generator, level: DegradationLevel,
              landmarks: np.ndarray) -> ClipPlan:
    """Draw what happens to a clip.

    The same generator leads to the same events at every level: an occluder
    or a hunt that a medium clip has comes at the same time in the hard one,
    only stronger.

    Args:
        rng: Generator of the clip.
        level: Ranges.
        landmarks: (t, L, 2) true landmarks in [-1, 1].
    """
    frames = len(landmarks)
    # One generator per aspect: what one of them draws changes no other.
    (rng_light, rng_focus, rng_camera, rng_codec, rng_loss, rng_cover,
     rng_look) = split_generator(rng, 7)
    quality, key = _draw_codec(rng_codec, frames, level)
    frozen, lost = _draw_losses(rng_loss, frames, level)
    shutter = _between(level.shutter, rng_camera.random())
    shake = _between(level.shake, rng_camera.random()) * smooth_noise(
        rng_camera, frames, 2, 6.)
    numbers = rng_look.random(4)
    return ClipPlan(
        resolution=_between(level.resolution, numbers[0]),
        blur=_draw_focus(rng_focus, frames, level),
        smear=shutter * (head_motion(landmarks) + shake),
        gains=_draw_light(rng_light, frames, level),
        gamma=math.exp(level.contrast * (2 * numbers[1] - 1)),
        saturation=1 + level.saturation * (2 * numbers[2] - 1),
        noise=_between(level.noise, numbers[3]),
        quality=quality, key=key, frozen=frozen, lost=lost,
        occlusion=_draw_occlusion(rng_cover, frames, level))
