# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Charts as PNG files, by matplotlib."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mmtvface.utils.atomic import atomic_path
from mmtvface.utils.deps import require

from .charts import Chart

# Of one lightness, told apart by the colour blind too (Okabe and Ito).
_COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9',
            '#000000', '#8c6d31')


def save_chart(chart: Chart, path: str | os.PathLike) -> None:
    """Draw a chart.

    Args:
        chart: What is drawn.
        path: PNG file; its folder must exist.

    Raises:
        ImportError: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    require('matplotlib', 'Drawing charts', 'pip install matplotlib')
    # Figures without pyplot need no display and leave no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if chart.bars:
        _draw_bars(axes, chart)
    else:
        _draw_lines(axes, chart)
    axes.set_title(chart.title, fontsize=11)
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    axes.set_axisbelow(True)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    with atomic_path(path) as part:
        figure.savefig(part, format='png')


def _draw_lines(axes, chart: Chart) -> None:
    for index, (label, (x, y)) in enumerate(chart.lines.items()):
        color = _COLORS[index % len(_COLORS)]
        style = '-' if index < len(_COLORS) else '--'
        marker = 'o' if len(x) <= 12 else None
        axes.plot(x, y, style, color=color, label=label, marker=marker,
                  markersize=4, linewidth=1.6)
    values = np.concatenate([y for _, y in chart.lines.values()] or [[]])
    values = values[np.isfinite(values)]
    if len(values):
        low, high = min(0., values.min()), max(0., values.max())
        axes.set_ylim(low, high + .06 * (high - low or 1.))
    if chart.x_label.startswith('frame'):
        axes.xaxis.get_major_locator().set_params(integer=True)
    if chart.limits is not None:
        axes.set_xlim(0, chart.limits)
    axes.grid(color='#dddddd', linewidth=.7)
    if chart.lines:
        axes.legend(frameon=False, fontsize=9)


def _draw_bars(axes, chart: Chart) -> None:
    heights = list(chart.bars.values())
    drawn = axes.bar(list(chart.bars), np.nan_to_num(heights), width=.6,
                     color=_COLORS[0])
    axes.bar_label(drawn, [f'{height:.3g}' if np.isfinite(height) else 'none'
                           for height in heights], fontsize=9, padding=2)
    axes.grid(axis='y', color='#dddddd', linewidth=.7)


def save_charts(charts: Iterable[Chart],
                folder: str | os.PathLike) -> list[Path]:
    """Draw charts as ``<folder>/<name>.png``.

    Returns:
        The files.
    """
    files = []
    for chart in charts:
        name = re.sub(r'[^\w.-]+', '_', chart.name)
        files.append(Path(folder) / f'{name}.png')
        save_chart(chart, files[-1])
    return files
