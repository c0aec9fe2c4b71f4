# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Charts and tables of results."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.utils.atomic import atomic_path
from mmtvface.utils.deps import require

from .functional.motion import Line, join_windows, mean_by_position


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


_MOST_CLIPS = 6


def clip_context(sample: Mapping[str, Any], num_frames: int
                 ) -> dict[str, Any]:
    """Where the frames of a sample belong.

    Args:
        sample: With ``clip_id``, ``frame_indices`` and ``fps``, if there are.
        num_frames: t.

    Returns:
        ``clip`` (''  if unknown), ``frames`` (t,) int64 and ``fps`` or None.
    """
    frames = sample.get('frame_indices')
    if frames is None or len(frames) != num_frames:
        frames = range(num_frames)
    return dict(clip=str(sample.get('clip_id', '')),
                frames=np.asarray(frames, np.int64), fps=sample.get('fps'))


def cumulative_chart(errors: Mapping[str, np.ndarray], name: str, title: str,
                     x_label: str) -> Chart | None:
    """Cumulative curves of groups of errors; None without any.

    Args:
        errors: Label -> (N,) finite.
        name: See :class:`Chart`.
        title: See :class:`Chart`.
        x_label: See :class:`Chart`.
    """
    errors = {label: values for label, values in errors.items()
              if len(values)}
    if not errors:
        return None
    limit = max(float(np.quantile(values, .99)) for values in errors.values())
    limit = limit or 1.
    return Chart(name, title, x_label, 'percent of the frames', {
        f'{label} ({len(values)})': cumulative_curve(values, limit)
        for label, values in errors.items()}, limits=limit)


def place_chart(values: Sequence[np.ndarray], name: str, title: str,
                y_label: str) -> Chart | None:
    """Mean by the position in the window that the model saw.

    None if the windows are single frames.
    """
    if max((len(value) for value in values), default=0) < 2:
        return None
    line = mean_by_position([np.arange(len(v)) for v in values], values)
    if not len(line[0]):
        return None
    label = f'mean of {len(values)} windows'
    return Chart(name, title, 'frame of the window', y_label, {label: line})


def time_chart(contexts: Sequence[Mapping[str, Any]],
               values: Sequence[np.ndarray], name: str, title: str,
               y_label: str) -> Chart | None:
    """Values over the time of whole clips, joined from their windows.

    Up to six clips are drawn one by one, of more the mean, the median and
    the 90th percentile. None if no clip has two frames.

    Args:
        contexts: Of every window, see :func:`clip_context`.
        values: Of every window, (t,) each.
        name: See :class:`Chart`.
        title: See :class:`Chart`.
        y_label: See :class:`Chart`.
    """
    # Windows without a name are clips of their own.
    names = [context['clip'] or f'#{index}'
             for index, context in enumerate(contexts)]
    clips = join_windows(names, [c['frames'] for c in contexts], values)
    rates = {rate for context in contexts if (rate := context['fps'])}
    known = all(context['fps'] for context in contexts)
    if known:
        speed = dict(zip(names, (c['fps'] for c in contexts), strict=True))
        clips = {clip: (frames / float(speed[clip]), line)
                 for clip, (frames, line) in clips.items()}
    clips = {clip: line for clip, line in clips.items()
             if np.isfinite(line[1]).sum() > 1}
    if not clips:
        return None
    lines = clips if len(clips) <= _MOST_CLIPS else _spread(
        clips, 1 / max(rates) if known else 1.)
    return Chart(name, title, 'seconds' if known else 'frame', y_label, lines)


def _spread(clips: Mapping[str, Line], step: float) -> dict[str, Line]:
    """Mean, median and 90th percentile of clips at each time."""
    where = np.concatenate([line[0] for line in clips.values()])
    what = np.concatenate([line[1] for line in clips.values()])
    good = np.isfinite(what)
    slots = np.rint(where[good] / step).astype(np.int64)
    order = np.argsort(slots, kind='stable')
    slots, what = slots[order], what[good][order]
    places, starts = np.unique(slots, return_index=True)
    groups = np.split(what, starts[1:])
    return {
        f'{label} of {len(clips)} clips': (
            places * step, np.array([measure(group) for group in groups]))
        for label, measure in (
            ('mean', np.mean), ('median', np.median),
            ('90th percentile', lambda group: np.quantile(group, .9)))}


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


def markdown_table(headers: Sequence[str],
                   rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are padded; all but the first align right.

    Raises:
        ValueError: If a row is not as long as the headers.
    """
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f'A row must have {len(headers)} cells as the '
                             f'headers {tuple(headers)}, but it is '
                             f'{tuple(row)}.')
    cells = [[str(cell).replace('|', '\\|') for cell in row]
             for row in (headers, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells))
              for i in range(len(headers))]

    def line(row: Sequence[str]) -> str:
        padded = [row[0].ljust(widths[0]), *(
            cell.rjust(width)
            for cell, width in zip(row[1:], widths[1:], strict=True))]
        return '| ' + ' | '.join(padded) + ' |'

    rule = '|'.join([':' + '-' * (widths[0] + 1), *(
        '-' * (width + 1) + ':' for width in widths[1:])])
    return '\n'.join([line(cells[0]), f'|{rule}|',
                      *(line(row) for row in cells[1:])]) + '\n'
