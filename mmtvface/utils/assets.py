# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Where files that are not part of the package live, and what is there."""

import os
from pathlib import Path

CACHE_ENV = 'MMTVFACE_CACHE'


def cache_dir() -> Path:
    """Folder for generated files that can be made again at any time.

    ``$MMTVFACE_CACHE``, else ``$XDG_CACHE_HOME/mmtvface``, else
    ``~/.cache/mmtvface``. It is not created here.
    """
    if path := os.environ.get(CACHE_ENV):
        return Path(path)
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'mmtvface'


def require_file(path: str | os.PathLike, what: str, remedy: str) -> Path:
    """Return the path of an existing file or say what is missing.

    Args:
        path: The file that must exist.
        what: What the file is, for the message.
        remedy: How the user gets it.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'{what} not found: {path}. {remedy}')
    return path


def listing(folder: Path, shown: int = 5) -> str:
    """What is in a folder.

    Args:
        folder: It may be missing.
        shown: How many names are listed.
    """
    if not folder.is_dir():
        return 'no such folder'
    there = sorted(path.name for path in folder.iterdir())
    if not there:
        return 'nothing in it'
    return (f"{len(there)} other entries: {', '.join(there[:shown])}"
            + ', ...' * (len(there) > shown))
