# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Writes what gpu_check.py found into docs/gpu.md."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

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


def good(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Records of measurements that came about."""
    return [record for record in part['records']
            if 'error' not in record and 'left_out' not in record]


def tests_lines(part: dict[str, Any]) -> list[str]:
    """How many tests passed."""
    outcomes = [record.get('outcome', 'failed')
                for record in part['records']]
    counts = ', '.join(f'{outcomes.count(name)} {name}' for name in (
        'passed', 'failed', 'skipped') if name in outcomes)
    return [f'Tests: {counts or "none ran"}.', '']


def rasterizer_lines(part: dict[str, Any]) -> list[str]:
    """Times of the rasterizers."""
    return table(
        ('rasterizer', 'forward', 'forward + backward', 'triangles/s',
         'least bytes/s', 'memory'),
        ((record['name'], number(record['forward_ms'], unit=' ms'),
          number(record['forward_backward_ms'], unit=' ms'),
          number(record['triangles_per_second'], 1e-6, ' M'),
          number(record['bytes_per_second'], 1e-9, ' GB'),
          number(record['peak_gib'], unit=' GiB')) for record in good(part)))


def steps_lines(part: dict[str, Any]) -> list[str]:
    """Times of the training steps, and what the card can do."""
    lines, records = [], good(part)
    for record in records:
        if record['name'] == 'ceilings':
            lines += [
                'Ceilings: a bf16 product '
                f'{number(record["flops_per_second"], 1e-12)} TFLOP/s, a '
                f'copy {number(record["bytes_per_second"], 1e-9)} GB/s. The '
                'floor of a step is the longer of its FLOP and of the bytes '
                'of its operators, unfused, at these.', '']
    records = [record for record in records if 'ms' in record]
    lines += table(
        ('step of 2 x 5 x 224', 'time', 'floor', 'memory', 'TFLOP/s', 'GB/s',
         'waits'),
        ((record['name'], number(record['ms'], unit=' ms'),
          number(record['floor_ms'], unit=' ms'),
          number(record['peak_gib'], unit=' GiB'),
          number(record['flops_per_second'], 1e-12),
          number(record['bytes_per_second'], 1e-9),
          '-' if record['waits'] is None else str(record['waits']))
         for record in records))
    for record in records[:2]:
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
         for record in good(part)))


def reconstruct_lines(part: dict[str, Any]) -> list[str]:
    """The command from start to end."""
    return [line for record in good(part) for line in (
        f'`mmtvface reconstruct`, 720p, {record["input"]}: '
        f'{record["frames"]} frames in {number(record["seconds"])} s from '
        'start to end, device memory '
        f'{number(record["device_memory_gib"], unit=" GiB")}.', '')]


def training_lines(part: dict[str, Any]) -> list[str]:
    """How far a training came."""
    curve = [record for record in good(part) if record['name'] == 'losses']
    lines = []
    for record in good(part):
        if record['name'] == 'training':
            finite = 'finite' if record['finite'] else 'NOT finite'
            lines += [
                f'Training on rendered clips: {record["iterations"]} batches '
                f'in {number(record["seconds"])} s, '
                f'{number(record["frames_per_minute"])} frames a minute; '
                f'all weights {finite}.', '']
    if curve:
        shown = curve[::max(1, len(curve) // 8)]
        names = list(shown[0]['losses'])
        lines += table(
            ('batch', *names),
            ((str(record['iteration']), *(
                number(record['losses'].get(name)) for name in names))
             for record in shown))
    return lines


LINES = {'tests': tests_lines, 'rasterizer': rasterizer_lines,
         'steps': steps_lines, 'data': data_lines,
         'reconstruct': reconstruct_lines, 'training': training_lines}


def problems(report: dict[str, Any], *keys: str) -> list[str]:
    """What stands under these keys of parts and records, one line each."""
    found = [report['error']] if report['error'] else []
    for name, part in report['parts'].items():
        if part.get('error'):
            found.append(f'{name}: {part["error"]}')
        found += [f'{name}, {record["name"]}: {record[key]}'
                  for record in part['records'] for key in keys
                  if key in record]
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
        f'{" --quick" if report["mode"] == "quick" else ""}; all figures: '
        '[gpu_check.json](gpu_check.json).', '']
    for name, part in report['parts'].items():
        lines += LINES[name](part)
    lines += table(
        ('part', 'how it ended', 'seconds'),
        ((name, part['status'], number(part.get('seconds')))
         for name, part in report['parts'].items()))
    bad = problems(report, 'error', 'left_out')
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
    text = page.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f'{page} must have the lines {BEGIN} and {END}.')
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text('\n'.join(
        [before + BEGIN, *section(report), END]) + after)
    (page.parent / 'gpu_check.json').write_text(
        json.dumps(report, indent=1) + '\n')
