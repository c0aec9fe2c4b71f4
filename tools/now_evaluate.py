# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Measure neutral meshes against scans, as the NoW benchmark does.

Example::

    python tools/now_evaluate.py work_dirs/now/predicted_meshes \
        data/now/scans --landmarks data/now/scans_lmks_onlypp \
        --list data/now/imagepathsvalidation.txt --out work_dirs/now/errors
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

EPILOG = """\
PREDICTIONS has <subject>/<challenge>/<image>.obj and .npy (7 landmarks), as
tools/now_predict.py writes them; SCANS one mesh (.obj, .ply) per subject, in
<subject>/ or as <subject>.obj; the landmarks folder one .pp, .npy, .txt or
.bnd per subject in the same way.

In the output folder: metrics.json (median, mean and standard deviation in mm,
over all points; the same of each challenge and image; what was skipped and
why), table.md, cumulative_error.png and curves.json."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Measure neutral meshes against scans.', epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('predictions', help='folder of meshes and '
                        'landmarks, or --out of tools/now_predict.py')
    parser.add_argument('scans', help='folder of the scans')
    parser.add_argument('--landmarks', help='folder of the landmarks of the '
                        'scans (default: beside them)')
    parser.add_argument('--out', required=True, help='output folder')
    parser.add_argument('--name', help='name of the method (default: of the '
                        'folder above predicted_meshes)')
    parser.add_argument('--compare', nargs='+', default=[],
                        metavar='NAME=DIR', help='predictions of other '
                        'methods, for the same table and plot')
    parser.add_argument('--list', metavar='TXT', help='images that must be '
                        'there, e.g. imagepathsvalidation.txt; default: the '
                        'meshes that are there')
    parser.add_argument('--no-scale', action='store_true', help='align '
                        'without a scale: measures the size, too')
    parser.add_argument('--no-refine', action='store_true',
                        help='align by the landmarks only')
    parser.add_argument('--scan-unit', choices=('mm', 'cm', 'm'),
                        default='mm', help='default: %(default)s')
    parser.add_argument('--prediction-unit', choices=('mm', 'cm', 'm'),
                        default='m', help='only counts with --no-scale '
                        '(default: %(default)s)')
    parser.add_argument('--radius', type=float, default=.7, metavar='FACTOR',
                        help='of the evaluation region, relative to the sum '
                        "of the eyes' distance and the nose's length "
                        '(default: %(default)s)')
    parser.add_argument('--trim', type=float, default=.05, metavar='PART',
                        help='of the points that the refinement leaves out '
                        '(default: %(default)s)')
    parser.add_argument('--workers', type=int, default=0,
                        help='processes (default: only this one)')
    args = parser.parse_args(arguments)
    if not args.radius > 0:
        parser.error(f'--radius must be positive, but it is {args.radius}')
    if not 0 <= args.trim < 1:
        parser.error(f'--trim must lie in [0, 1), but it is {args.trim}')
    for text in args.compare:
        if not all(text.partition('=')):
            parser.error(f'--compare takes NAME=DIR, but got {text!r}')
    return args


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Measure all methods and write the files; return the summaries."""
    from rich.progress import track

    from mmtvface.evaluation.charts import save_charts
    from mmtvface.evaluation.now import (
        Protocol,
        error_chart,
        find_predictions,
        measure_method,
        read_image_list,
        summarise,
    )
    from mmtvface.evaluation.now.files import FOLDER
    from mmtvface.utils.atomic import writable_dir

    folder = Path(args.predictions)
    own = folder.resolve()
    methods = {
        args.name or (own.parent if own.name == FOLDER else own).name: folder}
    for text in args.compare:
        name, _, other = text.partition('=')
        if name in methods:
            raise ValueError(f"Two methods are called '{name}'; choose "
                             'another name with --name or --compare.')
        methods[name] = Path(other)
    images = read_image_list(args.list) if args.list else None
    found = {name: find_predictions(folder, images)
             for name, folder in methods.items()}
    out = writable_dir(args.out)
    protocol = Protocol(
        not args.no_scale, not args.no_refine, args.radius, args.trim,
        args.scan_unit, args.prediction_unit)
    results = []
    for name, predictions in found.items():
        def bar(steps: Iterable, name: str = name,
                total: int = len(predictions)) -> Iterator:
            return track(steps, description=name, total=total)

        results.append(measure_method(
            name, predictions, args.scans, args.landmarks, protocol,
            args.workers, bar))
    summaries = {result.name: summarise(result) for result in results}
    write(out / 'metrics.json',
          json.dumps(dict(protocol=vars(protocol), methods=summaries),
                     indent=2))
    write(out / 'table.md', table(summaries))
    chart = error_chart(results)
    if chart is not None:
        write(out / 'curves.json', json.dumps([chart.plain()]))
        save_charts([chart], out)
    return summaries


def table(summaries: dict[str, Any]) -> str:
    """Results of all methods in Markdown."""
    from mmtvface.evaluation.charts import markdown_table
    from mmtvface.evaluation.now.report import HEADERS, table_rows
    return markdown_table(HEADERS, table_rows(summaries))


def write(path: Path, text: str) -> None:
    """Write a text file that is there as a whole or not at all."""
    from mmtvface.utils.atomic import atomic_path
    with atomic_path(path) as part:
        part.write_text(text.rstrip('\n') + '\n', encoding='utf-8')


def warnings(summaries: dict[str, Any]) -> list[str]:
    """What could not be measured, with reasons, and what is doubtful."""
    lines = []
    for name, summary in summaries.items():
        skipped = summary['skipped']
        if skipped:
            total = len(skipped) + summary['images']
            lines.append(f'{name}: {len(skipped)} of {total} skipped')
            lines += [f'  {key}: {reason}'
                      for key, reason in list(skipped.items())[:5]]
            lines += ['  ... (all in metrics.json)'] * (len(skipped) > 5)
        restless = [key for key, image in summary['per_image'].items()
                    if not image['converged']]
        if restless:
            lines.append(
                f'{name}: {len(restless)} alignments did not come to rest, '
                f'such as {restless[0]}: the mesh is unlike the scan, or the '
                'landmarks have another order.')
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Run the command; code 1 if a method has no result, 2 for bad input."""
    args = parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from mmtvface.utils.command_line import run_command

    def work() -> int:
        summaries = evaluate(args)
        sys.stdout.write('\n'.join([
            'Distances in mm.', table(summaries), *warnings(summaries),
            f'Written to {args.out}.', '']))
        return int(any(not summary['images']
                       for summary in summaries.values()))

    return run_command(work)


if __name__ == '__main__':
    sys.exit(main())
