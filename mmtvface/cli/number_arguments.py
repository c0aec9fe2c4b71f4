# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Numbers on command lines; imports nothing heavy, for quick help."""

import argparse
from collections.abc import Callable


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
