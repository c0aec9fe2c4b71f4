# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Checks of what animations are made from: sentences instead of surprises."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: Shapes of a frame's entries, of arrays that lie in pixels.
PLACED = {'camera': (3, 4), 'landmarks3d': (68, 3), 'frame_size': (2, )}


def code_array(array: np.ndarray, key: str, name: str) -> np.ndarray:
    """A code of all frames as float32, a copy.

    Args:
        array: (T, C), light (T, 9, 3).
        key: Which code it is.
        name: Of the input, for messages.

    Raises:
        ValueError: If it is not of numbers or has other axes.
    """
    array = np.asarray(array)
    expected = 3 if key == 'light' else 2
    if array.ndim != expected or array.dtype.kind not in 'fiu':
        raise ValueError(
            f"{name}: the code '{key}' must be numbers of the shape "
            f'{"(T, 9, 3)" if expected == 3 else "(T, C)"}, but it is '
            f'{array.dtype} {array.shape}.')
    return array.astype(np.float32, copy=True)


def per_frame(arrays: Mapping[str, np.ndarray], key: str,
              default: np.ndarray, name: str,
              kinds: str = 'iu') -> np.ndarray:
    """An array with an entry per frame, or its default.

    Args:
        arrays: Name -> array.
        key: Which of them.
        default: (T,), if it is not there.
        name: Of the input, for messages.
        kinds: Kinds of NumPy types that it may have.

    Raises:
        ValueError: If it has another length or kind.
    """
    array = np.asarray(arrays.get(key, default))
    if array.shape != default.shape or array.dtype.kind not in kinds:
        raise ValueError(
            f"{name}: '{key}' must have one entry for each of the "
            f'{len(default)} frames, like {default.dtype}, but it is '
            f'{array.dtype} {array.shape}.')
    return array


def ascending(index: np.ndarray, name: str) -> np.ndarray:
    """Positions of frames, (T,) integers from 0 or above that never fall.

    Raises:
        ValueError: If they do.
    """
    index = index.astype(np.int64)
    if index[0] < 0 or (np.diff(index) < 0).any():
        raise ValueError(f"{name}: 'frame_index' must not fall, from 0 or "
                         f'above, but it is {index[:8].tolist()}.')
    return index


def known_times(arrays: Mapping[str, np.ndarray], length: int,
                name: str) -> np.ndarray | None:
    """Times of frames, (T,) seconds; None where they come evenly.

    Args:
        arrays: Name -> array; times are in ``time``, NaN if not known.
        length: T.
        name: Of the input, for messages.

    Raises:
        ValueError: If they fall, or are no times.
    """
    time = per_frame(arrays, 'time', np.full(length, np.nan), name,
                     'fiu').astype(np.float64)
    if not np.isfinite(time).all():
        return None
    if (np.diff(time) < 0).any():
        raise ValueError(f"{name}: 'time' must not fall, but it is "
                         f'{time[:8].tolist()}.')
    return time


def one_row_per_frame(index: np.ndarray, track_id: np.ndarray,
                      valid: np.ndarray, track: int) -> np.ndarray:
    """Rows of one face, and of a frame without it the first one.

    Args:
        index: (T,) positions of frames, ascending.
        track_id: (T,).
        valid: (T,) bool.
        track: Id of the face.

    Returns:
        (N,) rows, one for each frame.
    """
    wanted = valid & (track_id == track)
    # Of each frame the wanted row first
    order = np.lexsort((~wanted, index))
    return order[np.diff(index[order], prepend=-1) > 0]


def placed(array: np.ndarray, key: str, shape: tuple[int, ...],
           name: str) -> np.ndarray | None:
    """Where things are in the frames; None for (T, 0), if it is not known.

    Args:
        array: Of ``shape``.
        key: Which array it is.
        shape: T, and that of :data:`PLACED`.
        name: Of the input, for messages.

    Raises:
        ValueError: If it is not of numbers or has another shape.
    """
    array = np.asarray(array)
    if array.shape == (shape[0], 0):
        return None
    if array.shape != shape or array.dtype.kind not in 'fiu':
        raise ValueError(f"{name}: '{key}' must be numbers of the shape "
                         f'{shape}, but it is {array.dtype} {array.shape}.')
    return array.astype(np.float64 if key != 'frame_size' else array.dtype)


def check_fps(fps: Any, what: str = 'fps') -> float:
    """A frame rate as a number.

    Args:
        fps: A number or an array of no dimensions.
        what: What it is called in the message.

    Raises:
        ValueError: If it is not one finite number above 0.
    """
    value = np.asarray(fps)
    if value.ndim or value.dtype.kind not in 'fiu' or not (
            np.isfinite(value) and value > 0):
        raise ValueError(f'{what} must be one finite number above 0, but it '
                         f'is {" ".join(str(fps).split())[:40]}.')
    return float(value)


def check_finite(**numbers: float | Sequence[float]) -> None:
    """Check options that are numbers or several of them.

    Raises:
        ValueError: If one is not finite.
    """
    for key, value in numbers.items():
        array = np.asarray(value)
        if array.dtype.kind not in 'fiu' or not np.isfinite(array).all():
            raise ValueError(f'{key} must be finite, but it is {value}.')
