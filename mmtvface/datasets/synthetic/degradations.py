# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What cameras and codecs do to clips: colour, blur, noise, compression.

Strengths are drawn once per clip, because a clip is filmed and encoded in
one way; only the noise differs from frame to frame.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

# Probability and range of each step. Lengths are fractions of the image side
# so that the same numbers fit every image size.
DEFAULT_DEGRADATIONS: dict[str, dict] = {
    'color': dict(prob=.8, gain=.12, gamma=.2, saturation=.3),
    'low_resolution': dict(prob=.25, factor=(1.2, 2.5)),
    'defocus': dict(prob=.3, sigma=(.002, .008)),
    'motion': dict(prob=.2, length=(.01, .04)),
    'noise': dict(prob=.5, sigma=(1., 8.)),
    'jpeg': dict(prob=.7, quality=(35, 95)),
}


@dataclass(frozen=True)
class Degradation:
    """Strengths for one clip; None leaves a step out.

    Attributes:
        gains: Factor per colour channel.
        gamma: Exponent on values in 0..1.
        saturation: 0 is grey, 1 unchanged.
        low_resolution: Factor by which the resolution is lost.
        defocus: Standard deviation of a Gaussian, fraction of the side.
        motion: Length (fraction of the side) and angle (radians).
        noise: Standard deviation in grey levels of 255.
        jpeg: Quality 1..100.
    """

    gains: tuple[float, float, float] | None = None
    gamma: float | None = None
    saturation: float | None = None
    low_resolution: float | None = None
    defocus: float | None = None
    motion: tuple[float, float] | None = None
    noise: float | None = None
    jpeg: int | None = None


def check_degradations(config: Mapping[str, Mapping] | None
                       ) -> dict[str, dict]:
    """Complete a configuration of degradations.

    Args:
        config: Steps of ``DEFAULT_DEGRADATIONS`` with the values to change;
            ``dict(prob=0)`` turns a step off. None takes the defaults.

    Raises:
        ValueError: If a step or one of its values is unknown.
    """
    complete = {name: dict(step) for name, step in
                DEFAULT_DEGRADATIONS.items()}
    for name, step in (config or {}).items():
        known = complete.get(name)
        if known is None or set(step) - set(known):
            raise ValueError(
                f"Unknown degradation '{name}' with {sorted(step)}; there are "
                f'{ {key: sorted(val) for key, val in complete.items()} }.')
        known.update(step)
    return complete


def draw_degradation(rng: np.random.Generator,
                     config: Mapping[str, Mapping]) -> Degradation:
    """Draw the strengths of one clip.

    Args:
        rng: Generator; every step consumes it, chosen or not, so that
            turning one step off does not change the others.
        config: As :func:`check_degradations` returns it.
    """
    coins = dict(zip(DEFAULT_DEGRADATIONS, rng.random(
        len(DEFAULT_DEGRADATIONS)), strict=True))
    values = rng.random(10)

    def on(name: str) -> bool:
        return coins[name] < config[name]['prob']

    def between(pair: tuple[float, float], value: float) -> float:
        return float(pair[0] + (pair[1] - pair[0]) * value)

    color = config['color'] if on('color') else None
    signed = 2 * values - 1
    return Degradation(
        gains=tuple((1 + color['gain'] * (.7 * signed[0] + .3 * signed[1:4])
                     ).tolist()) if color else None,
        gamma=math.exp(color['gamma'] * signed[4]) if color else None,
        saturation=1 + color['saturation'] * signed[5] if color else None,
        low_resolution=between(config['low_resolution']['factor'], values[6])
        if on('low_resolution') else None,
        defocus=between(config['defocus']['sigma'], values[7])
        if on('defocus') else None,
        motion=(between(config['motion']['length'], values[8]),
                math.pi * values[9]) if on('motion') else None,
        noise=between(config['noise']['sigma'], rng.random())
        if on('noise') else None,
        jpeg=round(between(config['jpeg']['quality'], rng.random()))
        if on('jpeg') else None)


def adjust_color(images: np.ndarray, gains: tuple[float, float, float],
                  gamma: float, saturation: float) -> np.ndarray:
    """Gains, gamma and saturation.

    Args:
        images: (t, H, W, 3) uint8 RGB.
        gains: Factor per channel.
        gamma: Exponent on values in 0..1.
        saturation: Distance from grey (Rec. 601 luma), 1 is unchanged.

    Returns:
        (t, H, W, 3) uint8.
    """
    ramp = (np.arange(256) / 255)[:, None]
    table = np.clip((ramp**gamma) * np.asarray(gains), 0, 1) * 255
    luma = np.array([[.299, .587, .114]])
    mix = (1 - saturation) * np.repeat(luma, 3, 0) + saturation * np.eye(3)
    # One tall image: one call for the whole clip
    tall = images.reshape(-1, images.shape[2], 3)
    tall = cv2.LUT(tall, np.rint(table).astype(np.uint8)[None])
    return cv2.transform(tall, mix).reshape(images.shape)


def motion_kernel(length: float, angle: float) -> np.ndarray:
    """Kernel of a straight shake.

    Args:
        length: Pixels, at least 1.
        angle: Radians.

    Returns:
        (k, k) float32 that sums to 1.
    """
    size = 2 * math.ceil(length / 2) + 1
    kernel = np.zeros((size, size), np.float32)
    half = np.array([math.cos(angle), math.sin(angle)]) * length / 2
    center = size // 2
    ends = np.rint((center + np.stack([-half, half])) * 256).astype(int)
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 1.,
             lineType=cv2.LINE_AA, shift=8)
    kernel[center, center] = max(kernel[center, center], 1e-3)
    return kernel / kernel.sum()


def apply_degradation(images: np.ndarray, degradation: Degradation,
                      rng: np.random.Generator) -> np.ndarray:
    """Degrade a clip: resolution, blur, colour, noise, compression.

    Args:
        images: (t, H, W, 3) uint8 RGB.
        degradation: Strengths of the clip.
        rng: Generator of the noise.

    Returns:
        (t, H, W, 3) uint8, a new array.
    """
    height, width = images.shape[1:3]
    side = max(height, width)
    frames = list(images)
    if degradation.low_resolution is not None:
        small = (max(1, round(width / degradation.low_resolution)),
                 max(1, round(height / degradation.low_resolution)))
        frames = [cv2.resize(
            cv2.resize(frame, small, interpolation=cv2.INTER_AREA),
            (width, height), interpolation=cv2.INTER_LINEAR)
            for frame in frames]
    if degradation.defocus is not None:
        sigma = degradation.defocus * side
        frames = [cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames]
    if degradation.motion is not None:
        kernel = motion_kernel(max(1., degradation.motion[0] * side),
                               degradation.motion[1])
        frames = [cv2.filter2D(frame, -1, kernel,
                               borderType=cv2.BORDER_REFLECT_101)
                  for frame in frames]
    if degradation.gains is not None:
        frames = list(adjust_color(
            np.stack(frames), degradation.gains, degradation.gamma,
            degradation.saturation))
    if degradation.noise is not None:
        # One field per clip, shifted by a random amount for each frame: as
        # good as fresh noise for a viewer and several times cheaper.
        field = rng.standard_normal((height, width, 3), np.float32)
        field = np.rint(field * degradation.noise).astype(np.int16)
        shifts = rng.integers(0, side, (len(frames), 2))
        frames = [cv2.add(frame, np.roll(field, shift, (0, 1)),
                          dtype=cv2.CV_8U)
                  for frame, shift in zip(frames, shifts, strict=True)]
    if degradation.jpeg is not None:
        flags = [cv2.IMWRITE_JPEG_QUALITY, int(degradation.jpeg)]
        # The codec takes BGR; red and blue are not compressed alike.
        frames = [cv2.imdecode(cv2.imencode('.jpg', frame[..., ::-1],
                                            flags)[1], cv2.IMREAD_COLOR)
                  [..., ::-1] for frame in frames]
    return np.stack(frames)
