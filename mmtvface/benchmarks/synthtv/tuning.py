# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The One-Euro filter that suits a model."""

from collections.abc import Callable, Mapping, Sequence

from mmtvface.reconstruction.smoothing import (
    Codes,
    SmoothSettings,
    smooth_codes,
)

MIN_CUTOFFS = (.5, 1., 2., 4., 8.)
BETAS = (0., .2, .6, 2.)
IDENTITY_CUTOFFS = (.05, .2, .6, 2.)


def tune(clips: Sequence[Codes],
         score: Callable[[Sequence[Codes]], Mapping[str, float]],
         ) -> tuple[SmoothSettings, list[dict[str, float]]]:
    """The settings with the least jitter that cost no accuracy.

    Identity and motion are tuned one after the other, since they hardly
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
