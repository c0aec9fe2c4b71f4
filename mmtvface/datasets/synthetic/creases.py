# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Single creases of the skin."""

from dataclasses import dataclass

import numpy as np

from .face_chart import FaceChart

#: Raised skin beside a furrow: part of its depth, and of its width.
_SHOULDER, _SHOULDER_WIDTH = .38, 2.3
#: Blur of a texel relative to its size: a crease between two texels must not
#: vanish.
_BLUR = .5
_REACH = 4.


@dataclass(frozen=True)
class Crease:
    """A furrow along a wavy curve, in a frame of its own.

    With t along ``angle`` and w to the left of it, both from ``origin``, the
    curve is w = bend * t^2 + sum of amplitude * sin(2 pi t / wavelength +
    phase). Its cross section is a valley between raised shoulders; a fold is
    a step besides: skin that hangs over the valley from its left side.

    Attributes:
        origin: p and q, mm.
        angle: Direction of t in the plane of p and q, radians.
        start: Of the crease, mm along t.
        stop: Its end, mm.
        depth: Of the valley, mm.
        width: Standard deviation of its profile, mm.
        bend: Of the curve, 1/mm.
        waves: (k, 3) amplitude (mm), wavelength (mm), phase (radians).
        ends: Length over which the depth fades at both ends, mm.
        fold: Height of the overhanging skin relative to the depth.
        fold_width: Of that skin, mm.
        flutter: Relative change of the depth along t.
        flutter_wave: Its wavelength (mm) and phase.
    """

    origin: tuple[float, float]
    angle: float
    start: float
    stop: float
    depth: float
    width: float
    bend: float = 0.
    waves: tuple[tuple[float, float, float], ...] = ()
    ends: float = 6.
    fold: float = 0.
    fold_width: float = 4.
    flutter: float = 0.
    flutter_wave: tuple[float, float] = (20., 0.)


def _curve(crease: Crease, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Course of the curve: w and its derivative."""
    value, slope = crease.bend * t**2, 2 * crease.bend * t
    for amplitude, wavelength, phase in crease.waves:
        turn = 2 * np.pi / wavelength
        value = value + amplitude * np.sin(turn * t + phase)
        slope = slope + amplitude * turn * np.cos(turn * t + phase)
    return value, slope


def _fade(t: np.ndarray, crease: Crease) -> np.ndarray:
    """Depth along the curve: 1 inside, 0 at the ends, smooth between."""
    reach = np.minimum(t - crease.start, crease.stop - t) / crease.ends
    reach = np.clip(reach, 0, 1)
    fade = reach**2 * (3 - 2 * reach)
    wavelength, phase = crease.flutter_wave
    wave = np.sin(2 * np.pi * t / wavelength + phase)
    return fade * (1 + crease.flutter * wave)


def _bell(distance: np.ndarray, width: float, blur: float) -> np.ndarray:
    """A Gaussian of height 1, blurred: wider and lower."""
    wide = np.hypot(width, blur)
    return width / wide * np.exp(-.5 * (distance / wide)**2)


def crease_height(crease: Crease, chart: FaceChart
                  ) -> tuple[np.ndarray, np.ndarray]:
    """Height of the skin around a crease.

    Distances are measured along the surface, to first order: the value of
    the function that vanishes on the curve over the length of its gradient.

    Args:
        crease: A crease in the plane of the chart.
        chart: The face.

    Returns:
        (M,) which texels of the chart are near, and (M,) the height there in
        mm, negative in the valley.
    """
    cos, sin = np.cos(crease.angle), np.sin(crease.angle)
    offset = chart.points - crease.origin
    t = offset @ [cos, sin]
    near = np.flatnonzero((t > crease.start) & (t < crease.stop))
    t = t[near]
    value, slope = _curve(crease, t)
    height = offset[near] @ [-sin, cos] - value
    a, b = -sin - slope * cos, cos - slope * sin
    pp, pq, qq = chart.metric[near].T
    square = a * a * pp + 2 * a * b * pq + b * b * qq
    distance = height / np.sqrt(np.maximum(square, 1e-4))
    blur = _BLUR * chart.pitch
    widest = max(_SHOULDER_WIDTH * crease.width,
                 2 * crease.fold_width if crease.fold else 0.)
    reach = np.abs(distance) < _REACH * np.hypot(widest, blur)
    near, t, distance = near[reach], t[reach], distance[reach]
    profile = -_bell(distance, crease.width, blur) + _SHOULDER * _bell(
        distance, _SHOULDER_WIDTH * crease.width, blur)
    # The shoulders must not make the valley shallower.
    profile /= 1 - _SHOULDER
    if crease.fold:
        profile += crease.fold * _bell(distance - crease.fold_width,
                                       crease.fold_width, blur)
    return near, crease.depth * _fade(t, crease) * profile
