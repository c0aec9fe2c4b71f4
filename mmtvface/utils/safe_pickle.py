# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reading the pickles of published models without running their code.

A pickle is a program: it may call anything that it can name. The files of
FLAME and of its landmarks are pickles of arrays, so this reader lets them
name only what arrays need, each under a stand-in of ours where the original
would import a package (chumpy, which no longer installs), accept arbitrary
codecs, or unpickle further. Everything else is refused by name.

Every array comes out as a plain :class:`numpy.ndarray`: the value of a chumpy
object, the dense form of a sparse matrix, the copy of a torch tensor.
"""

import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from .assets import require_file

# NumPy's own constructors; their module differs between NumPy 1 and 2.
_reconstruct = np.ndarray(0).__reduce__()[0]
_scalar = np.float64(0).__reduce__()[0]
_CODECS = ('latin1', 'latin-1', 'ascii', 'utf-8', 'utf8')


class UnsafePickleError(ValueError):
    """A pickle names something that arrays do not need."""


class _ChumpyArray:
    """Stand-in for ``chumpy.ch.Ch``: only its value is kept."""

    value: np.ndarray

    # Defined on purpose: without it, pickle would let the file set
    # attributes, on the class itself too.
    def __setstate__(self, state: dict) -> None:
        if not isinstance(state, dict) or not isinstance(
                state.get('x'), np.ndarray):
            raise ValueError('a chumpy object holds no array "x"')
        self.value = state['x']


class _SparseColumns:
    """Stand-in for ``scipy.sparse.csc_matrix``: its dense form is kept."""

    value: np.ndarray

    def __setstate__(self, state: dict) -> None:
        shape = state.get('_shape', state.get('shape'))
        data, rows, starts = (
            np.asarray(state[key]) for key in ('data', 'indices', 'indptr'))
        if len(starts) != shape[1] + 1 or len(rows) != len(data):
            raise ValueError('a sparse matrix contradicts its own shape')
        if rows.size and rows.min() < 0:
            raise ValueError('a sparse matrix has a negative row index')
        columns = np.repeat(np.arange(shape[1]), np.diff(starts))
        self.value = np.zeros(shape, data.dtype)
        np.add.at(self.value, (rows, columns), data)


def _encode(text: str, encoding: str = 'utf-8') -> bytes:
    """``_codecs.encode`` for text codecs (others may import modules)."""
    if encoding not in _CODECS:
        raise UnsafePickleError(f"the codec '{encoding}' is not allowed")
    return str.encode(text, encoding)


def _reconstruct_instance(cls: type, base: type, state: None) -> Any:
    """``copyreg._reconstructor`` (protocols 0 and 1) for the stand-ins."""
    if cls not in (_ChumpyArray, _SparseColumns) or base is not object:
        raise UnsafePickleError(f'instances of {cls!r} are not allowed')
    return cls()


def _array_from_buffer(buffer: bytes, dtype: np.dtype, shape: tuple,
                       order: str) -> np.ndarray:
    """Array of protocol 5, copied so that it is writable."""
    flat = np.frombuffer(buffer, dtype=dtype)
    return flat.reshape(shape, order=order).copy()


def _torch_storage(data: bytes) -> Any:
    """``torch.storage._load_from_bytes`` without arbitrary unpickling."""
    import torch
    return torch.load(
        io.BytesIO(data), map_location='cpu', weights_only=True)


def _torch_array(storage: Any, offset: int, size: tuple, stride: tuple,
                 requires_grad: bool = False, hooks: Any = None) -> np.ndarray:
    """``torch._utils._rebuild_tensor_v2`` as a NumPy copy."""
    import torch
    flat = torch.tensor([], dtype=storage.dtype)
    flat.set_(storage)
    last = offset + sum(
        (n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride), default=0) < 0 or (
            0 not in size and last >= flat.numel()):
        raise ValueError('a tensor reaches beyond its storage')
    return flat.as_strided(size, stride, offset).numpy().copy()


def _allowed_globals() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
        ('_codecs', 'encode'): _encode,
        ('collections', 'OrderedDict'): OrderedDict,
        ('chumpy.ch', 'Ch'): _ChumpyArray,
        ('chumpy', 'Ch'): _ChumpyArray,
        ('torch._utils', '_rebuild_tensor_v2'): _torch_array,
        ('torch.storage', '_load_from_bytes'): _torch_storage,
    }
    for core in ('numpy.core', 'numpy._core'):  # NumPy 1 and NumPy 2
        table[f'{core}.multiarray', '_reconstruct'] = _reconstruct
        table[f'{core}.multiarray', 'scalar'] = _scalar
        table[f'{core}.numeric', '_frombuffer'] = _array_from_buffer
    for builtins in ('__builtin__', 'builtins'):  # Python 2 and Python 3
        table[builtins, 'set'] = set
        table[builtins, 'object'] = object
    for copyreg in ('copy_reg', 'copyreg'):
        table[copyreg, '_reconstructor'] = _reconstruct_instance
    for module in ('scipy.sparse.csc', 'scipy.sparse._csc'):
        table[module, 'csc_matrix'] = _SparseColumns
        table[module, 'csc_array'] = _SparseColumns
    return table


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler that looks up globals in a fixed table only."""

    _allowed = _allowed_globals()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise UnsafePickleError(
                f"it asks for '{module}.{name}', which is no part of an "
                'array file and could run any code') from None


def _plain(value: Any) -> Any:
    """Replace stand-ins by their arrays, in containers too."""
    if isinstance(value, _ChumpyArray | _SparseColumns):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    if isinstance(value, np.ndarray) and value.dtype == object:
        plain = np.empty_like(value)
        for index, item in np.ndenumerate(value):
            plain[index] = _plain(item)
        return plain
    return value


def _describe_damage(path: Path) -> str | None:
    """What kind of file stands in the place of the model, if one does."""
    with open(path, 'rb') as file:
        head = file.read(512).lstrip()
    if not head:
        return 'the file is empty'
    if head[:1] == b'<' and b'\x00' not in head:
        return ('it is a web page, not a model (a download without login '
                'saves the login page)')
    if head[:4] == b'PK\x03\x04':
        return 'it is a ZIP archive: unpack it and give the file inside'
    return None


def _load(path: str | os.PathLike, what: str, remedy: str,
          read: Callable[[IO[bytes]], Any]) -> Any:
    path = require_file(path, what, remedy)
    damage = _describe_damage(path)
    if damage:
        raise ValueError(f'{path} is not a {what}: {damage}. {remedy}')
    try:
        with open(path, 'rb') as file:
            return _plain(read(file))
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f'{path} was refused: {error}. Only arrays are read from a '
            f'{what}. {remedy}') from None
    # Damaged bytes are a damaged program: it may raise anything.
    except Exception as error:
        raise ValueError(
            f'{path} cannot be read as a {what}: {error or repr(error)}. It '
            f'is probably truncated or damaged. {remedy}') from error


def _read_pickle(file: IO[bytes]) -> Any:
    return _ArrayUnpickler(file, encoding='latin1').load()


def _read_npy(file: IO[bytes]) -> Any:
    version = np.lib.format.read_magic(file)
    reader = (np.lib.format.read_array_header_1_0 if version == (1, 0) else
              np.lib.format.read_array_header_2_0)
    dtype = reader(file)[2]
    if dtype.hasobject:
        return _read_pickle(file)
    file.seek(0)
    return np.load(file, allow_pickle=False)


def load_pickle(path: str | os.PathLike, what: str = 'pickle of arrays',
                remedy: str = '') -> Any:
    """Read a pickle of arrays, of Python 2 or 3, without running code.

    Args:
        path: The file.
        what: What it should be, for messages, such as 'FLAME model'.
        remedy: A sentence that says how to get a good file, for messages.

    Returns:
        The pickled object (mostly a dict) with plain NumPy arrays in place
        of chumpy objects, sparse matrices and torch tensors.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafePickleError: If the file names anything that arrays do not
            need; the message names it and the file.
        ValueError: If the file is empty, truncated, damaged or a web page.
    """
    return _load(path, what, remedy, _read_pickle)


def load_npy(path: str | os.PathLike, what: str = 'NumPy file',
             remedy: str = '') -> Any:
    """Read a ``.npy`` file, of pickled objects too, without running code.

    Args:
        path: The file.
        what: As in :func:`load_pickle`.
        remedy: As in :func:`load_pickle`.

    Returns:
        The array; in the case of a single pickled object, the object.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafePickleError: As in :func:`load_pickle`.
        ValueError: As in :func:`load_pickle`.
    """
    array = _load(path, what, remedy, _read_npy)
    if array.dtype == object and array.ndim == 0:
        return array.item()
    return array


def load_npz(path: str | os.PathLike, what: str = 'NumPy archive',
             remedy: str = '') -> dict[str, np.ndarray]:
    """Read all arrays of a ``.npz`` archive; pickled entries are refused.

    Args:
        path: The file.
        what: As in :func:`load_pickle`.
        remedy: As in :func:`load_pickle`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no archive or holds pickled objects.
    """
    path = require_file(path, what, remedy)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    # A damaged archive raises errors of zipfile, zlib and NumPy.
    except Exception as error:
        raise ValueError(f'{path} cannot be read as a {what}: {error}. '
                         f'{remedy}') from error
