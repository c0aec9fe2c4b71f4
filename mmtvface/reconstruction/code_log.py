# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Codes in a file, as the model gives them, for a run that goes on."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_MOST_CODES = 1 << 20
_CHUNK = 256


class CodeLog:
    """Records of frame, track and codes, appended window by window.

    Args:
        path: Of the file; what is there already can be read once
            (:meth:`known`).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kind: np.dtype | None = None
        self._next = self._count = 0  # records that were read, and are there
        data = path.stat().st_size if path.is_file() else 0
        if data > 8:
            width = int(np.fromfile(path, '<i8', 1)[0])
            if 0 < width < _MOST_CODES:
                self._kind = _record(width)
                self._count = (data - 8) // self._kind.itemsize
        self._cut(self._count)
        self._file = open(path, 'ab')

    def _cut(self, count: int) -> None:
        """Keep that many records."""
        self._count = count
        if self._path.is_file():
            os.truncate(self._path, 8 + count * self._kind.itemsize
                        if count else 0)

    def close(self) -> None:
        """End the writing."""
        self._file.close()

    def known(self, stop: int) -> Iterator[np.ndarray]:
        """Records of frames before ``stop`` that were not read yet.

        Yields:
            Arrays with the fields ``frame``, ``track`` and ``row``.
        """
        while self._next < self._count:
            records = np.fromfile(
                self._path, self._kind, min(_CHUNK, self._count - self._next),
                offset=8 + self._next * self._kind.itemsize)
            late = np.flatnonzero(records['frame'] >= stop)
            part = records[:late[0]] if len(late) else records
            self._next += len(part)
            if len(part):
                yield part
            if len(late):
                return

    def forget(self, count: int) -> None:
        """Cut off the last ``count`` records that were read, and the rest."""
        self._next -= count
        self._cut(self._next)

    def append(self, track: int, frames: np.ndarray,
               rows: np.ndarray) -> None:
        """Add codes (n, C) of a track.

        What was there and not read is of no use, and goes.
        """
        if self._next < self._count:
            self._cut(self._next)
        if not self._count:
            self._kind = _record(rows.shape[1])
            self._file.write(np.array(rows.shape[1], '<i8').tobytes())
        records = np.empty(len(rows), self._kind)
        records['frame'], records['track'] = frames, track
        records['row'] = rows
        self._file.write(records.tobytes())
        self._file.flush()
        self._count += len(rows)
        self._next = self._count


def _record(width: int) -> np.dtype:
    return np.dtype([('frame', '<i8'), ('track', '<i8'),
                     ('row', '<f4', (width, ))])
