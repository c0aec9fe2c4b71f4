# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Curves that are drawn from results, as plain numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Chart:
    """A plot: named lines, or named bars.

    Attributes:
        name: Of the file that it is written to.
        title: Heading.
        x_label: Of the horizontal axis.
        y_label: Of the vertical axis.
        lines: Label -> (x, y), equally long; NaN interrupts a line.
        bars: Label -> height. A chart has lines or bars.
        limits: Largest x that is shown; None: all.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    lines: dict[str, tuple[np.ndarray, np.ndarray]] = field(
        default_factory=dict)
    bars: dict[str, float] = field(default_factory=dict)
    limits: float | None = None

    def plain(self) -> dict[str, Any]:
        """As lists and numbers for JSON; None stands for NaN."""
        return dict(
            name=self.name, title=self.title, x_label=self.x_label,
            y_label=self.y_label,
            lines={label: dict(x=_plain(x), y=_plain(y))
                   for label, (x, y) in self.lines.items()},
            bars={label: _plain([height])[0]
                  for label, height in self.bars.items()})


def _plain(values: Sequence[float] | np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def cumulative_curve(errors: np.ndarray, limit: float | None = None,
                     num_points: int = 201
                     ) -> tuple[np.ndarray, np.ndarray]:
    """Which part of the errors is at most as large as a threshold.

    Args:
        errors: (N,) finite, N > 0.
        limit: Largest threshold; default: the 99.5th percentile.
        num_points: Of the curve.

    Returns:
        Thresholds (num_points,) from 0 on, and percent (num_points,).

    Raises:
        ValueError: If there are no errors.
    """
    errors = np.sort(np.asarray(errors).ravel())
    if not len(errors):
        raise ValueError('A cumulative curve needs at least one error.')
    if limit is None:
        limit = float(np.quantile(errors, .995))
    thresholds = np.linspace(0, limit, num_points)
    # Comparing in the type of the errors keeps ties exact.
    counts = np.searchsorted(errors, thresholds.astype(errors.dtype),
                             side='right')
    return thresholds, 100 * counts / len(errors)
