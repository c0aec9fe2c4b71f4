# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Results of the NoW protocol as numbers, charts and a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..charts import Chart, cumulative_curve
from .benchmark import MethodErrors

HEADERS = ('method', 'challenge', 'images', 'median', 'mean', 'std')


def statistics(distances: np.ndarray) -> dict[str, float | None]:
    """Median, mean and standard deviation; None of nothing.

    Args:
        distances: (N,) mm.
    """
    if not len(distances):
        return dict(median_mm=None, mean_mm=None, std_mm=None)
    return dict(median_mm=float(np.median(distances)),
                mean_mm=float(distances.mean(dtype=np.float64)),
                std_mm=float(distances.std(dtype=np.float64)))


def summarise(method: MethodErrors) -> dict[str, Any]:
    """Results of a method, over all points of all images, in mm.

    Returns:
        ``median_mm``, ``mean_mm``, ``std_mm``, ``points``, ``images``,
        ``challenges`` (the same for each), ``per_image`` (key -> the same),
        ``skipped`` (key -> reason) and ``complete`` (nothing was skipped).
    """
    def part(challenge: str | None) -> dict[str, Any]:
        distances = method.distances(challenge)
        number = sum(challenge in (None, image.prediction.challenge)
                     for image in method.measured)
        return statistics(distances) | dict(images=number,
                                            points=len(distances))

    return part(None) | dict(
        challenges={name: part(name) for name in method.challenges()},
        per_image={
            image.prediction.key: statistics(image.distances) | dict(
                points=len(image.distances),
                landmark_mm=float(image.landmark_mm),
                converged=image.converged)
            for image in method.measured},
        skipped={image.prediction.key: image.reason
                 for image in method.skipped},
        complete=not method.skipped)


def table_rows(summaries: dict[str, dict[str, Any]]
               ) -> list[tuple[str, ...]]:
    """Rows below ``HEADERS``, mm, from name -> :func:`summarise`."""
    rows = []
    for name, summary in summaries.items():
        parts = {'all': summary}
        # A single challenge is all.
        if len(summary['challenges']) > 1:
            parts |= summary['challenges']
        for challenge, part in parts.items():
            numbers = (part[key] for key in ('median_mm', 'mean_mm',
                                             'std_mm'))
            rows.append((name, challenge or '-', str(part['images']), *(
                '-' if number is None else f'{number:.3f}'
                for number in numbers)))
    return rows


def error_chart(methods: Sequence[MethodErrors]) -> Chart | None:
    """Cumulative error curves of several methods; None without any error."""
    errors = {method.name: method.distances() for method in methods}
    errors = {name: values for name, values in errors.items() if len(values)}
    if not errors:
        return None
    # One range for all, so that they can be compared.
    limit = max(float(np.quantile(values, .99)) for values in errors.values())
    lines = {}
    for name, values in errors.items():
        label = f'{name} (median {np.median(values):.3g} mm)'
        lines[label] = cumulative_curve(values, limit or 1.)
    return Chart('cumulative_error', 'Scan-to-mesh distance',
                 'distance in mm', 'percent of the points', lines,
                 limits=limit or 1.)
