# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Plausible light in spherical harmonics."""

import math

import numpy as np

from mmtvface.geometry.lighting import SH_FACTORS

from .trajectories import FPS, smooth_noise

_FACTORS = np.array(SH_FACTORS)


def project_directional(direction: np.ndarray,
                        color: np.ndarray) -> np.ndarray:
    """Spherical harmonics of a distant lamp.

    The coefficients are such that the shading of the renderer is the
    second-order approximation of ``color * max(0, normal . direction)``
    (Ramamoorthi and Hanrahan, SIGGRAPH 2001). Expanded in the renderer's
    polynomials Y_k: 1/4 + (1/2) n.d + (5/16) * ((n.d)^2 - 1/3) * 3/2 ...,
    written out by band below.

    Args:
        direction: (..., 3) unit vectors from the face to the lamp.
        color: (..., 3) RGB intensity.

    Returns:
        (..., 9, 3) coefficients.
    """
    x, y, z = np.moveaxis(np.asarray(direction, np.float64), -1, 0)
    # (15/32) ((n.d)^2 - 1/3) in the polynomials xy, xz, yz, x^2-y^2, 3z^2-1:
    # a traceless quadratic form d d^T - I/3 has the zz part (z^2 - 1/3) / 2
    # of (3z^2 - 1) and the rest (x^2 - y^2) / 2 of (x^2 - y^2).
    quad = 15 / 32
    terms = np.stack([
        np.full_like(x, .25), x / 2, y / 2, z / 2, 2 * quad * x * y,
        2 * quad * x * z, 2 * quad * y * z, quad * (x * x - y * y) / 2,
        quad * (z * z - 1 / 3) / 2
    ], -1)
    return (terms / _FACTORS)[..., None] * np.asarray(color)[..., None, :]


def ambient(color: np.ndarray) -> np.ndarray:
    """Light from everywhere that shades every normal by ``color``.

    Args:
        color: (..., 3) RGB.

    Returns:
        (..., 9, 3) coefficients.
    """
    color = np.asarray(color, np.float64)
    light = np.zeros((*color.shape[:-1], 9, 3))
    light[..., 0, :] = color / _FACTORS[0]
    return light


def _tint(rng: np.random.Generator, spread: float) -> np.ndarray:
    """A nearly white colour between warm and cold, green of 1."""
    warmth, green = rng.normal(0, spread), rng.normal(0, spread / 3)
    return np.array([1 + warmth, 1 + green, 1 - warmth])


def draw_light(rng: np.random.Generator, num_frames: int, scale: float = 1.,
               fps: float = FPS) -> np.ndarray:
    """Ambient light, a key lamp from the front half and a weak fill lamp.

    Args:
        rng: Generator.
        num_frames: t.
        scale: Contrast: 0 is ambient light alone.
        fps: Frames per second.

    Returns:
        (t, 9, 3) coefficients; the key lamp wanders slightly.
    """
    azimuth = math.radians(rng.uniform(-75, 75))
    height = math.radians(rng.uniform(-10, 60))
    wander = np.radians(3) * smooth_noise(rng, num_frames, 2, .5, fps)
    side = rng.choice([-1., 1.])
    exposure = rng.uniform(.75, 1.1)
    share = scale * rng.uniform(.3, .75)
    base = _tint(rng, .05)
    key, fill = share * _tint(rng, .07), .35 * share * _tint(rng, .1)
    azimuths, heights = azimuth + wander[:, 0], height + wander[:, 1]
    direction = np.stack([np.sin(azimuths) * np.cos(heights),
                          np.sin(heights),
                          np.cos(azimuths) * np.cos(heights)], -1)
    other = np.array([side * .9, .1, .42])
    light = project_directional(direction, np.tile(key, (num_frames, 1)))
    light += project_directional(other / np.linalg.norm(other), fill)
    light += ambient((1. - .75 * share) * base)
    return light * exposure
