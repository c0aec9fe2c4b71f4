# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How a long run of frames is cut into clips for a temporal model."""

from typing import NamedTuple


class Window(NamedTuple):
    """A clip of a run and the part of it whose results are kept.

    Attributes:
        start: First frame.
        stop: One after the last.
        keep_start: First frame whose result is kept.
        keep_stop: One after the last.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def plan_windows(length: int, size: int, stride: int | None = None
                 ) -> list[Window]:
    """Overlapping windows that give every frame exactly one result.

    A frame at the end of a clip is seen from one side only, so that where
    two windows overlap each gives its better half. The last window is moved
    back to end with the run; a run shorter than a window is one window.

    Args:
        length: Frames of the run, at least 1.
        size: Frames per window, at least 1.
        stride: Frames from window to window, 1 to ``size``; default: half
            the size, rounded up.

    Returns:
        Windows in order; the kept parts are adjacent and cover the run.

    Raises:
        ValueError: If a number is out of its range.
    """
    stride = (size + 1) // 2 if stride is None else stride
    if length < 1 or size < 1 or not 1 <= stride <= size:
        raise ValueError(
            'plan_windows needs length >= 1, size >= 1 and 1 <= stride <= '
            f'size, but got length {length}, size {size}, stride {stride}.')
    last = max(0, length - size)
    starts = [*range(0, last, stride), last]
    cuts = [0]
    for before, after in zip(starts[:-1], starts[1:], strict=True):
        cuts.append((after + before + size + 1) // 2)
    cuts.append(length)
    return [Window(start, min(start + size, length), first, stop)
            for start, first, stop in zip(starts, cuts[:-1], cuts[1:],
                                          strict=True)]
