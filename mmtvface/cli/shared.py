# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What the commands that read faces have in common."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .number_arguments import natural, positive

DETECTORS = ('mediapipe', 'face-alignment')


def add_model(parser: argparse.ArgumentParser) -> None:
    """Config and checkpoint; both or neither."""
    parser.add_argument('config', nargs='?', help='config file of a model '
                        '(default, without config and checkpoint: the model '
                        'that is part of the package)')
    parser.add_argument('checkpoint', nargs='?', help='its weights (.pth)')


def check_model(parser: argparse.ArgumentParser, args: argparse.Namespace,
                remedy: str) -> None:
    """End with an error if there is a config without a checkpoint."""
    if args.config is not None and args.checkpoint is None:
        parser.error(f'there is a config ({args.config}) without a '
                     f'checkpoint: {remedy}')


def add_reading(parser: argparse.ArgumentParser) -> None:
    """How faces are found and reconstructed."""
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: '
                        'cuda if there is one)')
    parser.add_argument('--detector', choices=DETECTORS, default=DETECTORS[0],
                        help='what finds faces where no landmarks are given '
                        '(default: %(default)s)')
    parser.add_argument('--clip-length', type=positive(int),
                        help='frames per clip (default: as the config says)')
    parser.add_argument('--overlap', type=natural,
                        help='frames that clips have in common, or that a '
                        'model that remembers what was before sees ahead '
                        '(default: as the config says)')
    parser.add_argument('--crop-scale', type=positive(float),
                        help='crop relative to the landmark box (default: '
                        'as trained)')
    parser.add_argument('--refine', type=natural, metavar='N',
                        help='Gauss-Newton steps that bring the head into '
                        'line with the landmarks, and albedo and light with '
                        'the colours; 0: what the network says (default: 2; '
                        'none with --identity frame, or without a FLAME head)')


@contextmanager
def step_bars(width: int = 18) -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars, one for each step that is heard of.

    Args:
        width: Of the names of the steps.

    Yields:
        A function of the step, what is done and all there is (0: unknown).
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    columns = (TextColumn(f'{{task.description:<{width}}}'), BarColumn(),
               MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bars:
        tasks: dict[str, int] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=None)
            bars.update(tasks[step], completed=done, total=total or None)

        yield show
