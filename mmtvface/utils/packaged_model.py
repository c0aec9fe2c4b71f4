# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The trained model that is part of the package."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from .assets import require_file

#: Name of the files in :data:`WEIGHTS_DIR`.
PACKAGED_NAME = 'lite-deca_r18w32_synthtv-112'
WEIGHTS_DIR = Path(__file__).resolve().parents[1] / 'weights'


class PackagedModel(NamedTuple):
    """A model with everything that is known of it.

    Attributes:
        config: Config file, complete in itself.
        checkpoint: Weights.
        info: The metafile: where they come from, and how good they are.
    """

    config: Path
    checkpoint: Path
    info: dict[str, Any]


def sha256_of(path: str | os.PathLike) -> str:
    """Checksum of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def packaged_models() -> list[str]:
    """Names of the models that are part of the package."""
    return sorted(path.stem for path in WEIGHTS_DIR.glob('*.json')
                  if path.with_suffix('.pth').is_file())


def packaged_model(folder: str | os.PathLike = WEIGHTS_DIR,
                   name: str = PACKAGED_NAME) -> PackagedModel:
    """Find the packaged model and make sure that it is whole.

    Args:
        folder: Has ``<name>.py``, ``<name>.pth`` and ``<name>.json``.
        name: Of the model.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the metafile cannot be read or the weights are not
            those that it describes.
    """
    folder = Path(folder)

    def remedy(path: Path) -> str:
        return (f'Get it back by "git checkout -- {path}", or install '
                'mmtvface again.')

    config, checkpoint, metafile = (
        require_file(folder / f'{name}{suffix}', 'Packaged model',
                     remedy(folder / f'{name}{suffix}'))
        for suffix in ('.py', '.pth', '.json'))
    try:
        info = json.loads(metafile.read_text(encoding='utf-8'))
        expected = info['sha256']
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f'{metafile} is damaged: it must be JSON with the entry sha256 '
            f'({error!r}). {remedy(metafile)}') from error
    found = sha256_of(checkpoint)
    if found != expected:
        raise ValueError(
            f'{checkpoint} is damaged: its SHA-256 is {found[:12]}..., but '
            f'{metafile.name} says {str(expected)[:12]}... '
            f'{remedy(checkpoint)}')
    return PackagedModel(config, checkpoint, info)
