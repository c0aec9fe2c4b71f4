# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How a long run of frames is cut into clips for a temporal model."""

from typing import NamedTuple


class Window(NamedTuple):
    """A clip of a run.

    Attributes:
        start: First frame.
        stop: One after the last.
    """

    start: int
    stop: int


def plan_windows(length: int, size: int, stride: int | None = None
                 ) -> list[Window]:
    """Overlapping windows that cover a run.

    The last window is moved back to end with the run; a run shorter than a
    window is one window.

    Args:
        length: Frames of the run, at least 1.
        size: Frames per window, at least 1.
        stride: Frames from window to window, 1 to ``size``; default: half
            the size, rounded up.

    Returns:
        Windows in order.

    Raises:
        ValueError: If a number is out of its range.
    """
    stride = (size + 1) // 2 if stride is None else stride
    if length < 1 or size < 1 or not 1 <= stride <= size:
        raise ValueError(
            'plan_windows needs length >= 1, size >= 1 and 1 <= stride <= '
            f'size, but got length {length}, size {size}, stride {stride}.')
    last = max(0, length - size)
    return [Window(start, min(start + size, length))
            for start in (*range(0, last, stride), last)]
