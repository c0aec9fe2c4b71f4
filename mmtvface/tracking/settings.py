# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How faces are found, followed and cut out."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from mmtvface.utils.settings import Settings, option

#: Which faces are reconstructed.
FACES = ('main', 'all')
#: Names of the detectors of the package, known without importing them.
DETECTORS = ('mediapipe', 'face-alignment')


def detector_names() -> tuple[str, ...]:
    """Names of all detectors, those that others have registered included."""
    loaded = sys.modules.get('mmtvface.tracking.detectors')
    return tuple(dict.fromkeys((*DETECTORS, *getattr(
        loaded, 'DETECTORS', ()))))


@dataclass(frozen=True)
class TrackingSettings(Settings):
    """Settings of the first pass over an input.

    ``detector`` may also be a function: an (H, W, 3) uint8 RGB image in, (68,
    2) pixel indices per face out, called by another thread, one at a time.
    """

    detector: str | Callable | None = option(
        'mediapipe', 'what finds faces where no landmarks are given',
        choices=detector_names)
    faces: str = option(
        'main', 'main: one face per frame, which is followed as long as it '
        'is in sight; of several, the most prominent. all: every face; files '
        'of a frame are named <frame>_track<id>', choices=FACES)
    fill_gaps: int = option(
        0, 'look for a face that is not found for up to N frames between '
        'where it was and where it is afterwards; other such frames have no '
        'result', least=0, metavar='N')
    crop_scale: float | None = option(
        None, 'side of the crop relative to the landmark box (default: as '
        'trained)', above=0)
    crop_sigma: float = option(
        2., 'smoothing of the crop over time, in frames', least=0)
