# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Wrinkles of synthetic people: displacement maps that follow expressions.

Every person has creases of his or her own: their number, course, depth and
how much of them stays at rest. They run where muscles fold the skin (FACS,
Ekman and Friesen 1978): across the forehead (raised brows), between the brows
(frown), beside the eyes (smile, squint) and from the nose to the corners of
the mouth (smile, sneer). The courses are drawn on the mean head from its
landmarks, so that any head of 68 landmarks has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree

from mmtvface.renderers import DetailSurface

from .performance import Identity

_MM = 1e-3
# Coefficient of a named expression at full activation.
_FULL = 2.
# Farther than this many widths from a crease the skin is flat.
_REACH = 5.
# Part of the face -> expression -> how much it folds that part.
ACTIVATORS: dict[str, dict[str, float]] = {
    'forehead': dict(browouterup=1., browinnerup=.9, eyewide=.5),
    'glabella': dict(browdown=1., nosesneer=.5),
    'eye': dict(smile=.8, eyesquint=1., cheekraiser=.9),
    'fold': dict(smile=1., nosesneer=.8, upperup=.7, cheekraiser=.5,
                 stretch=.4),
}
PARTS = tuple(f'{part}_{side}' for part in ACTIVATORS for side in 'lr')


@dataclass(frozen=True)
class WrinkleConfig:
    """Ranges of the wrinkles.

    Attributes:
        depth: Factor on the depth of all creases.
        age: Smallest and largest share of depth that people have.
        rest: Largest share of a crease that stays without expression.
    """

    depth: float = 1.
    age: tuple[float, float] = (.35, 1.)
    rest: float = .45


class Crease(NamedTuple):
    """A fold of the skin.

    Attributes:
        course: (P, 2) x, y of the mean face in millimetres.
        depth: Millimetres.
        width: Millimetres; a Gaussian furrow exp(-(distance / width)^2)
            between two low ridges.
    """

    course: np.ndarray
    depth: float
    width: float


def furrow(distance: np.ndarray) -> np.ndarray:
    """Height of a crease of depth 1 at a distance in widths."""
    return -np.exp(-distance**2) + .4 * np.exp(-(distance - 2.1)**2)


def _curve(points: Sequence[Sequence[float]], count: int = 40) -> np.ndarray:
    """Quadratic Bezier curve, (count, 2)."""
    first, middle, last = (np.asarray(point, float) for point in points)
    t = np.linspace(0, 1, count)[:, None]
    return (1 - t)**2 * first + 2 * t * (1 - t) * middle + t**2 * last


def person_generator(identity: Identity) -> np.random.Generator:
    """Random numbers that belong to a person."""
    return np.random.default_rng(
        (np.asarray(identity.style) * 2**32).astype(np.uint32))


def draw_creases(rng: np.random.Generator, marks: np.ndarray
                 ) -> dict[str, list[Crease]]:
    """The creases of a person at full depth.

    Args:
        rng: Of the person.
        marks: (68, 2) landmarks of the mean face, x and y in millimetres, x
            to the person's left.

    Returns:
        Part (one of :data:`PARTS`) -> creases.
    """
    creases: dict[str, list[Crease]] = {name: [] for name in PARTS}
    brow = marks[17:27, 1].max()
    height = brow + rng.uniform(9, 13)
    bow, half = rng.uniform(-3, 5), rng.uniform(32, 42)
    for _ in range(rng.integers(2, 6)):
        wave = rng.uniform(.5, 1.6), rng.uniform(.06, .16), rng.uniform(0, 6)
        length = half * rng.uniform(.6, 1.05)
        x = np.linspace(-length, length, 90) + rng.uniform(-5, 5)
        y = height + bow * (1 - (x / half)**2) + (
            wave[0] * np.sin(wave[1] * x + wave[2]))
        depth, width = rng.uniform(.4, 1.), rng.uniform(1.3, 2.)
        line = np.stack([x, y], 1)
        # Each side has its muscles: the halves overlap in the middle.
        creases['forehead_l'].append(Crease(line[x > -8], depth, width))
        creases['forehead_r'].append(Crease(line[x < 8], depth, width))
        height += rng.uniform(6.5, 9.5)
    for side, sign, inner, corner, wing, mouth in (
            ('l', 1, 22, 45, 35, 54), ('r', -1, 21, 36, 31, 48)):
        _draw_side(rng, creases, side, sign, marks[inner], marks[corner],
                   marks[wing], marks[mouth])
    return creases


def _draw_side(rng: np.random.Generator, creases: dict[str, list[Crease]],
               side: str, sign: int, inner: np.ndarray, corner: np.ndarray,
               wing: np.ndarray, mouth: np.ndarray) -> None:
    """Creases of one side of the face; sign is that of its x."""
    out = np.array([sign, 1.])  # mirrors (lateral, up) offsets
    for index in range(rng.integers(1, 3)):
        foot = np.array([sign * (5 + 5 * index + rng.uniform(-1, 1)),
                         inner[1] - 5])
        creases[f'glabella_{side}'].append(Crease(_curve([
            foot, foot + out * (rng.uniform(-1, 2), 9),
            foot + out * (rng.uniform(0, 3), rng.uniform(13, 18))]),
            rng.uniform(.4, .9) / (1 + index), rng.uniform(1.3, 1.9)))
    for angle in np.linspace(-.7, .7, rng.integers(3, 6)):
        angle = angle + rng.uniform(-.1, .1)
        toward = np.array([np.cos(angle), np.sin(angle)])
        length = rng.uniform(8, 13)
        start = corner + out * (5 * toward)
        creases[f'eye_{side}'].append(Crease(_curve([
            start, start + out * (length / 2 * toward + (0, -.8)),
            start + out * (length * toward)]), rng.uniform(.3, .7),
            rng.uniform(.9, 1.4)))
    top = wing + out * (rng.uniform(2, 4), rng.uniform(5, 9))
    end = mouth + out * (rng.uniform(6, 10), rng.uniform(-16, -4))
    bend = (top + end) / 2 + out * (rng.uniform(3, 8), rng.uniform(2, 6))
    creases[f'fold_{side}'].append(Crease(
        _curve([top, bend, end]), rng.uniform(.7, 1.4),
        rng.uniform(2.2, 3.2)))


class WrinkleModel:
    """Displacement maps of people.

    Args:
        surface: The atlas.
        vertices: (V, 3) mean head at rest, metres.
        landmarks: (68, 3) of it, metres.
        expression_names: Names of the expression coefficients; without them
            creases stay as they are at rest.
        config: Ranges, or changes to the defaults.
    """

    def __init__(self, surface: DetailSurface, vertices: torch.Tensor,
                 landmarks: torch.Tensor, expression_names: Sequence[str],
                 config: WrinkleConfig | Mapping[str, Any] | None = None
                 ) -> None:
        if not isinstance(config, WrinkleConfig):
            config = WrinkleConfig(**(config or {}))
        self.config = config
        self.size = surface.size
        maps = surface.maps(vertices[None])
        weight = (surface.uv_face_eye_mask * surface.chart_interior)[0, 0]
        front = maps.normals[0, 2] > .1
        texels = (weight > 0) & front
        self.texels = texels.flatten().nonzero()[:, 0].numpy()
        self.weight = weight.flatten()[self.texels].numpy()
        self.places = maps.positions[0].flatten(1).T[self.texels].numpy() / _MM
        self.marks = landmarks.numpy() / _MM
        self._flat = cKDTree(self.places[:, :2])
        self.activators = _activators(expression_names)

    def _onto_skin(self, course: np.ndarray) -> np.ndarray:
        """Points of the skin, (P, 3), that lie at x and y."""
        nearest = self._flat.query(course)[1]
        return np.concatenate([course, self.places[nearest, 2:]], 1)

    def patterns(self, identity: Identity) -> torch.Tensor:
        """Displacement of each part at full strength.

        Args:
            identity: The person.

        Returns:
            (K, S, S) metres, in the order of :data:`PARTS`.
        """
        creases = draw_creases(person_generator(identity), self.marks[:, :2])
        flat = np.zeros((len(PARTS), self.size**2), np.float32)
        for row, name in zip(flat, PARTS, strict=True):
            points, depths, widths = [], [], []
            for crease in creases[name]:
                points.append(self._onto_skin(crease.course))
                # Both ends run out.
                along = np.linspace(-1, 1, len(crease.course))
                depths.append(crease.depth * (1 - along**4))
                widths.append(np.full(len(along), crease.width))
            depth, width = np.concatenate(depths), np.concatenate(widths)
            distance, index = cKDTree(np.concatenate(points)).query(
                self.places, distance_upper_bound=_REACH * width.max())
            near = np.isfinite(distance)
            index = index[near]
            row[self.texels[near]] = self.weight[near] * depth[index] * (
                furrow(distance[near] / width[index]))
        flat *= self.config.depth * _MM
        return torch.from_numpy(flat).view(-1, self.size, self.size)

    def strengths(self, identity: Identity,
                  expression: torch.Tensor) -> torch.Tensor:
        """How far each part is folded.

        Args:
            identity: The person.
            expression: (t, C) coefficients.

        Returns:
            (t, K) in 0..1.
        """
        # a stream of its own, apart from the courses
        rng = person_generator(identity).spawn(1)[0]
        low, high = self.config.age
        age = rng.uniform(low, high)
        rest = torch.from_numpy(
            self.config.rest * age * rng.uniform(.3, 1., len(PARTS))).float()
        active = []
        for name in PARTS:
            level = expression.new_zeros(len(expression))
            for index, weight in self.activators[name].items():
                if index < expression.shape[1]:
                    level = torch.maximum(
                        level, weight * expression[:, index] / _FULL)
            level = level.clamp(0, 1)
            active.append(level * level * (3 - 2 * level))
        return age * (rest + (1 - rest) * torch.stack(active, 1))

    def displacement(self, patterns: torch.Tensor,
                     strengths: torch.Tensor) -> torch.Tensor:
        """Sum of the parts: (K, S, S), (t, K) -> (t, 1, S, S) metres."""
        return torch.einsum('tk,ksr->tsr', strengths, patterns)[:, None]


def _activators(names: Sequence[str]) -> dict[str, dict[int, float]]:
    """Part -> index of an expression coefficient -> weight."""
    found: dict[str, dict[int, float]] = {}
    for part, weights in ACTIVATORS.items():
        for side in 'lr':
            found[f'{part}_{side}'] = {
                index: weights[key]
                for index, name in enumerate(names)
                for key, of_side in [_split_side(name)]
                if key in weights and of_side in ('', side)}
    return found


def _split_side(name: str) -> tuple[str, str]:
    """'browDown_L' -> ('browdown', 'l'); '' where it has no side."""
    key, _, side = name.lower().rpartition('_')
    return (key, side) if key and side in ('l', 'r') else (name.lower(), '')
