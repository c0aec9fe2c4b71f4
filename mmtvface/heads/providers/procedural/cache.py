# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The built-in head on disk: generated once, then read in a moment."""

import hashlib
import os
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mmtvface.heads.albedo import (
    AlbedoData,
    check_albedo_size,
    nearest_texels,
)
from mmtvface.heads.assets import HeadAssets
from mmtvface.heads.flame_io import HeadModelData
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.heads.landmark_embedding import LandmarkEmbedding
from mmtvface.heads.providers.flame import save_head_files
from mmtvface.registry import HEADS
from mmtvface.utils.assets import cache_dir

from .albedo import AlbedoModel
from .head import ProceduralHead, generate_head

_PARTS = {'model': HeadModelData, 'landmarks': LandmarkEmbedding,
          'topology': HeadTopology}


def generator_key() -> str:
    """Hash of the generator's source: other code, other cache file."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob('*.py')):
        digest.update(path.name.encode() + b'\0' + path.read_bytes())
    return digest.hexdigest()[:16]


def pack_head(head: ProceduralHead) -> dict[str, np.ndarray]:
    """Flatten a head into named arrays for an ``.npz`` file."""
    arrays = {
        f'{part}/{name}': getattr(getattr(head, part), name)
        for part, kind in _PARTS.items() for name in kind.__annotations__
    }
    arrays.update({f'albedo/{name}': value
                   for name, value in head.albedo._asdict().items()})
    arrays.update({f'regions/{name}': mask
                   for name, mask in head.regions.items()})
    arrays['expression_names'] = np.array(head.expression_names)
    # the largest array halves at a precision of a thousandth of a micrometre
    arrays['model/shapedirs'] = head.model.shapedirs.astype(np.float32)
    return arrays


def unpack_head(arrays: dict[str, np.ndarray]) -> ProceduralHead:
    """Invert :func:`pack_head`.

    Raises:
        KeyError: If an array is missing.
        ValueError: If an array has a wrong shape.
    """
    arrays = dict(arrays)
    arrays['model/shapedirs'] = arrays['model/shapedirs'].astype(np.float64)
    parts = {
        part: kind(**{name: arrays[f'{part}/{name}']
                      for name in kind.__annotations__})
        for part, kind in _PARTS.items()
    }
    prefix = 'regions/'
    return ProceduralHead(
        **parts,
        albedo=AlbedoModel(*(arrays[f'albedo/{name}']
                             for name in AlbedoModel._fields)),
        expression_names=tuple(arrays['expression_names'].tolist()),
        regions={key[len(prefix):]: mask for key, mask in arrays.items()
                 if key.startswith(prefix)})


def _read(path: Path) -> ProceduralHead | None:
    """The cached head, or None if there is no usable file."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return unpack_head(archive)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, KeyError, ValueError,
            zipfile.BadZipFile) as error:
        print_log(f'The cached head {path} is damaged ({error}); it is '
                  'generated again.', logger='current', level=30)
        return None


def _write(path: Path, head: ProceduralHead) -> None:
    """Write atomically, so that other processes see all of it or nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            prefix=path.stem, suffix='.tmp', dir=path.parent)
    except OSError as error:
        print_log(f'The generated head cannot be cached in {path.parent} '
                  f'({error}).', logger='current', level=30)
        return
    try:
        with os.fdopen(handle, 'wb') as file:
            np.savez(file, **pack_head(head))
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        print_log(f'The generated head cannot be cached as {path} '
                  f'({error}).', logger='current', level=30)


def load_or_generate(folder: Path) -> ProceduralHead:
    """Read the head cached in a folder, generating it where needed."""
    path = folder / f'procedural_head_{generator_key()}.npz'
    head = _read(path)
    if head is None:
        generated = generate_head()
        _write(path, generated)
        # through the file's precision, so that the process that generates
        # sees the same numbers as those that read
        head = unpack_head(pack_head(generated))
    return head


@lru_cache(maxsize=1)
def procedural_head() -> ProceduralHead:
    """The built-in head, cached in memory and in ``utils.cache_dir()``."""
    return load_or_generate(cache_dir())


@HEADS.register_module(name='procedural')
class BuiltInHead(HeadAssets):
    """The built-in head as ``head=dict(type='procedural')``."""

    name = 'procedural'

    def __init__(self) -> None:
        self._head = procedural_head()
        self.expression_names = self._head.expression_names
        self.scalp = self._head.regions['scalp']

    @property
    def model(self) -> HeadModelData:
        """Mean, blend shapes and joints."""
        return self._head.model

    @property
    def landmarks(self) -> LandmarkEmbedding:
        """The 68 landmarks on its faces."""
        return self._head.landmarks

    @property
    def topology(self) -> HeadTopology:
        """UV map with its masks."""
        return self._head.topology

    def albedo(self, num_components: int = 50, size: int = 256
               ) -> AlbedoData:
        """The generated albedo model.

        Raises:
            ValueError: If it has fewer components.
        """
        check_albedo_size(num_components, size)
        mean, basis = self._head.albedo_mean, self._head.albedo_basis
        if num_components > basis.shape[-1]:
            raise ValueError(f'{num_components} components are asked for, '
                             f'but the built-in albedo has '
                             f'{basis.shape[-1]}.')
        texels = nearest_texels(size, len(mean))
        basis = basis[..., :num_components].reshape(-1, 3, num_components)
        return AlbedoData(mean.reshape(-1, 3)[texels].astype(np.float32),
                          basis[texels].astype(np.float32))


def save_procedural_head(folder: str | os.PathLike) -> Path:
    """Write the built-in head as the files a licensed model consists of.

    Args:
        folder: Made if it does not exist; existing files are replaced. For
            what is in it see
            :func:`~mmtvface.heads.providers.flame.save_head_files`.

    Returns:
        The folder.

    Raises:
        OSError: If the folder cannot be written.
    """
    head = procedural_head()
    return save_head_files(folder, head.model, head.landmarks, head.topology,
                           (head.albedo_mean, head.albedo_basis))
