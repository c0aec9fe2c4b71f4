# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Light on Lambertian surfaces: spherical harmonics, directions, points."""

from math import pi, sqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F

from mmtvface.utils.checks import check_shape
from mmtvface.utils.host_sync import constant

NUM_SH_BANDS = 9
SH_FACTORS = (
    1 / sqrt(4 * pi),
    *[2 * pi / 3 * sqrt(3 / (4 * pi))] * 3,
    *[pi / 4 * 3 * sqrt(5 / (12 * pi))] * 3,
    pi / 4 * 1.5 * sqrt(5 / (12 * pi)),
    pi / 4 * 0.5 * sqrt(5 / (4 * pi)),
)
"""Normalisation of each band times the Lambertian kernel's attenuation."""


class DirectionalLights(NamedTuple):
    """Lights at infinity.

    Attributes:
        directions: (B, L, 3) from the surface to the light, any length.
        colors: (B, L, 3) RGB intensity.
    """

    directions: torch.Tensor
    colors: torch.Tensor


class PointLights(NamedTuple):
    """Lights at finite places, without fall-off by distance.

    Attributes:
        positions: (B, L, 3) in the frame of the shaded points.
        colors: (B, L, 3) RGB intensity.
    """

    positions: torch.Tensor
    colors: torch.Tensor


Light = torch.Tensor | DirectionalLights | PointLights


def sh_basis(normals: torch.Tensor) -> torch.Tensor:
    r"""Spherical harmonic polynomials of normals, without their factors.

    $$
    Y(n) = (1,\; x,\; y,\; z,\; xy,\; xz,\; yz,\;
    x^2 - y^2,\; 3 z^2 - 1)
    $$

    Args:
        normals: (B, N, 3) unit length.

    Returns:
        (B, 9, N): 1, x, y, z, xy, xz, yz, x^2 - y^2, 3z^2 - 1.

    Examples:
        >>> sh_basis(torch.tensor([[[0., 0., 1.]]]))[0, :, 0].tolist()
        [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0]
    """
    x, y, z = normals.unbind(-1)
    return torch.stack([
        torch.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y,
        3 * z * z - 1
    ], 1)


def sh_shading(normals: torch.Tensor, light: torch.Tensor) -> torch.Tensor:
    r"""Shading by spherical harmonics of order 2.

    $$
    S(n) = \sum_{k=1}^{9} l_k\, f_k\, Y_k(n)
    $$

    with the light $l_k$ (RGB) and the factors $f_k$ of the Lambertian kernel
    (Ramamoorthi and Hanrahan, SIGGRAPH 2001, with the factors of DECA, Feng
    et al., SIGGRAPH 2021). It is not clamped: codes far from natural light
    give negative values.

    Args:
        normals: (B, N, 3) unit length, in the frame of the light.
        light: (B, 9, 3) bands x RGB.

    Returns:
        (B, N, 3) RGB, stored as colour planes.
    """
    check_shape('normals', normals, ('B', 'N', 3))
    check_shape('light', light, (len(normals), NUM_SH_BANDS, 3))
    factors = constant(SH_FACTORS, light)[:, None]
    return ((light * factors).mT @ sh_basis(normals)).mT


def directional_shading(normals: torch.Tensor,
                        lights: DirectionalLights) -> torch.Tensor:
    """Lambertian shading by lights at infinity, the mean over the lights.

    The cosine is clamped to [0, 1]. As in DECA, the mean (not the sum) over
    the lights is taken, so intensities do not depend on their number.

    Args:
        normals: (B, N, 3) unit length.
        lights: L directions and colours per item.

    Returns:
        (B, N, 3) RGB.
    """
    check_shape('normals', normals, ('B', 'N', 3))
    check_shape('directions', lights.directions, (len(normals), 'L', 3))
    check_shape('colors', lights.colors, lights.directions.shape)
    directions = F.normalize(lights.directions, dim=-1)
    cosine = (normals @ directions.mT).clamp(0, 1)
    return cosine @ lights.colors / directions.shape[1]


def point_shading(normals: torch.Tensor, points: torch.Tensor,
                  lights: PointLights) -> torch.Tensor:
    """Lambertian shading by point lights, the mean over the lights.

    Deviation from DECA, whose cosine is not clamped: a lamp behind a
    surface does not darken it below zero.

    Args:
        normals: (B, N, 3) unit length.
        points: (B, N, 3) the shaded points, in the frame of the lights.
        lights: L positions and colours per item.

    Returns:
        (B, N, 3) RGB.
    """
    check_shape('normals', normals, ('B', 'N', 3))
    check_shape('points', points, normals.shape)
    check_shape('positions', lights.positions, (len(normals), 'L', 3))
    check_shape('colors', lights.colors, lights.positions.shape)
    # n.(l - p)/|l - p| from two products, without (B, N, L, 3) temporaries.
    along = normals @ lights.positions.mT - (normals * points).sum(
        -1, keepdim=True)
    distance = torch.cdist(
        points, lights.positions,
        compute_mode='donot_use_mm_for_euclid_dist').clamp_min(1e-8)
    cosine = (along / distance).clamp(0, 1)
    return cosine @ lights.colors / lights.positions.shape[1]


def shade(normals: torch.Tensor, light: Light,
          points: torch.Tensor | None = None) -> torch.Tensor:
    """Shade by any kind of light.

    Args:
        normals: (B, N, 3) unit length.
        light: (B, 9, 3) spherical harmonics, or lights.
        points: (B, N, 3) the shaded points, needed by point lights.

    Returns:
        (B, N, 3) RGB.

    Raises:
        ValueError: If the light is of another kind, or point lights come
            without points.
    """
    if isinstance(light, DirectionalLights):
        return directional_shading(normals, light)
    if isinstance(light, PointLights):
        if points is None:
            raise ValueError('Point lights need the shaded points.')
        return point_shading(normals, points, light)
    if isinstance(light, torch.Tensor):
        return sh_shading(normals, light)
    raise ValueError(
        'light must be a (B, 9, 3) tensor of spherical harmonics, '
        f'DirectionalLights or PointLights, but it is {type(light)}.')
