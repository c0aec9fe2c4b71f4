# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Where the creases of a person's face run.

Places follow from the landmarks of the neutral head; numbers, distances,
waviness and asymmetry from the person's random numbers. Lengths are those of
an average adult in mm, times the unit of the chart.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .creases import Crease
from .face_chart import FaceChart

#: Landmarks of the person's left side and of the right one.
_LEFT = dict(eye=45, eyelids=(46, 47), brow=22, wing=35, mouth=54)
_RIGHT = dict(eye=36, eyelids=(40, 41), brow=21, wing=31, mouth=48)

#: Depth of the deepest crease of a region, mm.
DEPTHS = dict(forehead=.9, glabella=.9, root=.65, crow=.75, under_eye=.6,
              nasolabial=1.15, cheek=.7, marionette=.85, chin=.8)


class Side(NamedTuple):
    """One side of a face: 1 is the person's left, -1 the right."""

    sign: int
    eye: np.ndarray
    eyelids: np.ndarray
    brow: np.ndarray
    wing: np.ndarray
    mouth: np.ndarray


def sides(chart: FaceChart) -> dict[str, Side]:
    """Anchors of both sides, p and q in mm."""
    return {
        name: Side(sign, *(
            chart.landmarks[list(np.atleast_1d(table[key]))].mean(0)
            for key in Side._fields[1:]))
        for name, sign, table in (('l', 1, _LEFT), ('r', -1, _RIGHT))}


def _waves(rng: np.random.Generator, size: float
           ) -> tuple[tuple[float, float, float], ...]:
    """Two irregular waves of a line, amplitudes about ``size`` mm."""
    return tuple(
        (size * rng.uniform(.3, 1.) * share, rng.uniform(*span),
         rng.uniform(0, 2 * math.pi))
        for share, span in ((1., (26., 48.)), (.45, (12., 20.))))


def _flutter(rng: np.random.Generator, size: float = .3) -> dict:
    return dict(flutter=size * rng.uniform(.3, 1.),
                flutter_wave=(rng.uniform(16., 34.),
                              rng.uniform(0, 2 * math.pi)))


def forehead(rng: np.random.Generator, chart: FaceChart) -> list[Crease]:
    """Lines across the forehead, parallel and never quite so."""
    spacing = rng.uniform(6.5, 10.)
    lowest = rng.uniform(10., 15.)
    count = min(rng.integers(3, 7), int((46 - lowest) / spacing) + 1)
    brow = chart.landmarks[19:25, 1].mean() / chart.unit
    # As the brows arch, so do the lines: low in the middle, mostly.
    arch = (rng.uniform(-.4, 1.8), rng.uniform(58., 74.), -math.pi / 2)
    tilt, shift = math.radians(rng.normal(0, 1.2)), rng.normal(0, 3.)
    strongest = rng.uniform(.2, .8) * (count - 1)
    lines = []
    for index in range(count):
        height = brow + lowest + spacing * (index + rng.normal(0, .1))
        weight = math.exp(-.5 * ((index - strongest) / 2.4)**2)
        half = rng.uniform(38., 56.) * (1 - .04 * index)
        middle = shift + rng.normal(0, 4.)
        lines.append(Crease(
            (0., height), tilt, middle - half, middle + half,
            DEPTHS['forehead'] * weight * rng.uniform(.75, 1.),
            rng.uniform(1.4, 2.), waves=(arch, *_waves(rng, .5)),
            ends=14., **_flutter(rng)))
    return lines


def glabella(rng: np.random.Generator, side: Side,
             unit: float) -> list[Crease]:
    """Upright lines between the brows."""
    count = rng.choice([1, 2], p=[.7, .3])
    distance = rng.uniform(4.5, 8.)
    lines = []
    for index in range(count):
        lean = side.sign * math.radians(rng.uniform(-4., 12.))
        height = side.brow[1] / unit + rng.uniform(-4., 0.)
        lines.append(Crease(
            (side.sign * (distance + 4.5 * index), height),
            math.pi / 2 - lean, -rng.uniform(9., 13.), rng.uniform(8., 13.),
            DEPTHS['glabella'] * (.55 if index else 1.)
            * rng.uniform(.75, 1.), rng.uniform(1.3, 1.8),
            bend=-side.sign * rng.uniform(0., .012),
            waves=_waves(rng, .25), **_flutter(rng)))
    return lines


def nose_root(rng: np.random.Generator, chart: FaceChart) -> list[Crease]:
    """Lines across the root of the nose."""
    height = chart.landmarks[27, 1] / chart.unit + rng.uniform(5., 8.)
    half = rng.uniform(8., 11.)
    return [
        Crease((rng.normal(0, .7), height + 5. * index), rng.normal(0, .05),
               -half, half, DEPTHS['root'] * (1., .6)[index],
               rng.uniform(1.3, 1.7), bend=rng.uniform(-.012, .004),
               waves=_waves(rng, .2))
        for index in range(rng.choice([1, 2]))]


def crow(rng: np.random.Generator, side: Side, unit: float) -> list[Crease]:
    """Lines that fan out from the outer corner of the eye."""
    count = int(rng.integers(3, 6))
    top, bottom = rng.uniform(20., 34.), -rng.uniform(26., 42.)
    near = rng.uniform(8., 11.)
    lines = []
    for angle in np.linspace(top, bottom, count) + rng.normal(0, 2., count):
        turn = math.radians(angle)
        lines.append(Crease(
            tuple(side.eye / unit),
            turn if side.sign > 0 else math.pi - turn,
            near + rng.uniform(-1., 2.), near + rng.uniform(15., 25.),
            DEPTHS['crow'] * rng.uniform(.6, 1.), rng.uniform(1.1, 1.5),
            bend=side.sign * .006 * np.sign(angle) * rng.uniform(0., 1.),
            waves=_waves(rng, .25), **_flutter(rng)))
    return lines


def under_eye(rng: np.random.Generator, side: Side,
              unit: float) -> list[Crease]:
    """Curved lines below the lower eyelid."""
    middle = side.eyelids / unit
    lines = []
    for index in range(rng.integers(1, 4)):
        half = rng.uniform(11., 15.) + 2. * index
        drop = rng.uniform(6.5, 8.) + 5.5 * index
        lean = side.sign * math.radians(rng.uniform(-14., -4.))
        lines.append(Crease(
            (middle[0], middle[1] - drop), lean, -half, half,
            DEPTHS['under_eye'] * rng.uniform(.7, 1.),
            rng.uniform(1.4, 1.9), bend=rng.uniform(.006, .011),
            waves=_waves(rng, .25), **_flutter(rng)))
    return lines


def _through(points: np.ndarray, sign: int) -> Crease:
    """A crease without depth from the first of three points to the last.

    It passes about the second one; its left side is the outer one.
    """
    first, middle, last = points if sign > 0 else points[::-1]
    along = last - first
    length = np.hypot(*along)
    angle = math.atan2(along[1], along[0])
    center = (first + last) / 2
    offset = middle - center
    sag = -math.sin(angle) * offset[0] + math.cos(angle) * offset[1]
    bend = -sag / (length / 2)**2
    origin = center + sag * np.array([-math.sin(angle), math.cos(angle)])
    return Crease(tuple(origin), angle, -length / 2, length / 2, 0., 1.,
                  bend=bend)


def nasolabial(rng: np.random.Generator, side: Side,
               unit: float) -> list[Crease]:
    """The fold from the wing of the nose past the corner of the mouth."""
    wing, mouth = side.wing / unit, side.mouth / unit
    out = side.sign
    points = np.array([
        wing + [out * rng.uniform(6., 8.), rng.uniform(6., 9.)],
        (wing + mouth) / 2 + [out * rng.uniform(9., 12.),
                              rng.uniform(3., 6.)],
        mouth + [out * rng.uniform(8., 11.), rng.uniform(-6., 2.)]])
    fold = replace(
        _through(points, out), depth=DEPTHS['nasolabial'],
        width=rng.uniform(1.7, 2.3), fold=rng.uniform(.35, .7),
        fold_width=rng.uniform(3.6, 5.), waves=_waves(rng, .3), ends=9.,
        **_flutter(rng, .2))
    return [fold]


def cheek(rng: np.random.Generator, side: Side, unit: float) -> list[Crease]:
    """Arcs in the cheek, outside of the fold and parallel to it."""
    wing, mouth = side.wing / unit, side.mouth / unit
    out = side.sign
    first = rng.uniform(9., 12.)
    lines = []
    for index in range(rng.integers(1, 4)):
        away = first + rng.uniform(8., 9.5) * index
        points = np.array([
            wing + [out * (away + 8.), rng.uniform(-8., -2.) - 2. * index],
            (wing + mouth) / 2 + [out * (away + rng.uniform(13., 15.)), 0.],
            mouth + [out * (away + 5.), rng.uniform(-12., -4.)]])
        lines.append(replace(
            _through(points, out), depth=DEPTHS['cheek']
            * rng.uniform(.6, 1.), width=rng.uniform(1.8, 2.5),
            waves=_waves(rng, .4), ends=10., **_flutter(rng)))
    return lines


def marionette(rng: np.random.Generator, side: Side,
               unit: float) -> list[Crease]:
    """The line from the corner of the mouth to the chin."""
    out, mouth = side.sign, side.mouth / unit
    points = mouth + np.array([
        [out * rng.uniform(2., 4.), -rng.uniform(2., 4.)],
        [out * rng.uniform(5., 7.), -rng.uniform(11., 13.)],
        [out * rng.uniform(6., 9.), -rng.uniform(19., 25.)]])
    return [replace(_through(points, out), depth=DEPTHS['marionette'],
                    width=rng.uniform(1.4, 1.9), fold=.35, fold_width=3.5,
                    waves=_waves(rng, .25))]


def chin(rng: np.random.Generator, chart: FaceChart) -> list[Crease]:
    """The crease between lower lip and chin."""
    height = chart.landmarks[57, 1] / chart.unit - rng.uniform(8., 10.)
    half = rng.uniform(13., 18.)
    return [Crease((rng.normal(0, .7), height), rng.normal(0, .03), -half,
                   half, DEPTHS['chin'], rng.uniform(1.7, 2.3),
                   bend=-rng.uniform(.004, .010), waves=_waves(rng, .3),
                   ends=8.)]


def scaled(crease: Crease, unit: float) -> Crease:
    """A crease of an average adult on a face of another size."""
    names = ('start', 'stop', 'depth', 'width', 'ends', 'fold_width')
    changes = {name: unit * getattr(crease, name) for name in names}
    return replace(
        crease, **changes, bend=crease.bend / unit,
        origin=(unit * crease.origin[0], unit * crease.origin[1]),
        waves=tuple((unit * a, unit * length, phase)
                    for a, length, phase in crease.waves),
        flutter_wave=(unit * crease.flutter_wave[0],
                      crease.flutter_wave[1]))


#: Region -> the creases across the midline.
ACROSS = dict(forehead=forehead, root=nose_root, chin=chin)
#: Region -> the creases of one side.
ASIDE = dict(glabella=glabella, crow=crow, under_eye=under_eye,
             nasolabial=nasolabial, cheek=cheek, marionette=marionette)


def lay_out(rng: np.random.Generator, chart: FaceChart
            ) -> dict[tuple[str, str], list[Crease]]:
    """All creases of a person.

    Both sides are drawn from the same numbers, then differ a little.

    Args:
        rng: Of the person.
        chart: The neutral head.

    Returns:
        (region, side) -> creases; the side is 'l', 'r' or, for creases
        across the midline, ''.
    """
    unit = chart.unit
    layout = {(name, ''): draw(rng, chart) for name, draw in ACROSS.items()}
    for name, draw in ASIDE.items():
        seed = rng.integers(2**63)
        for key, side in sides(chart).items():
            layout[name, key] = [
                _shaken(rng, line)
                for line in draw(np.random.default_rng(seed), side, unit)]
    return {key: [scaled(line, unit) for line in lines]
            for key, lines in layout.items()}


def _shaken(rng: np.random.Generator, crease: Crease) -> Crease:
    """Slightly another crease: no face is quite symmetric."""
    p, q = crease.origin + rng.normal(0, .5, 2)
    return replace(
        crease, origin=(p, q), angle=crease.angle + rng.normal(0, .035),
        start=crease.start + rng.normal(0, .6),
        stop=crease.stop + rng.normal(0, .8),
        depth=crease.depth * rng.uniform(.75, 1.),
        waves=tuple((a, length, phase + rng.normal(0, .8))
                    for a, length, phase in crease.waves))
