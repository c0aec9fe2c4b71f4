# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Codes of all frames of a video, outside of the memory."""

import tempfile
from types import TracebackType

import numpy as np


class CodeStore:
    """Rows of float32 in a file without a name, which ends with the store.

    Two hours of video are 300 MB of codes.

    Args:
        width: Numbers in a row.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._length = 0
        self._file = tempfile.TemporaryFile(prefix='mmtvface-codes-')

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> 'CodeStore':
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the space back."""
        self._file.close()

    def append(self, rows: np.ndarray) -> None:
        """Add (n, width) rows."""
        self.write(self._length, rows)

    def write(self, start: int, rows: np.ndarray) -> None:
        """Write (n, width) rows from a place on.

        Raises:
            ValueError: If the width is another, or a gap would be left.
        """
        rows = np.ascontiguousarray(rows, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.width or not (
                0 <= start <= self._length):
            raise ValueError(
                f'Rows of {self.width} numbers go to the places 0 to '
                f'{self._length}, but {rows.shape} were to go to {start}.')
        self._file.seek(start * self.width * 4)
        self._file.write(rows.tobytes())
        self._length = max(self._length, start + len(rows))

    def read(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, width) float32 rows, a copy.

        Raises:
            IndexError: If there are not so many.
        """
        if not 0 <= start <= stop <= self._length:
            raise IndexError(f'rows {start} to {stop} of {self._length}')
        self._file.seek(start * self.width * 4)
        data = self._file.read((stop - start) * self.width * 4)
        return np.frombuffer(data, np.float32).reshape(
            -1, self.width).copy()
