# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What a viewer needs of the output folder of ``mmtvface reconstruct``."""

import json
import os
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmtvface.animation.tracks import CodeTrack, read_codes
from mmtvface.export.writer import METRICS

_REMEDY = ('Make it by mmtvface reconstruct INPUT --out {folder} --save codes '
         'glb.')


class ResultFolder(NamedTuple):
    """A reconstruction that can be shown.

    Attributes:
        path: The folder.
        codes: Of all frames and faces: a frame may have several rows.
        heads: Track id -> its ``.glb``, in the order of the ids.
    """

    path: Path
    codes: CodeTrack
    heads: dict[int, Path]


def read_result(folder: str | os.PathLike) -> ResultFolder:
    """Read the codes of a result and find the animated head of each face.

    Raises:
        FileNotFoundError: If the folder, its codes or a head are missing.
        ValueError: If a file is not what it should be.
    """
    folder = Path(folder).expanduser()
    remedy = _REMEDY.format(folder=folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'Result not found: {folder} is no folder. '
                                + remedy)
    if not (folder / 'codes.npz').is_file():
        raise FileNotFoundError(f'{folder} has no codes.npz. {remedy}')
    codes = read_codes(folder / 'codes.npz', track='all')
    heads = {int(track): folder / 'glb' / f'track{track}.glb'
             for track in np.unique(codes.track_id[codes.valid])}
    for path in heads.values():
        _check_head(path, remedy)
    return ResultFolder(folder, codes, heads)


def _check_head(path: Path, remedy: str) -> None:
    """Check that a file is a whole binary glTF 2.0."""
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing. {remedy}')
    with path.open('rb') as file:
        header = file.read(12)
    if header != struct.pack('<4s2I', b'glTF', 2, path.stat().st_size):
        raise ValueError(f'{path} is no complete binary glTF file. {remedy}')


def source_of(folder: Path) -> Path:
    """The input that a result was made from, as ``metrics.json`` names it.

    Raises:
        FileNotFoundError: If it is not told or not there any more.
        ValueError: If ``metrics.json`` is damaged.
    """
    path = folder / METRICS
    try:
        source = (json.loads(path.read_text(encoding='utf-8'))['source']
                  if path.is_file() else None)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} does not name the input ({type(error).__name__}: '
            f'{error}). Give the input of the reconstruction by --input.'
        ) from error
    if not source or not Path(source).exists():
        raise FileNotFoundError(
            f'The input of {folder} is not there any more'
            + (f': {source}' if source else '') + '. Give it by --input; '
            'the overlay.mp4 of the result will do.')
    return Path(source)
