# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What is in folders, for messages."""

from pathlib import Path


def listing(folder: Path, shown: int = 5) -> str:
    """What is in a folder.

    Args:
        folder: It may be missing.
        shown: How many names are told.
    """
    if not folder.is_dir():
        return 'no such folder'
    there = sorted(path.name for path in folder.iterdir())
    if not there:
        return 'nothing in it'
    return (f"{len(there)} other entries: {', '.join(there[:shown])}"
            + ', ...' * (len(there) > shown))
