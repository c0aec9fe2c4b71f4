# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Checks of arguments whose messages show expectation and reality."""

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the help of the commands must not wait for them
    import numpy as np
    import torch


def check_shape(name: str, value: 'torch.Tensor | np.ndarray',
                expected: Sequence[int | str | None]) -> None:
    """Raise unless an array has the expected shape.

    Args:
        name: Name of the argument or file entry, for the message.
        value: The tensor or array.
        expected: One entry per axis: a size, or a letter or None for any
            size (equal letters must have equal sizes).

    Raises:
        ValueError: If the number of axes or a size differs; the message
            shows both shapes.
    """
    shape = tuple(value.shape)
    sizes: dict[str, int] = {}
    ok = len(shape) == len(expected)
    for size, want in zip(shape, expected, strict=False):
        if isinstance(want, str):
            want = sizes.setdefault(want, size)
        ok = ok and (want is None or size == want)
    if not ok:
        wanted = ', '.join('*' if e is None else str(e) for e in expected)
        raise ValueError(
            f'{name} must have the shape ({wanted}), but it is {shape}.')


def check_count(name: str, value: int, least: int) -> None:
    """Check a whole number.

    Raises:
        ValueError: If it is none, or less than ``least``.
    """
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f'{name} must be a whole number from {least} on, '
                         f'but it is {value!r}.')
