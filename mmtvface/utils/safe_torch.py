# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reading files of torch.save without running code from them."""

import os
import pickle
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.utils import digit_version

from .assets import require_file
from .safe_pickle import UnsafePickleError

# torch says it in the last line of a long message, which first recommends to
# load unsafely.
_NAMED = re.compile(r'GLOBAL ([\w.]+)')
_REASON = re.compile(r'WeightsUnpickler error:\s*(.+)')
_TRUST = (
    'The file is damaged or holds more than weights; if you trust where it '
    'comes from, load it once yourself and save its tensors alone.')
# Kinds of numbers that are logged: bool, integers and floats.
_DTYPES = ('?', 'i1', 'u1', 'i2', 'i4', 'u4', 'i8', 'u8', 'f2', 'f4', 'f8')


def checkpoint_globals() -> list[Any]:
    """Types and functions that pickled NumPy arrays and numbers name.

    Returns:
        The first two are functions of NumPy, the others types. All of them
        only build arrays and numbers.
    """
    reconstruct = np.ndarray(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    dtypes = {type(np.dtype(kind)) for kind in _DTYPES} - {np.dtype}
    return [reconstruct, scalar, np.ndarray, np.dtype, *dtypes]


def allow_safe_globals() -> bool:
    """Tell torch.load of the harmless types in training checkpoints.

    It refuses everything but tensors and plain containers unless it is told
    of further types: here those of NumPy arrays and numbers.

    Returns:
        Whether this version of torch keeps such a list; versions before 2.4
        do not and load in their own way.
    """
    register = getattr(torch.serialization, 'add_safe_globals', None)
    if register is None:
        return False
    entries = checkpoint_globals()
    if digit_version(torch.__version__) >= digit_version('2.6'):
        # Files name these functions by the home they had in the NumPy that
        # wrote them, 1 or 2.
        entries += [(function, f'numpy.{home}.multiarray.{function.__name__}')
                    for function in entries[:2] for home in ('core', '_core')]
    register(entries)
    return True


def load_torch(path: str | os.PathLike, what: str = 'checkpoint',
               remedy: str = '') -> Any:
    """Read tensors and plain containers, old and new file format alike.

    Args:
        path: A file of ``torch.save``; its suffix does not matter
            (published ones are called ``.tar`` without being archives).
        what: What it should be, for messages.
        remedy: A sentence that says how to get a good file, for messages.

    Returns:
        The saved object with all tensors on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafePickleError: If it names anything that tensors do not need;
            the message says what.
        ValueError: If it is empty, damaged or a web page.
    """
    path = require_file(path, what, remedy)
    with open(path, 'rb') as file:
        head = file.read(512).lstrip()
    if head[:1] == b'<' and b'\x00' not in head:
        raise ValueError(
            f'{path} is not a {what}: it is a web page (a download that asks '
            f'for a login or a confirmation saves that page). {remedy}')
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        if named := _NAMED.search(str(error)):
            raise UnsafePickleError(
                f"{path} was refused: it asks for '{named[1]}', which is no "
                f'part of tensors and could run any code. {_TRUST} '
                f'{remedy}') from None
        reason = _REASON.search(str(error))
        raise _damaged(path, what, remedy,
                       reason[1] if reason else 'it is no file of torch.save'
                       ) from error
    # Damaged bytes are a damaged program: they may raise anything.
    except Exception as error:
        lines = str(error).strip().splitlines() or [repr(error)]
        raise _damaged(path, what, remedy, lines[0]) from error


def _damaged(path: os.PathLike, what: str, remedy: str,
             reason: str) -> ValueError:
    return ValueError(
        f'{path} cannot be read as a {what}: {reason.rstrip(".")}. It is '
        f'probably truncated, damaged or another kind of file. {remedy}')


def flatten_tensors(content: Any) -> dict[str, torch.Tensor]:
    """All tensors in nested dicts, lists and tuples, by dotted names.

    Arrays of numbers are tensors too (copied, as files may hold either).
    """
    return {name: value if isinstance(value, torch.Tensor) else
            torch.from_numpy(value.astype(value.dtype.newbyteorder('=')))
            for name, value in _leaves(content) if _is_tensor(value)}


def other_leaves(content: Any) -> list[str]:
    """Names of what :func:`flatten_tensors` leaves out, but for None."""
    return [name for name, value in _leaves(content)
            if value is not None and not _is_tensor(value)]


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or (
        isinstance(value, np.ndarray) and value.dtype.kind in 'biufc'
        and value.dtype.char not in 'gG')  # torch has no long double


def _leaves(content: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """What lies in nested dicts, lists and tuples, by dotted names."""
    if isinstance(content, Mapping):
        items = content.items()
    elif isinstance(content, list | tuple):
        items = enumerate(content)
    else:
        yield prefix, content
        return
    for key, value in items:
        yield from _leaves(value, f'{prefix}.{key}' if prefix else str(key))
