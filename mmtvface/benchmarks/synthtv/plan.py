# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What happens to a clip, frame by frame: all draws, no pixels."""

import math
from dataclasses import dataclass

import numpy as np

from mmtvface.datasets.synthetic.occluders import KINDS
from mmtvface.datasets.synthetic.performance import split_generator
from mmtvface.datasets.synthetic.trajectories import FPS, smooth_noise

from .degradation_levels import Grade, Range

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
        seed: Of its looks.
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
                grade: Grade) -> np.ndarray:
    """(t, 3) gains: cast of the clip, flicker of lamps, jumps of the gain."""
    cast = 1 + grade.cast * rng.uniform(-1, 1, 3)
    amplitude = _between(grade.flicker, rng.random())
    frequency, phase = rng.uniform(2, 12), rng.uniform(0, 2 * math.pi)
    time = np.arange(num_frames)
    lamps = 1 + amplitude * np.sin(
        2 * math.pi * frequency * time / FPS + phase)
    jumps = rng.random(num_frames) < grade.step_prob
    sizes = grade.step * rng.uniform(-1, 1, num_frames) * jumps
    stops, level = np.zeros(num_frames), 0.
    for frame in range(num_frames):
        level = level * math.exp(-1 / _RETURN) + sizes[frame]
        stops[frame] = level
    return cast * (lamps * 2**stops)[:, None]


def _draw_focus(rng: np.random.Generator, num_frames: int,
                grade: Grade) -> np.ndarray:
    """(t,) standard deviation of the defocus, sides."""
    rest = _between(grade.defocus, rng.random())
    hunts = rng.random() < grade.hunt_prob
    depth = _between(grade.hunt, rng.random())
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


def _draw_codec(rng: np.random.Generator, num_frames: int, grade: Grade
                ) -> tuple[np.ndarray, np.ndarray]:
    """Qualities (t,) and key frames (t,) bool."""
    best = _between(grade.quality, rng.random())
    drop = _between(grade.drop, rng.random())
    gop = max(1, round(_between(grade.gop, rng.random())))
    place = (np.arange(num_frames) + rng.integers(gop)) % gop
    key = place == 0
    # A rate control is never quite even.
    wander = 1 + .15 * rng.standard_normal(num_frames)
    quality = (best - np.where(key, 0, drop)) * wander
    # What came before the window is not known: it starts afresh.
    key[:1] = True
    return np.clip(np.rint(quality), 4, 100).astype(int), key


def _draw_losses(rng: np.random.Generator, num_frames: int, grade: Grade
                 ) -> tuple[np.ndarray, np.ndarray]:
    """Frozen frames (t,) bool and lost macro-blocks (t, 6)."""
    frozen = rng.random(num_frames) < grade.freeze_prob
    hit = rng.random(num_frames) < grade.error_prob
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
                    grade: Grade) -> Occlusion | None:
    """Something that comes, stays for a moment and goes."""
    happens = rng.random() < grade.occluder_prob
    kind = (*KINDS, CAPTION)[rng.integers(len(KINDS) + 1)]
    length = _between(grade.passage, rng.random())
    near = _between(grade.nearness, rng.random())
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


def draw_plan(rng: np.random.Generator, grade: Grade,
              landmarks: np.ndarray) -> ClipPlan:
    """Draw what happens to a clip.

    The same generator leads to the same fortunes at every grade: an occluder
    or a hunt that a medium clip has comes at the same time in the hard one,
    only stronger.

    Args:
        rng: Generator of the clip.
        grade: Ranges.
        landmarks: (t, L, 2) true landmarks in [-1, 1].
    """
    frames = len(landmarks)
    # One generator per aspect: what one of them draws changes no other.
    (rng_light, rng_focus, rng_camera, rng_codec, rng_loss, rng_cover,
     rng_look) = split_generator(rng, 7)
    quality, key = _draw_codec(rng_codec, frames, grade)
    frozen, lost = _draw_losses(rng_loss, frames, grade)
    shutter = _between(grade.shutter, rng_camera.random())
    shake = _between(grade.shake, rng_camera.random()) * smooth_noise(
        rng_camera, frames, 2, 6.)
    numbers = rng_look.random(4)
    return ClipPlan(
        resolution=_between(grade.resolution, numbers[0]),
        blur=_draw_focus(rng_focus, frames, grade),
        smear=shutter * (head_motion(landmarks) + shake),
        gains=_draw_light(rng_light, frames, grade),
        gamma=math.exp(grade.contrast * (2 * numbers[1] - 1)),
        saturation=1 + grade.saturation * (2 * numbers[2] - 1),
        noise=_between(grade.noise, numbers[3]),
        quality=quality, key=key, frozen=frozen, lost=lost,
        occlusion=_draw_occlusion(rng_cover, frames, grade))
