# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Writes what gpu_check.py found into docs/gpu.md."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..speed.report import replace_between

BEGIN = '<!-- gpu_check begin -->'
END = '<!-- gpu_check end -->'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; none without rows."""
    rows = [' | '.join(row) for row in rows]
    if not rows:
        return []
    return [f'| {" | ".join(head)} |', '|' + '---|' * len(head),
            *(f'| {row} |' for row in rows), '']


def number(value: float | None, factor: float = 1., unit: str = '') -> str:
    """Three significant digits, or a dash."""
    if value is None or value != value:
        return '-'
    value *= factor
    text = f'{value:,.0f}' if abs(value) >= 100 else f'{value:.3g}'
    return text + unit


def cell(text: str) -> str:
    """Text that does not end a cell."""
    return ' '.join(text.replace('|', '/').split())


def with_key(part: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Records that came as far as this."""
    return [record for record in part['records'] if key in record]


def tests_lines(part: dict[str, Any]) -> list[str]:
    """How many tests passed."""
    outcomes = [record.get('outcome', 'not run')
                for record in part['records']]
    counts = ', '.join(f'{outcomes.count(name)} {name}' for name in (
        'passed', 'failed', 'skipped', 'not run') if name in outcomes)
    return [f'Tests: {counts or "none ran"}.', '']


def rasterizer_lines(part: dict[str, Any]) -> list[str]:
    """Times of the rasterizers."""
    return table(
        ('rasterizer', 'forward', 'forward + backward', 'device busy',
         'triangles/s', 'bytes/s, at least', 'memory'),
        ((record['name'], number(record['forward_ms'], unit=' ms'),
          number(record['forward_backward_ms'], unit=' ms'),
          number(record.get('busy_ms'), unit=' ms'),
          number(record['triangles_per_second'], 1e-6, ' M'),
          number(record['bytes_per_second'], 1e-9, ' GB'),
          number(record['peak_gib'], unit=' GiB'))
         for record in with_key(part, 'forward_ms')))


def steps_lines(part: dict[str, Any]) -> list[str]:
    """Times of the training steps, and what the card can do."""
    lines = []
    for record in with_key(part, 'copy'):
        products = ', '.join(f'{kind} {number(record[kind], 1e-12)}'
                             for kind in ('bf16', 'tf32', 'float32'))
        lines += [
            f'Ceilings: large products {products} TFLOP/s, a large copy '
            f'{number(record["copy"], 1e-9)} GB/s. The floor of a step is '
            'the longer of its FLOP and of the bytes of its operators, '
            'unfused, at these.', '']
    records = with_key(part, 'ms')
    lines += table(
        ('step of 2 x 5 x 224', 'time', 'device busy', 'floor', 'memory',
         'TFLOP/s', 'GB/s', 'waits', 'waits of the driver, 1 the '
         'profiler\'s'),
        ((record['name'], number(record['ms'], unit=' ms'),
          number(record.get('busy_ms'), unit=' ms'),
          number(record.get('floor_ms'), unit=' ms'),
          number(record['peak_gib'], unit=' GiB'),
          number(record.get('flops_per_second'), 1e-12),
          number(record.get('bytes_per_second'), 1e-9),
          number(record.get('waits')), number(record.get('driver_waits')))
         for record in records))
    for record in with_key(part, 'kernels')[:2]:
        kernels = ', '.join(
            f'`{cell(kernel["name"])[:60]}` {100 * kernel["share"]:.0f} %'
            for kernel in record['kernels'])
        lines += [f'Kernels of {record["name"]}: {kernels}.', '']
    return lines


def data_lines(part: dict[str, Any]) -> list[str]:
    """Rates of what makes and reads clips."""
    return table(
        ('clips', 'frames/s', 'memory'),
        ((record['name'], number(record['frames_per_second']),
          number(record.get('peak_gib'), unit=' GiB'))
         for record in with_key(part, 'frames_per_second')))


def reconstruct_lines(part: dict[str, Any]) -> list[str]:
    """The command from start to end."""
    return [line for record in with_key(part, 'seconds') for line in (
        f'`mmtvface reconstruct`, 720p, {record["name"]}: '
        f'{record["frames"]} frames in {number(record["seconds"])} s from '
        'start to end, device memory '
        f'{number(record["device_memory_gib"], unit=" GiB")}.', '')]


def training_lines(part: dict[str, Any]) -> list[str]:
    """How far a training came."""
    lines = []
    for record in with_key(part, 'iterations'):
        finite = {True: 'finite', False: 'NOT finite'}.get(
            record.get('finite'), 'not looked at')
        lines += [
            f'Training on rendered clips: {record["iterations"]} batches '
            f'in {number(record["seconds"])} s, '
            f'{number(record["frames_per_minute"])} frames a minute, '
            f'{number(record["share_of_time_for_data"], 100)} % of the time '
            f'waiting for data; losses and weights: {finite}.', '']
    curve = with_key(part, 'losses')
    if curve:
        shown = curve[::max(1, len(curve) // 8)]
        names = list(shown[0]['losses'])
        lines += table(
            ('batch', *names),
            ((record['name'].split()[1], *(
                number(record['losses'].get(name)) for name in names))
             for record in shown))
    return lines


def goals(parts: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Goal, what was measured and whether that meets it."""
    def value(part: str, name: str, key: str) -> float | None:
        for record in parts.get(part, dict(records=[]))['records']:
            if record['name'] == name:
                return record.get(key)
        return None

    step = 'temporal_deca coarse, bf16'
    times = [value('steps', name, 'ms')
             for name in (step, f'{step}, channels last')]
    floor = value('steps', step, 'floor_ms')
    ratio = min(filter(None, times)) / floor if any(times) and floor else None
    rows = (
        ('rasterizer, 10 x 224, forward + backward, ms', 'at most', 1, value(
            'rasterizer', 'triton, 10 x 224', 'forward_backward_ms')),
        (f'{step}: time over its floor', 'at most', 2, ratio),
        (f'{step}: waits', 'at most', 0, value('steps', step, 'waits')),
        ('frames per second drawn by ClipRenderer', 'at least', 5000, value(
            'data', 'pictures by ClipRenderer, 112 pixels',
            'frames_per_second')))

    def answer(bound: str, limit: float, found: float | None) -> str:
        if found is None:
            return 'not measured'
        met = found >= limit if bound == 'at least' else found <= limit
        return 'met' if met else 'missed'

    return [(f'{name}, {bound} {limit}', number(found),
             answer(bound, limit, found))
            for name, bound, limit, found in rows]


LINES = {'tests': tests_lines, 'rasterizer': rasterizer_lines,
         'steps': steps_lines, 'data': data_lines,
         'reconstruct': reconstruct_lines, 'training': training_lines}


def problems(report: dict[str, Any]) -> list[str]:
    """What failed or was never reached, one line each."""
    found = [report['error']] if report['error'] else []
    if 'mmagic_error' in report['environment']:
        found.append('without mmagic there is no temporal_deca: '
                     + report['environment']['mmagic_error'])
    for name, part in report['parts'].items():
        if part['status'] in ('failed', 'out of time', 'not reached'):
            found.append(f'{name}: ' + part.get('error', part['status']))
        for record in part['records']:
            if 'error' in record:
                found.append(f'{name}, {record["name"]}: {record["error"]}')
            elif set(record) == {'name'}:
                found.append(f'{name}, {record["name"]}: not reached')
    return found


def section(report: dict[str, Any]) -> list[str]:
    """The lines of the page that the report decides about."""
    found = report['environment']
    if 'card' not in found:
        raise ValueError('This report is of a run without a GPU; the page '
                         'shows what a GPU did.')
    lines = [
        f'{found["date"]}, {found["card"]} '
        f'({number(found["memory_gib"])} GiB), torch {found["torch"]}, CUDA '
        f'{found["cuda"]}, triton {found["triton"]}, Python '
        f'{found["python"]}, {found["cores"]} cores; `gpu_check.py`'
        f'{" --quick" if report["mode"] == "quick" else ""}; all statistics: '
        '[gpu_check.json](gpu_check.json).', '']
    lines += table(('goal', 'measured', ''), goals(report['parts']))
    for name, part in report['parts'].items():
        lines += LINES[name](part)
    lines += table(
        ('part', 'how it ended', 'seconds'),
        ((name, part['status'], number(part.get('seconds')))
         for name, part in report['parts'].items()))
    bad = problems(report)
    lines += ['Failed or never reached:', ''] + [
        f'* {cell(line)}' for line in bad] if bad else ['Nothing failed.']
    return lines


def write_page(page: Path, report: dict[str, Any]) -> None:
    """Replace what stands between the marks of the page.

    The report is written beside it, as ``gpu_check.json``.

    Raises:
        ValueError: If the page lacks the marks, or the report is of a run
            without a GPU.
    """
    replace_between(page, (BEGIN, END), '\n'.join([*section(report), '']))
    (page.parent / 'gpu_check.json').write_text(
        json.dumps(report, indent=1) + '\n')
