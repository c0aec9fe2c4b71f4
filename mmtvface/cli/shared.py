# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What the commands have in common; imports nothing heavy."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def positive(kind: type) -> Callable[[str], float]:
    """Parser of a positive, finite number, for argparse.

    Args:
        kind: ``int`` or ``float``.
    """
    def parse(text: str) -> float:
        value = kind(text)
        if not 0 < value < float('inf'):
            raise argparse.ArgumentTypeError(f'{text} is not positive')
        return value

    parse.__name__ = kind.__name__
    return parse


def natural(text: str) -> int:
    """Parse a whole number from 0 on, for argparse."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f'{text} is negative')
    return value


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
