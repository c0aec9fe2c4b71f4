# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Write the built-in head in the file formats of the licensed models."""

import os
from pathlib import Path

from mmtvface.heads.head_files import save_head_files

from .cache import procedural_head


def save_procedural_head(folder: str | os.PathLike) -> Path:
    """Write the built-in head as the files a licensed model consists of.

    Args:
        folder: Made if it does not exist; existing files are replaced. For
            what is in it see
            :func:`~mmtvface.heads.head_files.save_head_files`.

    Returns:
        The folder.

    Raises:
        OSError: If the folder cannot be written.
    """
    head = procedural_head()
    return save_head_files(folder, head.model, head.landmarks, head.topology,
                           (head.albedo_mean, head.albedo_basis))
