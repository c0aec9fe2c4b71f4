# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Linear albedo models in the UV map of the head."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import cv2
import numpy as np
import torch
from torch import nn

from mmtvface.registry import MODELS
from mmtvface.utils.assets import require_file
from mmtvface.utils.checks import check_shape

from .flame_io import PROCEDURAL
from .lbs import blend

FILE_SIZE = 512
TEXTURE_REMEDY = (
    'FLAME_texture.npz is at https://flame.is.tue.mpg.de (after '
    'registration); FLAME_albedo_from_BFM.npz is made from the Basel Face '
    'Model by https://github.com/TimoBolkart/BFM_to_FLAME; '
    "path='procedural' selects the built-in albedo, which needs no download.")
PICTURE_REMEDY = ('mean_texture.jpg is in the data folder of the DECA release '
                '(https://github.com/yfeng95/DECA).')
PICTURES = ('.jpg', '.jpeg', '.png')
_ROWS_AT_ONCE = 1 << 15


class AlbedoData(NamedTuple):
    """A linear albedo model.

    Attributes:
        mean: (S * S, 3) float32, RGB in [0, 1], texels row by row.
        basis: (S * S, 3, n) float32, change per unit coefficient; n = 0 for
            a picture, one face for all codes.
    """

    mean: np.ndarray
    basis: np.ndarray


def nearest_texels(size: int, source: int = FILE_SIZE) -> np.ndarray:
    """Texels that nearest-neighbour resizing of a square map picks.

    The rule is torch's ``interpolate(mode='nearest')``,
    floor(i * source / size) in float32, so that a model resized before the
    product gives the same numbers as the published product-then-resize.

    Returns:
        (size * size,) int64 indices into the flattened source.
    """
    scale = np.float32(source) / np.float32(size)
    index = np.floor(np.arange(size, dtype=np.float32) * scale)
    index = np.minimum(index.astype(np.int64), source - 1)
    return (index[:, None] * source + index).ravel()


def _pieces(file: IO[bytes], key: str, shape: tuple[int, ...],
            dtype: np.dtype, fortran: bool
            ) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (start, stop, piece): blocks of rows, or columns in F order."""
    width, count = shape[-1], int(np.prod(shape[:-1]))
    step, length, unit = ((1, width, count) if fortran else
                          (_ROWS_AT_ONCE, count, width))
    for start in range(0, length, step):
        stop = min(start + step, length)
        size = (stop - start) * unit * dtype.itemsize
        data = file.read(size)
        if len(data) != size:
            raise ValueError(f'the entry {key} ends early')
        flat = np.frombuffer(data, dtype)
        yield start, stop, (
            flat.reshape(shape[:-1], order='F').ravel() if fortran else
            flat.reshape(-1, width))


def _read_rows(archive: zipfile.ZipFile, key: str, rows: np.ndarray,
               columns: int) -> np.ndarray:
    """Rows and first columns of a huge ``.npz`` entry, read in pieces.

    The bases have 157 million numbers, of which a few per cent are used;
    reading them whole takes over 1 GB.

    Returns:
        (len(rows), columns) float32.
    """
    result = np.empty((len(rows), columns), np.float32)
    with archive.open(f'{key}.npy') as file:
        version = np.lib.format.read_magic(file)
        header = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                  else np.lib.format.read_array_header_2_0)
        shape, fortran, dtype = header(file)
        width = shape[-1]
        count = int(np.prod(shape[:-1]))
        if dtype.kind not in 'fiu' or count != FILE_SIZE**2 * 3:
            raise ValueError(
                f'the entry {key} must hold numbers for {FILE_SIZE} x '
                f'{FILE_SIZE} RGB texels, but it is {shape} of {dtype}')
        if columns > width:
            raise ValueError(f'{columns} components are asked for, but the '
                             f'entry {key} has {width}')
        for start, stop, piece in _pieces(file, key, shape, dtype, fortran):
            if fortran:
                if start == columns:
                    break
                result[:, start] = piece[rows]
            else:
                first, last = np.searchsorted(rows, (start, stop))
                result[first:last] = piece[rows[first:last] - start, :columns]
    return result


def _read_albedo(path: str | os.PathLike, num_components: int,
                 size: int) -> AlbedoData:
    path = require_file(path, 'Albedo model', TEXTURE_REMEDY)
    texels = nearest_texels(size)
    picked, inverse = np.unique(texels, return_inverse=True)
    rows = (picked[:, None] * 3 + np.arange(3)).ravel()
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).stem for name in archive.namelist()}
            if {'MU', 'PC'} <= names:
                mean_key, basis_key, scale = 'MU', 'PC', 1.
            elif {'mean', 'tex_dir'} <= names:
                mean_key, basis_key, scale = 'mean', 'tex_dir', 255.
            else:
                raise ValueError(
                    'it must hold MU and PC (converted BFM) or mean and '
                    f'tex_dir (FLAME texture), but it holds {sorted(names)}')
            basis = _read_rows(archive, basis_key, rows, num_components)
        with np.load(path, allow_pickle=False) as arrays:
            mean = arrays[mean_key].reshape(-1).astype(np.float32)
        if mean.size != FILE_SIZE**2 * 3:
            raise ValueError(f'the entry {mean_key} must hold {FILE_SIZE} x '
                             f'{FILE_SIZE} x 3 numbers, not {mean.size}')
    except (ValueError, OSError, EOFError, KeyError,
            zipfile.BadZipFile) as error:
        raise ValueError(f'{path} cannot be read as an albedo model: '
                         f'{error}. {TEXTURE_REMEDY}') from error
    basis = basis.reshape(-1, 3, num_components)[inverse.ravel()]
    # The files hold BGR.
    return AlbedoData(mean.reshape(-1, 3)[texels, ::-1] / scale,
                      basis[:, ::-1] / scale)


def _read_picture(path: str | os.PathLike, size: int) -> AlbedoData:
    """A square picture of the UV map, RGB, row 0 at the top (v = 1)."""
    path = require_file(path, 'Picture of the albedo', PICTURE_REMEDY)
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None or image.shape[0] != image.shape[1]:
        found = 'no picture' if image is None else (
            f'{image.shape[1]} x {image.shape[0]} pixels')
        raise ValueError(f'{path} must be a square picture of the UV map, but '
                         f'it is {found}. {PICTURE_REMEDY}')
    texels = nearest_texels(size, len(image))
    mean = image[..., ::-1].reshape(-1, 3)[texels].astype(np.float32) / 255
    return AlbedoData(mean, np.zeros((size * size, 3, 0), np.float32))


def load_albedo(path: str | os.PathLike, num_components: int = 50,
                size: int = 256) -> AlbedoData:
    """Read a linear albedo model at a given resolution.

    Args:
        path: ``FLAME_albedo_from_BFM.npz`` (MU, PC; 0..1, BGR),
            ``FLAME_texture.npz`` (mean, tex_dir; 0..255, BGR),
            ``'procedural'``, or a picture of one albedo for all codes, such
            as ``mean_texture.jpg``.
        num_components: How many components are read, the first ones; a
            picture has none.
        size: Width and height of the maps in texels; the 512 of the files
            are subsampled (nearest).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an albedo model or has fewer components.
    """
    if num_components < 1 or size < 1:
        raise ValueError('num_components and size must be positive, but '
                         f'they are {num_components} and {size}.')
    if Path(path).suffix.lower() in PICTURES:
        return _read_picture(path, size)
    if os.fspath(path) != PROCEDURAL:
        return _read_albedo(path, num_components, size)
    from .providers.procedural import procedural_head
    albedo = procedural_head().albedo
    available = albedo.patterns.shape[-1]
    if num_components > available:
        raise ValueError(f'{num_components} components are asked for, but '
                         f'the built-in albedo has {available}.')
    texels = nearest_texels(size, albedo.mean.shape[0])
    # The factors of these texels alone: the whole basis has 190 MB.
    patterns = albedo.patterns.reshape(-1, available)[texels, :num_components]
    colors = albedo.colors[:num_components].T
    return AlbedoData(
        albedo.mean.reshape(-1, 3)[texels].astype(np.float32),
        (patterns[:, None] * colors).astype(np.float32))


@MODELS.register_module()
class FLAMETexture(nn.Module):
    """Albedo maps from codes, one matrix product per batch.

    The published code multiplies the whole 512 x 512 basis into a
    (B, 786432, n) temporary and then drops three quarters of the result;
    here the basis is subsampled once, which gives the same numbers.

    Args:
        path: An albedo model, a picture or ``'procedural'``, see
            :func:`load_albedo`.
        num_components: Length n of the code; with a picture any, since the
            map does not depend on it.
        size: Width and height S of the maps in texels.
        clamp: Whether albedo is limited to [0, 1], where reflectance is
            physical; a limited texel has no gradient. The published systems
            do not limit it: use False for parity with them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an albedo model or has fewer components.
    """

    def __init__(self,
                 path: str | os.PathLike,
                 num_components: int = 50,
                 size: int = 256,
                 clamp: bool = True) -> None:
        super().__init__()
        self.num_components, self.size = num_components, size
        self.clamp = clamp
        data = load_albedo(path, num_components, size)
        mean = np.ascontiguousarray(data.mean.T).reshape(-1)
        basis = np.ascontiguousarray(data.basis.transpose(2, 1, 0))
        self.register_buffer('mean', torch.from_numpy(mean),
                             persistent=False)
        self.register_buffer(
            'basis',
            torch.from_numpy(basis.reshape(len(basis), mean.size)),
            persistent=False)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """Compute albedo maps.

        Args:
            code: (B, num_components), unit variance.

        Returns:
            (B, 3, S, S) RGB, in [0, 1] if ``clamp``; row 0 is v = 1.

        Raises:
            ValueError: If the shape is wrong.
        """
        check_shape('code', code, ('B', self.num_components))
        # A picture has no components.
        albedo = blend(self.mean, code[:, :len(self.basis)], self.basis)
        if self.clamp:
            albedo = albedo.clamp(0, 1)
        return albedo.unflatten(1, (3, self.size, self.size))
