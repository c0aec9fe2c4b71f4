# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Wrinkles of synthetic people: displacement maps that follow expressions.

Every person has creases of his or her own: their number, course, depth and
how much of them a neutral face keeps. They run where muscles fold the skin
(FACS, Ekman and Friesen 1978): across the forehead (raised brows), between
the brows (frown), around the eyes (smile, squint), from the nose past the
mouth and in the cheeks (smile, sneer), around the chin. The courses are
drawn on the mean head from its landmarks, so that any head of 68 landmarks
has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmtvface.renderers import DetailSurface

from .creases import crease_height
from .face_chart import unroll_face
from .performance import Identity
from .wrinkle_layout import lay_out

_MM = 1e-3
# Coefficient of a named expression at full activation.
_FULL = 2.
# z of the neutral head's normals where it faces the front.
_FRONT = .1
# Half width (mm) in which one side's muscles give way to the other's.
_MIDLINE = 8.
# Part of the face -> expression -> how much it folds that part.
ACTIVATORS: dict[str, dict[str, float]] = {
    'forehead': dict(browouterup=1., browinnerup=.9, eyewide=.5),
    'glabella': dict(browdown=1., nosesneer=.5),
    'eye': dict(smile=.8, eyesquint=1., cheekraiser=.9),
    'fold': dict(smile=1., nosesneer=.8, upperup=.7, cheekraiser=.5,
                 stretch=.4),
    'mouth': dict(frown=1., shruglower=.9, press=.6, stretch=.5,
                  lowerdown=.4),
}
# Part of the face -> regions that fold together.
REGIONS = dict(forehead=('forehead', ), glabella=('glabella', 'root'),
               eye=('crow', 'under_eye'), fold=('nasolabial', 'cheek'),
               mouth=('marionette', 'chin'))
PARTS = tuple(f'{part}_{side}' for part in ACTIVATORS for side in 'lr')


@dataclass(frozen=True)
class WrinkleConfig:
    """Ranges of the wrinkles.

    Attributes:
        depth: Factor on the depth of all creases.
        age: Smallest and largest share of depth that people have.
        rest: Largest share of a crease that stays without expression.
        limit: What displacements approach and never exceed, mm.
        courses: How many different courses the creases take among people;
            None: everybody has their own. A small number is learnt in
            minutes; depth and what a neutral face keeps differ all the same.
    """

    depth: float = 1.
    age: tuple[float, float] = (.35, 1.)
    rest: float = .45
    limit: float = 2.
    courses: int | None = None


def person_generator(identity: Identity,
                     stream: int = 0) -> np.random.Generator:
    """Random numbers that belong to a person.

    Args:
        identity: The person.
        stream: Independent numbers for another purpose.
    """
    seed = (np.asarray(identity.style) * 2**32).astype(np.uint32)
    return np.random.default_rng([*seed.tolist(), *[1] * stream])


class WrinkleModel:
    """Displacement maps of people.

    Args:
        surface: The UV map.
        vertices: (V, 3) mean neutral head, metres.
        landmarks: (68, 3) of it, metres.
        expression_names: Names of the expression coefficients; without them
            creases stay as in a neutral face.
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
        weight = weight * (maps.normals[0, 2] > _FRONT)
        position, normal = (
            part[0].movedim(0, -1).double().numpy() for part in maps)
        self.chart = unroll_face(position, normal, weight.double().numpy(),
                                 landmarks.double().numpy())
        self.weight = weight.flatten()[
            torch.from_numpy(self.chart.texels)].numpy()
        across = np.clip(
            self.chart.points[:, 0] / (self.chart.unit * _MIDLINE), -1, 1)
        self.left = .5 + .25 * across * (3 - across**2)
        self.activators = _activators(expression_names)

    def patterns(self, identity: Identity) -> torch.Tensor:
        """Displacement of each part at full strength.

        Args:
            identity: The person.

        Returns:
            (K, S, S) metres, in the order of :data:`PARTS`.
        """
        layout = lay_out(self._course_generator(identity), self.chart)
        heights = np.zeros((len(PARTS), len(self.chart.texels)))
        for (region, side), lines in layout.items():
            part = next(name for name, regions in REGIONS.items()
                        if region in regions)
            height = np.zeros(len(self.chart.texels))
            for line in lines:
                near, values = crease_height(line, self.chart)
                height[near] += values
            for own, share in dict(l=self.left, r=1 - self.left).items():
                if side in ('', own):
                    heights[PARTS.index(f'{part}_{own}')] += (
                        height if side else height * share)
        heights *= self.config.depth * _MM * self.weight
        flat = np.zeros((len(PARTS), self.size**2), np.float32)
        flat[:, self.chart.texels] = heights
        return torch.from_numpy(flat).view(-1, self.size, self.size)

    def _course_generator(self, identity: Identity) -> np.random.Generator:
        count = self.config.courses
        if count is None:
            return person_generator(identity)
        return np.random.default_rng([68, int(count * identity.style[0])])

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
        rng = person_generator(identity, stream=1)
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
        """Sum of the parts, bounded: (K, S, S), (t, K) -> (t, 1, S, S)."""
        limit = self.config.limit * _MM
        height = torch.einsum('tk,ksr->tsr', strengths, patterns)
        return limit * torch.tanh(height / limit)[:, None]


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
