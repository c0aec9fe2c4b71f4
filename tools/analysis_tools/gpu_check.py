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
    python tools/analysis_tools/gpu_check.py --readme --out work_dirs/gpu_check
"""

import argparse
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from gpu_report import problems, write_page
from rich.console import Console

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / 'docs/gpu.md'


class Limit(NamedTuple):
    """Seconds of a part: by default, with --quick and in a dry run."""

    default: int
    quick: int
    dry: int


# Most valuable first: what a short time does not reach is what comes last.
PARTS = {
    'tests': Limit(100, 60, 300),
    'rasterizer': Limit(45, 25, 60),
    'steps': Limit(120, 50, 400),
    'data': Limit(35, 15, 60),
    'reconstruct': Limit(40, 30, 120),
    'training': Limit(140, 0, 120),
}
TOTAL = Limit(480, 180, 1000)
LEAST = 5  # seconds; less is no use to any part


def environment(dry_run: bool) -> dict[str, Any]:
    """The machine, and what is installed."""
    import torch
    found = dict(
        date=datetime.date.today().isoformat(), dry_run=dry_run,
        python=platform.python_version(), torch=torch.__version__,
        cores=len(os.sched_getaffinity(0)))
    for name in ('triton', 'numba', 'numpy', 'mmengine', 'mmcv', 'mmcv-lite',
                 'mmagic', 'av', 'mediapipe', 'pytorch3d'):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found.update(
            card=card.name, cuda=torch.version.cuda,
            memory_gib=card.total_memory / 2**30,
            multiprocessors=card.multi_processor_count)
    return found


def why_no_gpu() -> str | None:
    """One sentence, or None if there is a GPU that works."""
    import torch
    if torch.version.cuda is None:
        return ('This PyTorch is built without CUDA; install one with CUDA, '
                'or use --dry-run.')
    if not torch.cuda.is_available():
        return (f'PyTorch is built for CUDA {torch.version.cuda}, but finds '
                'no GPU, or the driver is missing or too old (nvidia-smi '
                'shows it); use --dry-run without one.')
    try:
        torch.ones(1, device='cuda').add_(1).item()
    except RuntimeError as error:
        return f'The GPU does not work: {str(error).splitlines()[0]}'
    return None


def run_part(name: str, seconds: float, folder: Path,
             dry_run: bool) -> dict[str, Any]:
    """Run a part in its own process.

    Args:
        name: Of :data:`PARTS`.
        seconds: It is killed, with all it started, 5 s after these.
        folder: Of the results.
        dry_run: On the CPU, with tiny sizes.

    Returns:
        ``status`` ('done', 'failed', 'out of time'), ``seconds``, and
        ``error`` if there was one.
    """
    env = dict(os.environ, PYTHONUNBUFFERED='1', PYTHONWARNINGS='ignore')
    paths = [str(ROOT), env.get('PYTHONPATH', '')]
    env['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
    if dry_run:
        env.update(TRITON_INTERPRET='1', CUDA_VISIBLE_DEVICES='')
    command = [sys.executable, str(HERE / 'gpu_parts.py'), name, '--records',
               str(folder / 'records.jsonl'), '--seconds', str(seconds),
               *['--dry-run'] * dry_run]
    start = time.perf_counter()
    with (folder / 'gpu_check.log').open('a') as log:
        log.write(f'\n===== {name}\n')
        log.flush()
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=env, cwd=ROOT,
            start_new_session=True)
        result: dict[str, Any] = dict(status='done')
        try:
            code = process.wait(seconds + 5)
            if code:
                result = dict(status='failed', error=(
                    f'the process ended with {code}; see gpu_check.log'))
        except subprocess.TimeoutExpired:
            result = dict(status='out of time')
        finally:
            # A part's own workers are in its process group.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    return result | dict(seconds=time.perf_counter() - start)


def read_records(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Records by part; a line that a killed part left half is left out."""
    found: dict[str, list[dict[str, Any]]] = {}
    path = folder / 'records.jsonl'
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        found.setdefault(record.pop('part'), []).append(record)
    return found


def check(folder: Path, names: Sequence[str], mode: str) -> dict[str, Any]:
    """Run parts one after another.

    Args:
        folder: Of the results; what an earlier run left is replaced.
        names: Parts.
        mode: A field of :class:`Limit`.

    Returns:
        What gpu_check.json holds.
    """
    dry_run, console = mode == 'dry', Console()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('records.jsonl', 'gpu_check.log'):
        (folder / name).unlink(missing_ok=True)
    report: dict[str, Any] = dict(
        environment=environment(dry_run), mode=mode, error=None,
        parts={name: dict(status='not reached', records=[])
               for name in names})
    end = time.perf_counter() + getattr(TOTAL, mode)
    spare = 0.

    def write() -> None:
        for name, records in read_records(folder).items():
            report['parts'][name]['records'] = records
        (folder / 'gpu_check.json').write_text(
            json.dumps(report, indent=1) + '\n')

    report['error'] = None if dry_run else why_no_gpu()
    for name in names if report['error'] is None else ():
        limit = getattr(PARTS[name], mode)
        seconds = min(limit + spare, end - time.perf_counter() - LEAST)
        part = report['parts'][name]
        if limit == 0:
            part['status'] = 'left out'
        elif seconds > LEAST:
            part.update(run_part(name, seconds, folder, dry_run))
            spare = max(0., limit + spare - part['seconds'])
            console.print(f'{name}: {part["status"]} after '
                          f'{part["seconds"]:.0f} s', markup=False)
        write()
    write()
    return report


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0], epilog='Parts, in their order: '
        + ', '.join(PARTS))
    parser.add_argument('--out', type=Path, default='work_dirs/gpu_check',
                        metavar='DIR')
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument('--quick', action='store_true', help='3 minutes')
    modes.add_argument('--dry-run', action='store_true', help='everything, '
                       'tiny and on the CPU, to find mistakes without a GPU')
    modes.add_argument('--readme', action='store_true', help='run nothing; '
                       'write docs/gpu.md and docs/gpu_check.json from DIR')
    parser.add_argument('--parts', nargs='+', choices=list(PARTS),
                        default=list(PARTS), metavar='PART')
    args = parser.parse_args(argv)
    if args.readme:
        report = json.loads((args.out / 'gpu_check.json').read_text())
        write_page(PAGE, report)
        return report
    mode = 'dry' if args.dry_run else 'quick' if args.quick else 'default'
    report, console = check(args.out, args.parts, mode), Console()
    for line in problems(report, 'error'):
        console.print(line, markup=False)
    console.print(f'Written to {args.out / "gpu_check.json"}', markup=False)
    return report


if __name__ == '__main__':
    sys.exit(bool(problems(main(), 'error')))
