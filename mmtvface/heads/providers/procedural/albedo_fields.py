# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Where pigments lie: masks and patterns on the texels of the UV map."""

from dataclasses import dataclass

import numpy as np

from . import anatomy, eye, mouth
from .mean_mesh import MeanMesh
from .patches import smoothstep
from .regions import hair_height
from .uv_raster import TexelMap, sample

#: Frontal course of the left brow: x, y, half thickness in mm.
_BROW = np.array([(9.5, 24.5, 2.6), (15, 26.2, 3.6), (24, 28.2, 3.6),
                  (34, 29.6, 3.1), (43, 28.6, 2.5), (51, 24.8, 1.8),
                  (57.5, 19.5, .9)], dtype=np.float64)


@dataclass(frozen=True)
class PaintFields:
    """Maps (S, S) unless noted; masks are 0..1.

    Attributes:
        covered: Texels that belong to the head, bool.
        position: (S, S, 3) mm on the mean head.
        skin, lips, brow, hair, beard, mouth, teeth, eyeball: Masks.
        eyelid_line: Lashes along the eyelid margins.
        socket: The darker skin around the eyes.
        flush: Cheeks, nose tip and ears, which redden.
        cavity: Creases and openings that receive little light.
        polar: Angle in radians from the front of the eyeball.
        turn: Angle around the front of the eyeball.
    """

    covered: np.ndarray
    position: np.ndarray
    skin: np.ndarray
    lips: np.ndarray
    brow: np.ndarray
    hair: np.ndarray
    beard: np.ndarray
    mouth: np.ndarray
    teeth: np.ndarray
    eyeball: np.ndarray
    eyelid_line: np.ndarray
    socket: np.ndarray
    flush: np.ndarray
    cavity: np.ndarray
    polar: np.ndarray
    turn: np.ndarray


def wave_noise(position: np.ndarray, wavelength: float,
               seed: int) -> np.ndarray:
    """Smooth noise (...,) of points (..., 3): a sum of plane waves.

    Zero mean and about unit variance; the same points give the same noise, so
    the cut of the UV map does not show.
    """
    rng = np.random.default_rng(seed)
    position = position.astype(np.float32)
    total = np.zeros(position.shape[:-1], dtype=np.float32)
    waves = 16
    for _ in range(waves):
        direction = rng.normal(size=3)
        direction *= 2 * np.pi / wavelength / np.linalg.norm(direction)
        direction *= rng.uniform(.6, 1.5)
        phase = np.float32(rng.uniform(0, 2 * np.pi))
        total += np.sin(position @ direction.astype(np.float32) + phase)
    return total * np.sqrt(2 / waves)


def _near(position: np.ndarray, center: tuple[float, float, float],
          size: tuple[float, float, float] | float) -> np.ndarray:
    """Bell around a place and its mirror image."""
    folded = position.copy()
    folded[..., 0] = np.abs(folded[..., 0])
    offset = (folded - np.array(center)) / np.array(size)
    return np.exp(-.5 * np.sum(offset**2, axis=-1))


def _brow_mask(position: np.ndarray) -> np.ndarray:
    x = np.abs(position[..., 0])
    line = np.interp(x, _BROW[:, 0], _BROW[:, 1])
    half = np.interp(x, _BROW[:, 0], _BROW[:, 2], left=0, right=0)
    height = position[..., 1] - line
    ends = smoothstep(x, 8.5, 14) * smoothstep(x, 59, 53)
    body = smoothstep(np.abs(height) / np.maximum(half, .1), 1.15, .35)
    front = smoothstep(position[..., 2], -40, -25)
    # hairs run outwards and up
    strokes = .5 + .5 * np.sin(
        2.4 * (x - 1.1 * height) + 1.6 * wave_noise(position, 9., 5))
    return body * ends * front * (.72 + .28 * strokes)


def paint_fields(mesh: MeanMesh, texels: TexelMap) -> PaintFields:
    """Find the parts of the head on the UV map."""
    count = len(mesh.vertices)
    attributes = np.zeros((count, 12))
    attributes[:, :3] = mesh.vertices
    charts = np.nan_to_num(mesh.charts)
    attributes[:, 3] = np.abs(charts[:, 0])
    attributes[:, 4] = charts[:, 1]
    ball, lip, inside, teeth, lash, ear, pit = range(5, 12)
    for side, part in zip((1, -1), mesh.eyeballs, strict=True):
        attributes[part, ball] = 1
        attributes[part, :3] -= anatomy.EYE_CENTER * [side, 1, 1]
    for grid in mesh.lips:
        attributes[grid[mouth.BORDER], lip] = .5
        attributes[grid[mouth.BORDER + 1:], lip] = 1
        attributes[grid[mouth.INSIDE], inside] = .35
        attributes[grid[mouth.INSIDE + 1:], inside] = 1
        attributes[grid[mouth.TEETH:mouth.TEETH_EDGE + 2, :], teeth] = 1
        attributes[grid[mouth.CONTACT], pit] = .75
    attributes[mesh.mouth_cap, [lip, inside, pit]] = 1
    for grid in mesh.eyelids:
        upper = np.sin(2 * np.pi * np.arange(eye.RING_SIZE) / eye.RING_SIZE)
        attributes[grid[eye.MARGIN], lash] = np.where(upper > 0, 1., .45)
        attributes[grid[eye.MARGIN + 1:], lash] = .5
    for grid in mesh.ears:
        rings = len(grid)
        attributes[grid[1:], ear] = 1
        depth = smoothstep(np.arange(rings), 9, rings - 1)
        attributes[grid, pit] = .8 * depth[:, None]
    maps = sample(texels, mesh.faces, attributes)
    position, azimuth, arc = maps[..., :3], maps[..., 3], maps[..., 4]
    covered = texels.face >= 0
    eyeball = (maps[..., ball] > .5) & covered
    is_mouth = smoothstep(maps[..., inside], .2, .8)
    lips = smoothstep(maps[..., lip], .25, .75) * (1 - is_mouth)
    skin = covered & ~eyeball
    outer = skin * (1 - is_mouth) * (1 - lips)
    noise = (1.5 * wave_noise(position, 13., 1) +
             1.5 * wave_noise(position * [1.6, .5, 1.], 3.5, 3))
    growth = hair_height(np.stack([azimuth, arc], -1)) + noise
    hair = outer * smoothstep(growth, -4, 7) * (maps[..., ear] < .1)
    strands = wave_noise(position * [1, .45, .45], 3.2, 2)
    hair = hair * np.clip(.92 + .08 * strands, 0, 1)
    x, y, z = np.moveaxis(position, -1, 0)
    beard_zone = (smoothstep(y + .30 * np.abs(x), -38, -58) *
                  smoothstep(np.degrees(azimuth), 84, 70) *
                  smoothstep(arc, -132, -112))
    moustache = _near(position, (9., -51.5, 23.), (10., 4., 8.))
    beard = outer * np.clip(beard_zone + .5 * moustache, 0, 1)
    nostril = _near(position, (6.2, -43.2, 27.), (3.1, 2.2, 5.))
    cavity = np.clip(maps[..., pit], 0, 1)
    cavity = np.maximum(cavity, 1.15 * nostril)
    wing = .35 * _near(position, (18.5, -38., 15.), (2.6, 5., 4.))
    cavity = np.clip(cavity + wing, 0, 1) * covered
    flush = (.8 * _near(position, (40., -28., 4.), (16., 13., 20.)) +
             .9 * _near(position, (0., -33., 36.), (12., 10., 10.)) +
             .8 * (maps[..., ear] > .5) +
             .35 * _near(position, (0., -98., 15.), 14.))
    eyelid_line = smoothstep(maps[..., lash], .45, .85) + .4 * smoothstep(
        maps[..., lash], .1, .5)
    socket = np.clip(
        _near(position, (31., 9., 2.), (15., 5.5, 12.)) +
        .75 * _near(position, (27., -9., 4.), (13., 5., 10.)) +
        .9 * _near(position, (17., 4., 3.), (5., 7., 8.)), 0, 1)
    polar = np.where(eyeball, np.arctan2(np.hypot(x, y), z), np.pi)
    return PaintFields(
        covered=covered, position=position, skin=outer, lips=lips * skin,
        brow=_brow_mask(position) * outer, hair=hair, beard=beard,
        mouth=is_mouth * skin,
        teeth=smoothstep(maps[..., teeth], .6, .9) *
        smoothstep(np.abs(x), 20, 17) * is_mouth * skin,
        eyeball=eyeball.astype(float), eyelid_line=np.clip(eyelid_line, 0, 1) *
        skin, socket=socket * outer, flush=np.clip(flush, 0, 1) * outer,
        cavity=cavity, polar=polar, turn=np.arctan2(y, x))
