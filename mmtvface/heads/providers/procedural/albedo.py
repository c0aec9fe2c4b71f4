# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Mean albedo and the linear texture basis of the built-in head."""

from typing import NamedTuple

import numpy as np

from .albedo_fields import PaintFields, paint_fields, wave_noise
from .mean_mesh import MeanMesh
from .patches import smoothstep
from .uv_layout import UVLayout
from .uv_raster import TexelMap, pad_islands, rasterize_uv_map, sample

SIZE = 512

_SKIN = np.array([.735, .545, .455])
_FLUSH = np.array([.715, .455, .385])
_SOCKET = np.array([.640, .450, .385])
_LIPS = np.array([.640, .365, .335])
_HAIR = np.array([.170, .125, .100])
_BROW = np.array([.235, .170, .130])
_BEARD = np.array([.560, .440, .390])
_LASH = np.array([.200, .130, .110])
_MOUTH = np.array([.300, .110, .100])
_TEETH = np.array([.800, .765, .690])
_SCLERA = np.array([.830, .805, .785])
_IRIS = np.array([.270, .180, .112])
_PUPIL = np.array([.025, .022, .022])

IRIS_ANGLE = np.arcsin(5.9 / 12)
PUPIL_ANGLE = np.arcsin(2.1 / 12)


class AlbedoModel(NamedTuple):
    """Linear albedo: mean + sum_k code_k * patterns[..., k] * colours[k].

    Attributes:
        mean: (S, S, 3) float32, RGB in [0, 1].
        patterns: (S, S, K) float16, where each component acts.
        colors: (K, 3) float32, its change of colour at one sigma.
    """

    mean: np.ndarray
    patterns: np.ndarray
    colors: np.ndarray


def _blend(base: np.ndarray, color: np.ndarray,
           mask: np.ndarray) -> np.ndarray:
    return base + mask[..., None] * (color - base)


def _iris_mask(fields: PaintFields) -> np.ndarray:
    return fields.eyeball * smoothstep(
        fields.polar, IRIS_ANGLE + .02, IRIS_ANGLE - .05)


def _mean_albedo(fields: PaintFields) -> np.ndarray:
    position = fields.position
    image = np.broadcast_to(_SKIN, (*fields.covered.shape, 3)).copy()
    mottle = (.014 * wave_noise(position, 34., 11) +
              .011 * wave_noise(position, 11., 12) +
              .009 * wave_noise(position, 4.5, 13))
    image += mottle[..., None] * [.7, 1., 1.]
    image = _blend(image, _FLUSH, .55 * fields.flush)
    image = _blend(image, _SOCKET, .62 * fields.socket)
    image = _blend(image, _BEARD, .30 * fields.beard)
    grooves = wave_noise(position * [1, .25, .25], 1.9, 14)
    lips = _LIPS * (1 + .035 * grooves[..., None])
    image = _blend(image, lips, .88 * fields.lips)
    stubble = .05 * wave_noise(position, 2.6, 15)[..., None]
    image = _blend(image, _HAIR * (1 + stubble), .93 * fields.hair)
    image = _blend(image, _BROW, .84 * fields.brow)
    image = _blend(image, _LASH, .88 * fields.eyelid_line)
    image = _blend(image, _MOUTH, fields.mouth)
    image = _blend(image, _TEETH, .95 * fields.teeth)
    depth = smoothstep(position[..., 2], 12, -25) * fields.mouth
    image *= 1 - .85 * depth[..., None]
    image *= 1 - fields.cavity[..., None] * [.50, .62, .62]
    return _paint_eyes(image, fields)


def _paint_eyes(image: np.ndarray, fields: PaintFields) -> np.ndarray:
    """Sclera, iris with its dark rim, pupil."""
    veins = .02 * wave_noise(fields.position, 5., 16)[..., None]
    away = smoothstep(fields.polar, .6, 1.3)[..., None]
    sclera = _SCLERA + veins * [0., -1., -1.] - away * [.03, .10, .10]
    image = _blend(image, sclera, fields.eyeball)
    rays = .5 + .5 * np.sin(31 * fields.turn +
                            3 * np.sin(7 * fields.turn + 1.))
    inner = smoothstep(fields.polar, IRIS_ANGLE, PUPIL_ANGLE)
    iris = _IRIS * (.80 + .22 * rays + .35 * inner)[..., None]
    rim = smoothstep(fields.polar, IRIS_ANGLE - .12, IRIS_ANGLE)
    iris *= 1 - .62 * rim[..., None]
    image = _blend(image, iris, _iris_mask(fields))
    pupil = fields.eyeball * smoothstep(
        fields.polar, PUPIL_ANGLE + .03, PUPIL_ANGLE - .03)
    return _blend(image, _PUPIL, pupil)


def _components(
        fields: PaintFields, texels: TexelMap,
        mesh: MeanMesh) -> list[tuple[np.ndarray, tuple[float, ...]]]:
    """(pattern, colour at one sigma) of every texture component."""
    position = fields.position
    x, y, z = np.moveaxis(position, -1, 0)
    all_skin = np.clip(fields.skin + .7 * fields.lips, 0, 1)
    bare = all_skin * (1 - .9 * fields.hair) * (1 - .7 * fields.brow)
    iris = _iris_mask(fields) * smoothstep(
        fields.polar, PUPIL_ANGLE, PUPIL_ANGLE + .06)
    front = smoothstep(z, -60, 0) * bare
    parts = [
        # pigment: melanin darkens blue most, blood darkens green most
        (bare, (.095, .084, .076)),
        (bare, (.007, -.011, -.009)),
        (bare, (.008, .003, -.018)),
        (fields.hair + .8 * fields.brow, (.075, .055, .035)),
        (fields.beard, (-.105, -.085, -.070)),
        (fields.lips, (.025, -.022, -.015)),
        (fields.lips, (.034, .030, .028)),
        (fields.brow, (-.085, -.070, -.060)),
        (fields.flush, (.006, -.020, -.018)),
        (iris, (-.060, .010, .110)),
        (iris, (.055, .070, .030)),
        (fields.socket, (-.045, -.045, -.036)),
        (fields.hair, (.055, .022, .004)),
        (fields.hair, (.060, .062, .064)),
        (fields.hair * smoothstep(hair_front(position), .2, .8),
         (.14, .105, .085)),
        (front * np.clip(wave_noise(position, 6., 31) - .9, 0, None),
         (-.035, -.040, -.036)),
        (front * smoothstep(y, 20, 60), (-.022, -.020, -.016)),
        (front * smoothstep(y, -50, -95), (-.025, -.022, -.018)),
        (front * np.exp(-.5 * (x / 16)**2) * smoothstep(y, 45, 10),
         (.022, .018, .016)),
        (front * np.clip(wave_noise(position, 10., 32) - 1.0, 0, None),
         (.012, -.014, -.011)),
    ]
    colors = ((.008, .0075, .007), (.0025, -.0025, -.002),
               (.0015, .001, -.0025))
    for index in range(40):
        wavelength = 95. * (18. / 95.)**(index / 39)
        strength = (.30)**(index / 39)
        # vertices are close enough to carry waves of this length
        wave = wave_noise(mesh.vertices, wavelength, 100 + index)
        pattern = bare * sample(texels, mesh.faces, wave[:, None])[..., 0]
        parts.append((pattern, tuple(
            strength * c for c in colors[index % len(colors)])))
    return parts


def hair_front(position: np.ndarray) -> np.ndarray:
    """0..1 towards the front of the hair, where it recedes first."""
    return (smoothstep(position[..., 2], -75, -15) *
            smoothstep(position[..., 1], 40, 75))


def build_albedo(mesh: MeanMesh, uv_map: UVLayout) -> AlbedoModel:
    """Paint the UV map of the mean head."""
    texels = rasterize_uv_map(uv_map, SIZE)
    fields = paint_fields(mesh, texels)
    mean = np.clip(_mean_albedo(fields), .01, .97)
    mean = pad_islands(mean, fields.covered)
    parts = _components(fields, texels, mesh)
    patterns = pad_islands(
        np.stack([p.astype(np.float16) for p, _ in parts], -1),
        fields.covered)
    colors = np.array([c for _, c in parts], dtype=np.float32)
    return AlbedoModel(mean.astype(np.float32), patterns, colors)
