# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Where the files of clips lie: in folders or packed in one LMDB file.

A packed split is one file, ``train.lmdb``, with these entries:

=============================  ==========================================
``__index__``                  JSON: format, version and the clips in
                               order, each with ``id``, ``identity`` and
                               ``num_frames``
``__frames__/<clip id>``       JSON: ``images``, ``landmarks`` and
                               ``masks``, lists of file names in order, ''
                               where a frame has none
``<clip id>/<file>``           a file as it was in the folder of the clip,
                               for example ``video_0001/jpg/000001.jpg``
=============================  ==========================================
"""

import json
import os
import threading
from pathlib import Path
from typing import Any, Protocol

from mmtvface.io.clip_index import ClipFrames, list_frames
from mmtvface.utils.deps import require

FORMAT = 'mmtvface-packed-clips'
VERSION = 1
INDEX_KEY = '__index__'
FRAMES_KEY = '__frames__/'
INSTALL = 'pip install lmdb'

# Open environments by (process, file): LMDB forbids to open a file twice in
# a process and to use an environment that was opened before a fork.
_ENVIRONMENTS: dict[tuple[int, str], Any] = {}
_LOCK = threading.Lock()


def _new_lock() -> None:
    """Another thread may have held the lock when this process was forked."""
    global _LOCK
    _LOCK = threading.Lock()


if hasattr(os, 'register_at_fork'):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_new_lock)


class ClipStore(Protocol):
    """Gives the files of clips as bytes."""

    def read(self, clip: str, name: str) -> bytes:
        """Contents of a file of a clip.

        Raises:
            OSError: If there is no such file or it cannot be read.
        """

    def where(self, clip: str, name: str) -> str:
        """The place of a file, for messages."""

    def frames(self, clip: str, dirs: dict[str, str]) -> ClipFrames:
        """The frames of a clip in order."""


class FolderStore:
    """Clips in folders; a clip is named by its path."""

    def read(self, clip: str, name: str) -> bytes:
        """Contents of a file."""
        with open(os.path.join(clip, name), 'rb') as file:
            return file.read()

    def where(self, clip: str, name: str) -> str:
        """Path of a file."""
        return os.path.join(clip, name)

    def frames(self, clip: str, dirs: dict[str, str]) -> ClipFrames:
        """List a clip."""
        return list_frames(Path(clip), dirs['images'], dirs['landmarks'],
                           dirs['masks'])


class LmdbStore:
    """Clips packed in one LMDB file; a clip is named by its id.

    Every process opens the file when it reads first, so that a dataset may
    be forked or pickled to the workers of a data loader at any time.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it was not written by
            :func:`mmtvface.datasets.pack_clips`.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = str(Path(path).expanduser().absolute())
        if not os.path.isfile(self.path):
            raise FileNotFoundError(
                f"No packed clips at '{self.path}'. Write them with: "
                'python tools/dataset_converters/pack_clips.py FOLDER')
        index = self._index()
        self.clips: list[dict] = index['clips']

    def _index(self) -> dict:
        lmdb = require('lmdb', f"Reading '{self.path}'", INSTALL)
        remedy = ('is not a file of packed clips; write it with: python '
                'tools/dataset_converters/pack_clips.py FOLDER')
        try:
            index = json.loads(self._get(INDEX_KEY) or b'{}')
        except (lmdb.Error, ValueError) as error:
            raise ValueError(f"'{self.path}' {remedy} ({error}).") from error
        found = index.get('format'), index.get('version')
        if found != (FORMAT, VERSION):
            raise ValueError(f"'{self.path}' {remedy} (expected format "
                             f'{FORMAT}, version {VERSION}, found {found}).')
        return index

    def _environment(self) -> Any:
        key = os.getpid(), self.path
        with _LOCK:
            if key not in _ENVIRONMENTS:
                lmdb = require('lmdb', f"Reading '{self.path}'", INSTALL)
                _close_inherited()
                # No lock file: nobody writes to a finished file. No
                # read-ahead: the windows come in random order.
                environment = lmdb.open(
                    self.path, subdir=False, readonly=True, lock=False,
                    readahead=False, meminit=False, max_spare_txns=4)
                try:
                    _check_size(environment, self.path)
                except ValueError:
                    environment.close()
                    raise
                _ENVIRONMENTS[key] = environment
            return _ENVIRONMENTS[key]

    def _get(self, key: str) -> bytes | None:
        with self._environment().begin() as transaction:
            return transaction.get(key.encode())

    def read(self, clip: str, name: str) -> bytes:
        """Contents of a file.

        Raises:
            OSError: If there is no such entry or the file is damaged.
        """
        try:
            data = self._get(f'{clip}/{name}')
        except require('lmdb', f"Reading '{self.path}'",
                       INSTALL).Error as error:
            raise OSError(f'the packed file is damaged ({error})') from error
        if data is None:
            raise FileNotFoundError('the packed file has no such entry')
        return data

    def where(self, clip: str, name: str) -> str:
        """File and key of an entry."""
        return f'{self.path}:{clip}/{name}'

    def frames(self, clip: str, dirs: dict[str, str]) -> ClipFrames:
        """The frames of a clip as they were when it was packed.

        Raises:
            ValueError: If the clip is not there or was packed from other
                sub-folders.
        """
        data = self._get(FRAMES_KEY + clip)
        if data is None:
            raise ValueError(f"'{self.path}' has no clip '{clip}'.")
        frames = json.loads(data)
        if frames['dirs'] != dict(dirs):
            raise ValueError(
                f"'{self.path}' was packed from the sub-folders "
                f"{frames['dirs']}, but data_prefix is {dict(dirs)}.")
        return ClipFrames(frames['images'], frames['landmarks'],
                          frames['masks'])


def used_size(environment: Any) -> int:
    """Bytes that the pages of an open LMDB file take."""
    return environment.stat()['psize'] * (
        environment.info()['last_pgno'] + 1)


def _check_size(environment: Any, path: str) -> None:
    """Refuse a part of a file: reading what it lacks kills the process.

    Raises:
        ValueError: If the file is shorter than its pages.
    """
    found, wanted = os.path.getsize(path), used_size(environment)
    if found < wanted:
        raise ValueError(f'it is truncated: {found} of {wanted} bytes, as '
                         'after an interrupted copy')


def _close_inherited() -> None:
    """Let go of the files that were open as this process was forked."""
    for key in [key for key in _ENVIRONMENTS if key[0] != os.getpid()]:
        _ENVIRONMENTS.pop(key).close()


def close_environment(path: str | os.PathLike) -> None:
    """Close a packed file in this process, before it is replaced."""
    with _LOCK:
        environment = _ENVIRONMENTS.pop(
            (os.getpid(), str(Path(path).expanduser().absolute())), None)
        if environment is not None:
            environment.close()
