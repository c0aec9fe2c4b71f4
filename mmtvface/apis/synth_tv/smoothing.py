# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Smoothing of codes by the One-Euro filter, and its tuning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from mmtvface.preprocessing.one_euro import one_euro

Codes = Mapping[str, torch.Tensor]

# Units in which codes move about equally much, so that one speed means the
# same for all of them.
_UNITS: dict[str, tuple[float, ...]] = {
    'pose': (.3, ), 'cam': (.5, .02, .02), 'light': (.3, )}
_IDENTITY = ('shape', 'tex')
MIN_CUTOFFS = (.5, 1., 2., 4., 8.)
BETAS = (0., .2, .6, 2.)
IDENTITY_CUTOFFS = (.05, .2, .6, 2.)


@dataclass(frozen=True)
class SmoothSettings:
    """Settings of the filter.

    Attributes:
        min_cutoff: Cutoff in Hz of what moves, at rest.
        beta: Hz of cutoff per unit and second of speed. A unit is 1 of an
            expression coefficient, 0.3 of a rotation in radians or of the
            light, 0.5 of the camera's scale, 0.02 of its shift.
        identity_cutoff: Cutoff in Hz of shape and albedo, which do not move.
    """

    min_cutoff: float = 2.
    beta: float = .2
    identity_cutoff: float = .2


def smooth_codes(codes: Codes, settings: SmoothSettings,
                 fps: float = 25.) -> dict[str, torch.Tensor]:
    """Filter the codes of a clip over time, causally.

    Args:
        codes: Name -> (t, ...).
        settings: Of the filter.
        fps: Frames per second.

    Returns:
        The same, smoothed. Axis-angles are filtered as vectors, which is
        exact enough for heads that turn by less than a right angle.
    """
    smoothed = {}
    for name, value in codes.items():
        unit = value.new_tensor(_UNITS.get(name, (1., ))).double()
        still = name in _IDENTITY
        series = one_euro(
            (value.double() / unit).numpy(), fps,
            settings.identity_cutoff if still else settings.min_cutoff,
            0. if still else settings.beta)
        smoothed[name] = (torch.from_numpy(series) * unit).to(value)
    return smoothed


def tune(clips: Sequence[Codes],
         score: Callable[[Sequence[Codes]], Mapping[str, float]],
         ) -> tuple[SmoothSettings, list[dict[str, float]]]:
    """The settings with the least jitter that cost no accuracy.

    Identity and movement are tuned one after the other, since they hardly
    depend on each other.

    Args:
        clips: Codes of each clip.
        score: Means of ``posed_mm`` and ``jitter_mm`` of such clips.

    Returns:
        Of the settings whose ``posed_mm`` is not above that of the raw codes
        those with the least ``jitter_mm`` (if there are none, those with the
        least ``posed_mm``); and everything that was tried.
    """
    limit = score(clips)['posed_mm']
    tried: list[dict[str, float]] = []

    def best(options: Sequence[SmoothSettings]) -> SmoothSettings:
        scored = []
        for option in options:
            means = score([smooth_codes(codes, option) for codes in clips])
            found = {key: means[key] for key in ('posed_mm', 'jitter_mm')}
            tried.append(vars(option) | found)
            scored.append((found, option))
        good = [pair for pair in scored if pair[0]['posed_mm'] <= limit]
        key = 'jitter_mm' if good else 'posed_mm'
        return min(good or scored, key=lambda pair: pair[0][key])[1]

    start = SmoothSettings()
    moving = best([SmoothSettings(cutoff, beta, start.identity_cutoff)
                   for cutoff in MIN_CUTOFFS for beta in BETAS])
    return best([SmoothSettings(moving.min_cutoff, moving.beta, cutoff)
                 for cutoff in IDENTITY_CUTOFFS]), tried
