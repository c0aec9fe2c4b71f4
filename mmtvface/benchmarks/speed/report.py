# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Tables of the benchmark's results, and its goals."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

MARKERS = ('<!-- benchmark: begin -->', '<!-- benchmark: end -->')
GB_PER_GIB = 2**30 / 1e9


class Goal(NamedTuple):
    """A limit for a case, on two cores.

    Attributes:
        case: Beginning of the case's name; a comma or the end follows.
        limit: Milliseconds, GB or frames/s.
        unit: ``'ms'`` or ``'GB'`` at most, ``'frames/s'`` at least.
    """

    case: str
    limit: float
    unit: str = 'ms'

    def measured(self, row: Mapping[str, Any]) -> float:
        """What is compared with the limit."""
        if self.unit == 'GB':
            return row['peak_gib'] * GB_PER_GIB
        if self.unit == 'frames/s':
            return 1e3 / row['median_ms']
        return row['median_ms']

    def reached(self, row: Mapping[str, Any]) -> bool:
        """Whether a case keeps the limit."""
        value = self.measured(row)
        return (value >= self.limit if self.unit == 'frames/s'
                else value <= self.limit)

    def __str__(self) -> str:
        sign = '≥' if self.unit == 'frames/s' else '≤'
        return f'{sign} {self.limit:g} {self.unit}'


# The published code on two cores: a coarse step of 95 s with 11 GB, a detail
# step of 224 s with 17 GB, an encoder of 10.3 s, a texture of 1.5 s.
GOALS = (
    Goal('temporal coarse step', 30_000),
    Goal('temporal coarse step', 11 / 3, 'GB'),
    Goal('temporal detail step', 45_000),
    Goal('temporal detail step', 17 / 3, 'GB'),
    Goal('TemporalResNet-50 forward', 7500),
    Goal('stream of 112 pixels: lite encoder, codes, head of a frame', 25,
         'frames/s'),
    Goal('deformable op', 70),
    Goal('FLAME, 40 heads', 5),
    Goal('FLAMETexture + backward, 10 maps', 20),
    Goal('numba, 10 images', 20),
    Goal('UV map of 10 heads', 5),
    Goal('clips from folders', 400, 'frames/s'),
    Goal('clips from packed', 400, 'frames/s'),
    Goal('clips of a 720p video', 25, 'frames/s'),
)


def goals_of(name: str) -> list[Goal]:
    """The goals of a case."""
    return [goal for goal in GOALS
            if name == goal.case or name.startswith((f'{goal.case},',
                                                     f'{goal.case} ('))]


def goal_cells(row: Mapping[str, Any]) -> tuple[str, str]:
    """Goals of a case and whether they are reached, as text."""
    goals = [goal for goal in goals_of(row['name'])
             if goal.unit != 'GB' or 'peak_gib' in row]
    answers = ['yes' if goal.reached(row) else 'no' for goal in goals]
    return ', '.join(map(str, goals)), ', '.join(answers)


def show(console: Console, section: str, result: dict[str, Any]) -> None:
    """Print a section."""
    if 'skipped' in result:
        console.print(f'{section}: skipped, {result["skipped"]}',
                      markup=False)
        return
    table = Table(title=section, title_justify='left')
    table.add_column('case')
    for heading in ('median ms', 'min ms', 'faster than baseline',
                    'peak memory', 'goal', 'reached'):
        table.add_column(heading, justify='right')
    for row in result['rows']:
        table.add_row(
            row['name'], f'{row["median_ms"]:.1f}', f'{row["min_ms"]:.1f}',
            f'{row["ratio"]:.1f} x' if row['ratio'] else '',
            f'{row["peak_gib"]:.1f} GiB' if 'peak_gib' in row else '',
            *goal_cells(row))
    console.print(table)


def _cells(report: Mapping[str, Any]) -> Iterator[list[str]]:
    for section in report['sections'].values():
        rows = {row['name']: row for row in section.get('rows', ())}
        baselines = {row['baseline'] for row in rows.values()}
        for name, row in rows.items():
            if name in baselines and not row['baseline']:
                continue
            other = rows.get(row['baseline'])
            yield [
                name, f'{row["median_ms"]:.1f}',
                f'{other["name"]}: {other["median_ms"]:.0f}' if other else '',
                f'{row["ratio"]:.1f}' if row['ratio'] else '',
                f'{row["peak_gib"]:.1f} GiB' if 'peak_gib' in row else '',
                *goal_cells(row)]


def markdown(report: Mapping[str, Any]) -> str:
    """The table of docs/benchmarks.md."""
    lines = ['| case | ms | baseline: ms | times faster | peak memory | goal '
             '| reached |', '|---|---|---|---|---|---|---|']
    lines += [f'| {" | ".join(cells)} |' for cells in _cells(report)]
    return '\n'.join(lines) + '\n'


def replace_between(page: Path, markers: tuple[str, str], text: str) -> None:
    """Put text, which ends with a line, between the markers of a page.

    Raises:
        ValueError: If the page has no place for it.
    """
    old = page.read_text()
    if [old.count(marker) for marker in markers] != [1, 1] or (
            old.index(markers[0]) > old.index(markers[1])):
        raise ValueError(f'{page} must hold the lines {markers[0]} and '
                         f'{markers[1]} once, in this order.')
    before, rest = old.split(markers[0])
    after = rest.split(markers[1])[1]
    page.write_text(f'{before}{markers[0]}\n{text}{markers[1]}{after}')


def renew_page(page: Path, results: Path) -> None:
    """Put the table of a JSON file between the markers of a page.

    Raises:
        FileNotFoundError: If there is no such JSON file.
        ValueError: If the page has no place for the table.
    """
    if not results.is_file():
        raise FileNotFoundError(
            f'{results} does not exist. Run python '
            'tools/analysis_tools/benchmark.py --docs, which writes it.')
    replace_between(page, MARKERS,
                    markdown(json.loads(results.read_text())))
