# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The faces of all frames in a file, a line each, in the order of time."""

import base64
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .detection import FramePlan


class FaceLog:
    """Frames are appended and read again, also by another thread meanwhile.

    A file that is there is gone on with; an incomplete or damaged end is cut
    off. Some 1.5 kB per face.

    Args:
        path: JSON lines.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._length, self._end = 0, 0
        if path.is_file():
            for plan in self._lines(0, 0):
                self._length, self._end = plan.index + 1, plan.end
            os.truncate(path, self._end)
        self._file = open(path, 'ab')

    def __len__(self) -> int:
        """Number of frames."""
        return self._length

    def close(self) -> None:
        """End the writing."""
        self._file.close()

    def append(self, plan: FramePlan) -> int:
        """Add the next frame; return where the one after it will begin."""
        faces = [base64.b64encode(np.asarray(face, '<f8').tobytes()).decode()
                 for face in plan.faces]
        line = json.dumps(dict(
            name=plan.name, size=plan.size, origin=plan.origin,
            problem=plan.problem, cut=plan.cut, faces=faces,
            numbers=plan.numbers, time=plan.time)).encode() + b'\n'
        self._file.write(line)
        self._file.flush()
        self._length += 1
        self._end += len(line)
        return self._end

    def read(self, start: int, first: int, count: int
             ) -> Iterator[FramePlan]:
        """Frames from a place on.

        Args:
            start: Where the first of them begins, in bytes.
            first: Its index.
            count: How many.
        """
        return itertools.islice(self._lines(start, first), count)

    def known(self) -> Iterator[FramePlan]:
        """All frames that are there now."""
        return self.read(0, 0, len(self))

    def _lines(self, start: int, first: int) -> Iterator[FramePlan]:
        """Frames of complete lines."""
        with open(self._path, 'rb') as file:
            file.seek(start)
            for index in itertools.count(first):
                plan = _parse(index, file.readline())
                if plan is None:
                    return
                plan.end = file.tell()
                yield plan


def _parse(index: int, line: bytes) -> FramePlan | None:
    """The frame that a line describes; None if it is not as it should be."""
    if not line.endswith(b'\n'):
        return None
    try:
        entry = json.loads(line)
        faces = [np.frombuffer(base64.b64decode(face), '<f8').reshape(
            68, 2).copy() for face in entry.pop('faces')]
        size = entry.pop('size')
        return FramePlan(index, size=size and tuple(size), faces=faces,
                         **entry)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
