# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Proves the GPU paths and measures them, in one command of eight minutes.

Each part runs in a process of its own with a time limit and writes what it
found line by line, so that a crash, or the end of the time, costs the part
in work only. OUT/gpu_check.json holds everything, OUT/records.jsonl the same
as it came, OUT/gpu_check.log what the parts printed.

A bare machine without a network gets what it lacks from gpu_bundle.sh.

Examples:
    python tools/analysis_tools/gpu_check.py --out work_dirs/gpu_check
    python tools/analysis_tools/gpu_check.py --dry-run --out /tmp/dry
    python tools/analysis_tools/gpu_check.py --docs --out work_dirs/gpu_check
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from .. import CHECKOUT
from .records import FAILED
from .report import problems, write_page

PAGE = CHECKOUT / 'docs/gpu.md'
RUN_PART = [sys.executable, '-m', 'mmtvface.benchmarks.gpu.parts']


class Limit(NamedTuple):
    """Seconds of a part: by default, with --quick and in a dry run."""

    default: int
    quick: int
    dry: int


# Most valuable first: what a short time does not reach is what comes last.
PARTS = {
    'tests': Limit(90, 60, 300),
    'rasterizer': Limit(45, 25, 200),
    'steps': Limit(110, 45, 400),
    'data': Limit(45, 25, 200),
    'reconstruct': Limit(40, 20, 300),
    'training': Limit(140, 0, 200),
}
PROBE = Limit(60, 30, 60)  # of the card itself, before all parts
TOTAL = Limit(480, 180, 1600)
LEAST = 8  # seconds; less is no use to any part
GRACE = 3  # seconds that a part may be late


def environment(dry_run: bool) -> dict[str, Any]:
    """The machine, and what is installed."""
    found: dict[str, Any] = dict(
        date=datetime.date.today().isoformat(), dry_run=dry_run,
        python=platform.python_version(),
        cores=len(os.sched_getaffinity(0)))
    for name in ('torch', 'triton', 'numba', 'numpy', 'mmengine', 'mmcv',
                 'mmcv-lite', 'mmagic', 'av', 'mediapipe', 'pytorch3d'):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def run_part(name: str, seconds: float, folder: Path,
             dry_run: bool) -> dict[str, Any]:
    """Run a part in its own process.

    Args:
        name: Of :data:`PARTS`, or 'environment'.
        seconds: It is killed, with all it started, after these.
        folder: Of the results.
        dry_run: On the CPU, with tiny sizes.

    Returns:
        ``status`` ('done', 'failed', 'out of time'), ``seconds``, and
        ``error`` if there was one.
    """
    env = dict(os.environ, PYTHONUNBUFFERED='1', PYTHONWARNINGS='ignore',
               OMP_WAIT_POLICY='PASSIVE',
               # diffusers and transformers, which mmagic imports, would
               # import whatever versions of these there are.
               USE_FLAX='0', USE_TF='0')
    paths = [str(CHECKOUT), env.get('PYTHONPATH', '')]
    env['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
    env.pop('TRITON_INTERPRET', None)
    if dry_run:
        env.update(TRITON_INTERPRET='1', CUDA_VISIBLE_DEVICES='')
    start = time.time()
    command = [*RUN_PART, name, '--records', str(folder / 'records.jsonl'),
               '--until', str(start + seconds - GRACE),
               *['--dry-run'] * dry_run]
    with (folder / 'gpu_check.log').open('a') as log:
        log.write(f'\n===== {name}\n')
        log.flush()
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=env,
            cwd=CHECKOUT, start_new_session=True)
        result: dict[str, Any] = dict(status='done')
        try:
            code = process.wait(seconds)
            if code:
                result = dict(status='failed')
                if code != FAILED:  # else a record says why
                    result['error'] = (
                        f'the process ended with {code}; see gpu_check.log')
        except subprocess.TimeoutExpired:
            result = dict(status='out of time')
        finally:
            # A part's own workers are in its process group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return result | dict(seconds=time.time() - start)


def read_records(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Records by part; lines of one name are joined.

    A line that a killed part left half is left out.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    path = folder / 'records.jsonl'
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            record = json.loads(line)
            part = found.setdefault(record.pop('part'), {})
            part.setdefault(record['name'], {}).update(record)
    return {name: list(part.values()) for name, part in found.items()}


def check(folder: Path, names: Sequence[str], mode: str) -> dict[str, Any]:
    """Run parts one after another.

    Args:
        folder: Of the results; what an earlier run left is replaced.
        names: Parts.
        mode: A field of :class:`Limit`.

    Returns:
        What gpu_check.json holds.
    """
    end = time.time() + getattr(TOTAL, mode)
    dry_run, console = mode == 'dry', Console()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('records.jsonl', 'gpu_check.log'):
        (folder / name).unlink(missing_ok=True)
    report: dict[str, Any] = dict(
        environment=environment(dry_run), mode=mode, error=None,
        parts={name: dict(status='not reached', records=[])
               for name in names})
    lock = threading.Lock()

    def write() -> None:
        with lock:
            for name, records in read_records(folder).items():
                if name in report['parts']:
                    report['parts'][name]['records'] = records
            (folder / 'gpu_check.json').write_text(
                json.dumps(report, indent=1) + '\n')

    probe = run_part('environment', getattr(PROBE, mode), folder, dry_run)
    for record in read_records(folder).get('environment', ()):
        name, error = record.pop('name'), record.pop('error', None)
        report['environment'].update(record)
        if name == 'mmagic':  # only some parts need it
            report['environment']['mmagic_error'] = error
        elif error is not None:
            report['error'] = error
    if probe['status'] != 'done' and report['error'] is None:
        report['error'] = f'Looking at the GPU {probe["status"]}: ' + (
            probe.get('error', 'it does not answer.'))
    spare = 0.

    def run(name: str) -> None:
        nonlocal spare
        limit = getattr(PARTS[name], mode)
        seconds = min(limit + spare, end - time.time() - 1)
        part = report['parts'][name]
        if limit == 0:
            part['status'] = 'left out'
        elif seconds > LEAST:
            part.update(run_part(name, seconds, folder, dry_run))
            spare = max(0., limit + spare - part['seconds'])
            console.print(f'{name}: {part["status"]} after '
                          f'{part["seconds"]:.0f} s', markup=False)
        write()

    if report['error'] is None and dry_run:
        # Its times mean nothing, so parts may disturb one another.
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, names))
    elif report['error'] is None:
        for name in names:
            run(name)
    write()
    return report


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0], epilog='Parts, in their order: '
        + ', '.join(PARTS))
    parser.add_argument('--out', type=Path, metavar='DIR',
                        default=Path('work_dirs/gpu_check'))
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument('--quick', action='store_true', help='3 minutes')
    modes.add_argument('--dry-run', action='store_true', help='everything, '
                       'tiny and on the CPU, to find mistakes without a GPU')
    modes.add_argument('--docs', '--readme', action='store_true',
                       help='run nothing; '
                       'write docs/gpu.md and docs/gpu_check.json from DIR')
    parser.add_argument('--parts', nargs='+', choices=list(PARTS),
                        default=list(PARTS), metavar='PART')
    args = parser.parse_args(argv)
    args.out = args.out.resolve()
    if args.docs:
        found = args.out / 'gpu_check.json'
        if not found.is_file():
            parser.error(f'there is no {found}; run the check first')
        report = json.loads(found.read_text())
        write_page(PAGE, report)
        return report
    mode = 'dry' if args.dry_run else 'quick' if args.quick else 'default'
    report, console = check(args.out, args.parts, mode), Console()
    for line in problems(report):
        console.print(line, markup=False)
    console.print(f'Written to {args.out / "gpu_check.json"}', markup=False)
    return report
