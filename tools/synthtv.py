# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""The SynthTV benchmark: what video buys when pictures are bad.

Examples::

    python tools/synthtv.py generate --out data/synthtv --size 64
"""
# ruff: noqa: E402

import argparse
import os
import sys
from pathlib import Path

# Waiting threads leave the cores alone; read when torch is loaded.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SPLITS = ('train', 'val', 'test')


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} is not positive')
    return int(text)


def add_generate(commands: argparse._SubParsersAction) -> None:
    """Arguments of ``generate``."""
    parser = commands.add_parser(
        'generate', help='render the clean scenes into a folder',
        description='Render the clean scenes of the splits. The same command '
        'goes on after an interruption. Degradations are not stored: the data '
        'set adds them.')
    parser.add_argument('--out', default='data/synthtv',
                        help='folder (default: %(default)s)')
    parser.add_argument('--size', type=positive, default=64,
                        help='side of the images in pixels (default: '
                        '%(default)s)')
    parser.add_argument('--splits', nargs='+', choices=SPLITS,
                        default=list(SPLITS))
    parser.add_argument('--scenes', nargs='+', type=positive, metavar='N',
                        help='scenes of each of the splits (default: 4000, '
                        '100 and 300)')
    parser.add_argument('--lengths', nargs='+', type=positive, metavar='T',
                        help='frames of a scene of each of the splits '
                        '(default: 10, 20 and 20)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--config', help='config whose training data has the '
                        'head; default: the built-in head')
    parser.add_argument('--workers', type=positive, default=2,
                        help='processes (default: %(default)s)')
    parser.set_defaults(run=run_generate)


def head_of(config: str | None) -> dict | None:
    """``head`` of the data sets of a config."""
    if config is None:
        return None
    from mmengine.config import Config
    cfg = Config.fromfile(config)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if head := (cfg.get(key) or {}).get('dataset', {}).get('head'):
            return dict(head)
    return None


def run_generate(args: argparse.Namespace) -> None:
    """Render scenes."""
    from rich.progress import Progress

    from mmtvface.apis.synth_tv.generate import generate
    from mmtvface.datasets.synth_tv import SceneSettings
    from mmtvface.datasets.synth_tv.scenes import NUM_SCENES
    counts = args.scenes or [NUM_SCENES[split] for split in args.splits]
    lengths = args.lengths or [None] * len(args.splits)
    for name, numbers in (('scenes', counts), ('lengths', lengths)):
        if len(numbers) != len(args.splits):
            raise ValueError(f'--{name} needs {len(args.splits)} numbers, '
                             f'one for each of {args.splits}, but it has '
                             f'{len(numbers)}.')
    head = head_of(args.config)
    settings = [
        (SceneSettings(split, args.size, length, args.seed, head), count)
        for split, length, count in zip(
            args.splits, lengths, counts, strict=True)]
    with Progress() as bars:
        tasks: dict[str, int] = {}

        def tell(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done)

        outcome = generate(args.out, settings, args.workers, tell)
    for folder, what in outcome.items():
        sys.stdout.write(f'{folder}: {what}\n')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    add_generate(commands)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    from mmtvface.utils.command_line import run_command
    return run_command(lambda: args.run(args), 'Interrupted; the same '
                       'command goes on from here.')


if __name__ == '__main__':
    sys.exit(main())
