# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A list whose items lie in one array, for millions of small records."""

import pickle
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np


class PackedList:
    """Read-only list of small objects, pickled and compressed in one array.

    Forked workers share the memory: reading an item changes no reference
    count in it, as reading a list of Python objects does. The names of a
    clip's files, which are much alike, take about two bytes each.

    Args:
        items: The objects, taken one by one; plain values only.
    """

    def __init__(self, items: Iterable[Any] = ()):
        parts = [zlib.compress(pickle.dumps(item, protocol=4), 1)
                 for item in items]
        self._ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        self._data = np.frombuffer(b''.join(parts), np.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f'{index} is not in 0..{len(self) - 1}.')
        start, end = self._ends[index:index + 2]
        # These bytes were pickled by this object, not read from a file.
        return pickle.loads(zlib.decompress(self._data[start:end]))
