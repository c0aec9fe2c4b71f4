# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Times the parts of mmtvface against naive implementations of the same.

Each case and its baseline are run in turn, again and again, so that other
load on the machine hits both; the ratio is the median over the rounds of
baseline / case. Where both compute the same numbers, that is checked first. A
section whose packages or files are missing is skipped with the reason.

Examples:
    python tools/analysis_tools/benchmark.py --sections flame rasterizers
    python tools/analysis_tools/benchmark.py --steps --readme
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from benchmark_cases import Case
from benchmark_data import (
    dataset_section,
    loading_section,
    training_section,
    video_section,
)
from benchmark_detail import detail_section, mrf_section, steps_section
from benchmark_encoder import (
    ROOT,
    encoder_section,
    stream_section,
    temporal_section,
)
from benchmark_geometry import (
    flame_section,
    rasterizers_section,
    texture_section,
)
from benchmark_report import markdown, rewrite_readme, show
from rich.console import Console
from rich.progress import Progress

from mmtvface.utils.setup_env import register_all_modules

README, RESULTS = ROOT / 'docs/benchmarks.md', ROOT / 'docs/benchmark.json'
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


def measure(cases: list[Case], repeats: int,
            budget: float) -> list[dict[str, Any]]:
    """Time all cases in turn, after one run each to warm up.

    Args:
        cases: Of one section.
        repeats: Rounds; fewer (but two) if the budget is used up.
        budget: Seconds.

    Returns:
        A row per case: milliseconds (median, min, max), rounds, baseline
        and ratio (median over the rounds of baseline / case).
    """
    start = time.perf_counter()
    for case in cases:
        case.run()
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    for done in range(repeats):
        if done >= 2 and time.perf_counter() - start > budget:
            break
        for case in cases:
            begin = time.perf_counter()
            case.run()
            times[case.name].append(1e3 * (time.perf_counter() - begin))
    rows = []
    for case in cases:
        own = times[case.name]
        ratio = case.baseline and statistics.median(
            b / a for a, b in zip(own, times[case.baseline], strict=True))
        rows.append(dict(
            name=case.name, median_ms=statistics.median(own),
            min_ms=min(own), max_ms=max(own), rounds=len(own),
            baseline=case.baseline, ratio=ratio))
    return rows


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
    parser.add_argument('--readme', action='store_true',
                        help='write docs/benchmark.json and the table in '
                        'docs/benchmarks.md')
    parser.add_argument('--only-readme', action='store_true',
                        help='measure nothing; renew the table in '
                        'docs/benchmarks.md from docs/benchmark.json')
    args = parser.parse_args(argv)
    if args.repeats < 1:
        parser.error(f'--repeats must be positive, but it is {args.repeats}')
    if args.only_readme:
        rewrite_readme(README, RESULTS)
        return json.loads(RESULTS.read_text())
    sections = args.sections or [name for name in SECTIONS if name != 'steps']
    if args.steps and 'steps' not in sections:
        sections.append('steps')
    out = args.out or (
        RESULTS if args.readme else Path('work_dirs/benchmark.json'))
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
    if args.readme:
        rewrite_readme(README, out)
    return report


if __name__ == '__main__':
    main()
