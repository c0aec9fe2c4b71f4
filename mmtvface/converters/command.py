# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What the command lines of the converters have in common."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmtvface.utils.command_line import run_command

if TYPE_CHECKING:
    from .jobs import Conversion


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of every converter."""
    parser.add_argument('output', help='file to write (.pth)')
    parser.add_argument('--report', metavar='JSON',
                        help='file to write what became of every tensor')
    parser.add_argument('--dry-run', action='store_true',
                        help='convert and check, but write no weights')
    parser.add_argument('--force', action='store_true',
                        help='replace an older output')


def add_config_arguments(parser: argparse.ArgumentParser,
                         default: str) -> None:
    """Add the arguments of converters to a model of a config."""
    from mmengine.config import DictAction
    parser.add_argument('--config', help=f'config of the model (default: '
                        f'{default})')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
        default={}, help='changes of the config, for example '
        'model.texture.clamp=False')
    parser.add_argument(
        '--config-out', metavar='PY', help='file to write the config of the '
        'converted weights, with all changes')


def summarize(conversion: 'Conversion', args: argparse.Namespace,
              written: Sequence[Path]) -> None:
    """Print the table, then what the user must know."""
    from rich.console import Console

    from .jobs import as_options
    from .report import MAPPED, MISSING, UNUSED
    # Wide enough for names where the output is no terminal.
    console = Console(file=sys.stdout, soft_wrap=True, highlight=False,
                      width=None if sys.stdout.isatty() else 160)
    report = conversion.report
    console.print(report.table())
    console.print(
        f'{conversion.kind}: {report.count(MAPPED)} tensors mapped, '
        f'{report.count(UNUSED)} not needed, {report.count(MISSING)} '
        'not in the file. The result loads into the model.', markup=False)
    for note in report.notes:
        console.print(f'note: {note}', markup=False)
    if report.overrides:
        console.print('These weights need the config with --cfg-options '
                      f'{as_options(report.overrides)}', markup=False)
    for path in written:
        console.print(f'wrote {path}', markup=False)
    if args.dry_run:
        console.print(f'dry run: {args.output} was not written')


def _keep_source(source: Path, output: Path,
                 args: argparse.Namespace) -> None:
    """Raise if a file to write is the one that was converted."""
    targets = dict(output=output, report=args.report,
                   config_out=getattr(args, 'config_out', None))
    for what, target in targets.items():
        path = Path(target or '').expanduser()
        if target and path.exists() and path.samefile(source):
            raise ValueError(
                f'{path} is both the file to convert and the {what}: '
                'nothing was written. Give the result another name.')


def run_converter(convert: Callable[[argparse.Namespace], 'Conversion'],
                  args: argparse.Namespace) -> int:
    """Convert, report and write.

    Returns:
        Exit code: 0, or 2 if something is wrong with the user's files (the
        message then is one sentence on stderr).
    """
    return run_command(lambda: _convert_and_write(convert, args))


def _convert_and_write(convert: Callable[[argparse.Namespace], 'Conversion'],
                       args: argparse.Namespace) -> None:
    from mmtvface.utils.atomic import writable_dir
    output = Path(args.output).expanduser()
    if not args.dry_run:
        if output.exists() and not args.force:
            raise ValueError(f'{output} exists; --force replaces it.')
        writable_dir(output.parent)
    conversion = convert(args)
    _keep_source(conversion.source, output, args)
    written = []
    if args.report:
        conversion.report.save(args.report)
        written.append(args.report)
    if not args.dry_run:
        written.append(conversion.save(output))
        if config_out := getattr(args, 'config_out', None):
            path = Path(config_out).expanduser()
            path.parent.mkdir(parents=True, exist_ok=True)
            conversion.config.dump(path)
            written.append(path)
    summarize(conversion, args, written)
