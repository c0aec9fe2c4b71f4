# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Arrays that grow by a row per result, outside of the memory."""

import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

_CHUNK = 1 << 20  # bytes that are copied at once
_BLANKS = 1024  # rows that are blank, written at once


def blank_like(row: np.ndarray) -> np.ndarray:
    """A row of this kind that says nothing: NaN, 0 or False."""
    return np.full_like(row, np.nan if row.dtype.kind == 'f' else 0)


class _Column:
    """Rows of one shape and type, one after the other in a file.

    Args:
        like: A row.
        folder: Where the file, which has no name, takes its space.
    """

    def __init__(self, like: np.ndarray, folder: Path | None) -> None:
        self.shape, self.dtype = like.shape, like.dtype
        self.blank = blank_like(like)
        self.file = tempfile.TemporaryFile(prefix='mmtvface-', dir=folder)
        self._place = 0  # where the next byte goes

    def close(self) -> None:
        self.file.close()

    def _put(self, row: int, data: bytes) -> None:
        start = row * self.blank.nbytes
        if start != self._place:  # seeking empties the buffer
            self.file.seek(start)
        self.file.write(data)
        self._place = start + len(data)

    def write(self, row: int, value: np.ndarray) -> None:
        if value.shape != self.shape:
            raise ValueError(f'A row of the shape {value.shape} does not fit '
                             f'to those of {self.shape}.')
        self._put(row, value.astype(self.dtype, copy=False).tobytes())

    def fill(self, start: int, stop: int) -> None:
        """Blank rows: NaN, 0 or False."""
        block = self.blank.tobytes() * min(_BLANKS, stop - start)
        for row in range(start, stop, _BLANKS):
            count = min(_BLANKS, stop - row)
            self._put(row, block[:count * self.blank.nbytes])

    def view(self, length: int) -> np.ndarray:
        """(length, ...) in the file, read where it is looked at."""
        if not length * self.blank.nbytes:
            return np.empty((length, *self.shape), self.dtype)
        self.file.flush()
        return np.memmap(self.file, self.dtype, 'r',
                         shape=(length, *self.shape))

    def gather(self, rows: np.ndarray, length: int) -> np.ndarray:
        """Some rows, (N, ...)."""
        return np.array(self.view(length)[rows])

    def save(self, length: int, target: IO[bytes]) -> None:
        """As a ``.npy``."""
        _write_header(target, (length, *self.shape), self.dtype)
        rows = max(1, _CHUNK // max(1, self.blank.nbytes))
        view = self.view(length)
        for start in range(0, length, rows):
            target.write(view[start:start + rows].tobytes())


class _TextColumn:
    """Texts in a file, and in another one where each of them ends."""

    def __init__(self, folder: Path | None) -> None:
        self.width, self._end = 1, 0
        self.file = tempfile.TemporaryFile(prefix='mmtvface-', dir=folder)
        self._ends = _Column(np.array(0), folder)

    def close(self) -> None:
        self.file.close()
        self._ends.close()

    def write(self, row: int, text: str) -> None:
        """Write the row that comes next."""
        self.width = max(self.width, len(text))
        # Names of files may hold bytes that are no text: lone surrogates.
        data = text.encode('utf-8', 'surrogatepass')
        self._end += len(data)
        self.file.write(data)
        self._ends.write(row, np.array(self._end))

    def fill(self, start: int, stop: int) -> None:
        """Write empty texts."""
        for row in range(start, stop):
            self.write(row, '')

    def gather(self, rows: np.ndarray, length: int) -> np.ndarray:
        """Some texts, (N,)."""
        ends, texts, place = self._ends.view(length), [], -1
        for row in rows.tolist():
            start = int(ends[row - 1]) if row else 0
            if start != place:
                self.file.seek(start)
            place = int(ends[row])
            texts.append(self.file.read(place - start).decode(
                'utf-8', 'surrogatepass'))
        self.file.seek(0, 2)
        return np.array(texts, f'<U{self.width}')

    def save(self, length: int, target: IO[bytes]) -> None:
        """As a ``.npy``."""
        _write_header(target, (length, ), np.dtype(f'<U{self.width}'))
        for start in range(0, length, _BLANKS):
            rows = np.arange(start, min(start + _BLANKS, length))
            target.write(self.gather(rows, length).tobytes())


class ColumnStore:
    """Arrays of a row per result, in files without names.

    Memory does not grow with the rows: they are written to the disk when they
    come, and the ``.npz`` is copied together from there. The files take as
    much space as the arrays, vanish when the store is closed, and lie in a
    folder that has to hold the result anyway.

    Args:
        folder: Where the files take their space; None: the system's.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._columns: dict[str, _Column | _TextColumn | None] = {}
        self._length = 0

    def __len__(self) -> int:
        """Number of rows T."""
        return self._length

    def __enter__(self) -> 'ColumnStore':
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the space back; the store is empty then."""
        for column in self._columns.values():
            if column is not None:
                column.close()
        self._columns, self._length = {}, 0

    def append(self, row: Mapping[str, Any]) -> int:
        """Add a row.

        Args:
            row: Name -> array of the same shape and type in all rows,
                number, or text. Where it is missing or None, the row is
                blank: NaN, 0, False or ''.

        Returns:
            Its number.

        Raises:
            ValueError: If an array has another shape than those before.
        """
        for name, value in row.items():
            if self._columns.get(name) is None:
                self._columns[name] = self._begin(value)
        for name, column in self._columns.items():
            if column is None:
                continue
            value = row.get(name)
            if value is None:
                column.fill(self._length, self._length + 1)
            else:
                column.write(self._length, value if isinstance(value, str)
                             else np.asarray(value))
        self._length += 1
        return self._length - 1

    def _begin(self, value: Any) -> _Column | _TextColumn | None:
        """A column with blank rows so far; None without a value."""
        if value is None:
            return None
        column = (_TextColumn(self._folder) if isinstance(value, str)
                  else _Column(np.asarray(value), self._folder))
        column.fill(0, self._length)
        return column

    def replace(self, row: int, name: str, value: Any) -> None:
        """Write an array or a number of a row that there is already.

        Raises:
            ValueError: If there is none, or it has another shape.
        """
        column = self._columns.get(name)
        if not (isinstance(column, _Column) and 0 <= row < self._length):
            raise ValueError(f"There is no row {row} of '{name}'.")
        column.write(row, np.asarray(value))

    def column(self, name: str) -> np.ndarray:
        """(T, ...) of numbers, read from the disk where they are looked at.

        It holds for the rows of now.

        Raises:
            KeyError: If there are no such numbers.
        """
        if not isinstance(column := self._columns.get(name), _Column):
            raise KeyError(name)
        return column.view(self._length)

    def gather(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Some rows of all columns, in the memory.

        Args:
            rows: (N,) numbers of rows.

        Returns:
            Name -> (N, ...); columns that are blank in all rows of the store
            are left out.
        """
        return {name: column.gather(rows, self._length)
                for name, column in self._columns.items()
                if column is not None}

    def groups(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """Rows that share a number, 16 bytes of memory per row of the store.

        Args:
            name: Of a column of integers.

        Yields:
            The number, ascending, and its rows, ascending.
        """
        if not self._length:
            return
        values = self.column(name)
        order = np.argsort(values, kind='stable')
        starts = np.flatnonzero(np.diff(values[order], prepend=np.nan) != 0)
        for rows in np.split(order, starts[1:]):
            yield int(values[rows[0]]), rows

    def save(self, path: Path, **further: Any) -> None:
        """Write a ``.npz`` as :func:`numpy.savez` does, some bytes at a time.

        Columns that are blank in all rows are (T, 0).

        Args:
            path: Of the file.
            further: Arrays and numbers to write beside.
        """
        with zipfile.ZipFile(path, 'w') as archive:
            for name, value in further.items():
                with archive.open(f'{name}.npy', 'w') as target:
                    np.lib.format.write_array(target, np.asarray(value),
                                              allow_pickle=False)
            for name, column in self._columns.items():
                with archive.open(f'{name}.npy', 'w',
                                  force_zip64=True) as target:
                    if column is None:
                        _write_header(target, (self._length, 0),
                                      np.dtype(np.float64))
                    else:
                        column.save(self._length, target)


def _write_header(target: IO[bytes], shape: tuple[int, ...],
                  dtype: np.dtype) -> None:
    """What stands before the numbers of a ``.npy``."""
    np.lib.format.write_array_header_1_0(target, dict(
        descr=np.lib.format.dtype_to_descr(dtype), fortran_order=False,
        shape=shape))
