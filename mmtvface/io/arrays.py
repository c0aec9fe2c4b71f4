# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reading of ``.npz`` files without running code from them."""

import os
import zipfile

import numpy as np

from mmtvface.utils.assets import require_file

CODES_REMEDY = 'Write them by mmtvface reconstruct INPUT --save codes.'


def read_code_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All arrays of a ``codes.npz`` of ``mmtvface reconstruct`` by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no archive of plain arrays.
    """
    path = require_file(path, 'Codes', CODES_REMEDY)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, TypeError, AttributeError,
            zipfile.BadZipFile) as error:
        raise ValueError(f'{path} is no file of codes ({error}). It must be '
                         'a codes.npz of mmtvface reconstruct.') from error
