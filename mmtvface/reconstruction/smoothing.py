# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Smoothing of codes over time."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from mmtvface.utils.one_euro import one_euro

Codes = Mapping[str, torch.Tensor]
IDENTITY = ('shape', 'tex', 'detail')
"""Codes of the person, which do not move."""

# Units in which codes move about equally much, so that one speed means the
# same for all of them.
_UNITS: dict[str, tuple[float, ...]] = {
    'pose': (.3, ), 'cam': (.5, .02, .02), 'light': (.3, )}
_SAVGOL_WINDOW, _SAVGOL_ORDER = 9, 2


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
        still = name in IDENTITY
        series = one_euro(
            (value.double() / unit).numpy(), fps,
            settings.identity_cutoff if still else settings.min_cutoff,
            0. if still else settings.beta)
        smoothed[name] = (torch.from_numpy(series) * unit).to(value)
    return smoothed


def smooth_run(codes: Codes, method: str, fps: float
               ) -> dict[str, torch.Tensor]:
    """Codes of successive frames, the noise of their motion filtered off.

    Args:
        codes: Name -> (t, ...); those of the person stay as they are.
        method: 'one-euro' (causal), or 'savgol': the filter of Savitzky and
            Golay, parabolas over nine frames, without lag.
        fps: Frames per second.
    """
    moving = {name: code for name, code in codes.items()
              if name not in IDENTITY and code[0].numel()}
    if method == 'one-euro':
        return {**codes, **smooth_codes(moving, SmoothSettings(), fps)}
    count = len(codes['pose'])
    width = min(_SAVGOL_WINDOW, count - (count + 1) % 2)
    if width <= _SAVGOL_ORDER:
        return dict(codes)
    # scipy.signal takes half a second to import
    from scipy.signal import savgol_filter
    return {**codes, **{
        name: torch.from_numpy(savgol_filter(
            code.double().numpy(), width, _SAVGOL_ORDER, axis=0)).to(code)
        for name, code in moving.items()}}
