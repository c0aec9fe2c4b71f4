# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Files that appear complete or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def unfinished_path(path: str | os.PathLike) -> Path:
    """Name beside ``path`` for its contents while they are being written.

    The suffix is kept, since writers choose the format by it; the process id
    keeps concurrent writers apart.
    """
    path = Path(path)
    return path.with_name(f'.{path.stem}.{os.getpid()}.part{path.suffix}')


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Write to a temporary name that becomes ``path`` on success.

    An interrupted or failing writer leaves an older file as it was.

    Args:
        path: Target; its folder must exist.

    Yields:
        The path to write to.
    """
    part = unfinished_path(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def writable_dir(path: str | os.PathLike) -> Path:
    """Create a folder and make sure that files can be written to it.

    Called before long computations, so that their results have a place.

    Returns:
        The folder.

    Raises:
        ValueError: If it cannot be created or written to.
    """
    path = Path(path).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(
            f'Cannot write to the output folder {path} '
            f'({error.strerror or error}). Choose another one or change its '
            'permissions.') from error
    return path
