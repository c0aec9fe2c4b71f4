# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Where files that are not part of the package live, and what is there."""

import os
from collections.abc import Iterable
from pathlib import Path

CACHE_ENV = 'MMTVFACE_CACHE'
FLAME_SITE = 'https://flame.is.tue.mpg.de (after registration)'
DECA_DATA = ('the data folder of the DECA release '
             '(https://github.com/yfeng95/DECA)')
# Published files that a config can point at, and where users get them.
PUBLISHED_FILES = {
    'generic_model.pkl': FLAME_SITE,
    'landmark_embedding.npy': DECA_DATA,
    'head_template.obj': DECA_DATA,
    'uv_face_mask.png': DECA_DATA,
    'uv_face_eye_mask.png': DECA_DATA,
    'fixed_displacement_256.npy': DECA_DATA,
    'mean_texture.jpg': DECA_DATA,
    'FLAME_albedo_from_BFM.npz':
    'the Basel Face Model by https://github.com/TimoBolkart/BFM_to_FLAME',
    'FLAME_texture.npz': FLAME_SITE,
}


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


def find_published_files(folder: str | os.PathLike,
                         required: Iterable[str] = ()) -> dict[str, Path]:
    """Published files that a folder has.

    Args:
        folder: Where a user keeps them, such as ``data/flame``.
        required: Names of :data:`PUBLISHED_FILES` that must be there.

    Returns:
        Name -> path of those that are there.

    Raises:
        FileNotFoundError: If the folder or a required file is not there;
            the message says where it comes from.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f'There is no folder {folder} with the files '
                                'of the head model.')
    found = {name: folder / name for name in PUBLISHED_FILES
             if (folder / name).is_file()}
    if missing := [name for name in required if name not in found]:
        listed = '; '.join(f'{name} from {PUBLISHED_FILES[name]}'
                           for name in missing)
        raise FileNotFoundError(f'{folder} lacks {listed}.')
    return found


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
