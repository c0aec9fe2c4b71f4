# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Times the parts of mmtvface against naive implementations of the same.

Each case and its baseline are run in turn, again and again, so that other
load on the machine hits both; the ratio is the median over the rounds of
baseline / case. Where both compute the same numbers, that is checked first. A
section whose packages or files are missing is skipped with the reason.

Examples:
    python tools/analysis_tools/benchmark.py --sections flame rasterizers
    python tools/analysis_tools/benchmark.py --steps --docs
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from mmtvface.utils.setup_env import register_all_modules

from .. import CHECKOUT
from .cases import Case, measure
from .data import (
    dataset_section,
    loading_section,
    training_section,
    video_section,
)
from .geometry import flame_section, rasterizers_section, texture_section
from .networks import (
    detail_section,
    encoder_section,
    mrf_section,
    steps_section,
    stream_section,
    temporal_section,
)
from .report import markdown, renew_page, show

PAGE = CHECKOUT / 'docs/benchmarks.md'
RESULTS = CHECKOUT / 'docs/benchmark.json'
SECTIONS = {
    'flame': flame_section,
    'texture': texture_section,
    'rasterizers': rasterizers_section,
    'encoder': encoder_section,
    'temporal': temporal_section,
    'stream': stream_section,
    'dataset': dataset_section,
    'loading': loading_section,
    'video': video_section,
    'training': training_section,
    'detail': detail_section,
    'mrf': mrf_section,
    'steps': steps_section,
}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and write its JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--sections', nargs='+', choices=list(SECTIONS),
                        help='default: all but steps')
    parser.add_argument('--steps', action='store_true',
                        help='also whole training steps at 224 pixels, which '
                        'take minutes')
    parser.add_argument('--repeats', type=int, default=7, help='rounds')
    parser.add_argument('--budget', type=float, default=15, metavar='S',
                        help='seconds of timing per section')
    parser.add_argument('--out', type=Path, help='JSON file (default: '
                        'work_dirs/benchmark.json)')
    parser.add_argument('--markdown', type=Path, metavar='FILE',
                        help='also write the table there')
    parser.add_argument('--docs', '--readme', action='store_true',
                        help='write docs/benchmark.json and the table in '
                        'docs/benchmarks.md')
    parser.add_argument('--only-docs', '--only-readme', action='store_true',
                        help='measure nothing; renew the table in '
                        'docs/benchmarks.md from docs/benchmark.json')
    args = parser.parse_args(argv)
    if args.repeats < 1:
        parser.error(f'--repeats must be positive, but it is {args.repeats}')
    if args.only_docs:
        renew_page(PAGE, RESULTS)
        return json.loads(RESULTS.read_text())
    sections = args.sections or [name for name in SECTIONS if name != 'steps']
    if args.steps and 'steps' not in sections:
        sections.append('steps')
    out = args.out or (
        RESULTS if args.docs else Path('work_dirs/benchmark.json'))
    register_all_modules()
    console = Console()
    report: dict[str, Any] = dict(
        environment=dict(
            python=platform.python_version(), torch=torch.__version__,
            machine=platform.machine(), threads=torch.get_num_threads(),
            load_before=os.getloadavg()[0]),
        sections={})
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task('', total=len(sections))
        for name in sections:
            progress.update(task, description=name)
            start = time.perf_counter()
            try:
                rows = SECTIONS[name]()
                if isinstance(rows[0], Case):
                    rows = measure(rows, args.repeats, args.budget)
                result: dict[str, Any] = dict(rows=rows)
            except (ImportError, FileNotFoundError) as error:
                result = dict(skipped=str(error))
            result['seconds'] = time.perf_counter() - start
            report['sections'][name] = result
            show(console, name, result)
            progress.advance(task)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1) + '\n')
    console.print(f'Written to {out}', markup=False)
    if args.markdown:
        args.markdown.write_text(markdown(report))
    if args.docs:
        renew_page(PAGE, out)
    return report
