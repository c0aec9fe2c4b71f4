# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Renders of reconstructed heads as further channels of mmagic's samples."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from mmtvface.geometry.encodings import encode_normals
from mmtvface.heads import FLAME, HeadAssets, load_head
from mmtvface.heads.assets import HeadSpec
from mmtvface.heads.flame_io import NUM_EXPRESSION, NUM_IDENTITY
from mmtvface.io.arrays import CODES_REMEDY
from mmtvface.registry import TRANSFORMS
from mmtvface.renderers.mesh_renderer import MeshRenderer, RenderOutput
from mmtvface.utils.assets import require_file

from ..reconstructed_heads import ReconstructedHeads

MAPS = ('normals', 'uv')
#: Pixels of the renders that are in memory at one time, at some 100 bytes
#: each; one head is drawn whatever its size.
_PIXELS_AT_ONCE = 2**21


@lru_cache(maxsize=64)
def _read_version(path: Path, mtime_ns: int, size: int) -> ReconstructedHeads:
    """Codes of a file as it was at that time."""
    return ReconstructedHeads.read(path)


def _read(path: str | os.PathLike) -> ReconstructedHeads:
    """Codes of a file; it is read again when it was written anew."""
    path = require_file(path, 'Codes', CODES_REMEDY)
    found = path.stat()
    return _read_version(path, found.st_mtime_ns, found.st_size)


def encode_uv(grid: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """UV map coordinates as an RGB image.

    Args:
        grid: (H, W, 2) coordinates for ``grid_sample``, see
            :class:`~mmtvface.renderers.mesh_renderer.RenderOutput`.
        covered: (H, W) bool, where there is a surface.

    Returns:
        (H, W, 3) uint8: 255 u, 255 v (upwards), 255 where there is a
        surface; black is none.
    """
    uv1 = np.stack([(grid[..., 0] + 1) / 2, (1 - grid[..., 1]) / 2,
                    np.ones_like(grid[..., 0])], -1)
    colors = np.rint(255 * uv1.clip(0, 1))
    return np.where(covered[..., None], colors, 0).astype(np.uint8)


def _pictures(drawn: RenderOutput, maps: Sequence[str]
              ) -> tuple[np.ndarray, np.ndarray]:
    """(B, H, W, 3 per map) uint8, and (B, H, W) bool what is covered."""
    covered = drawn.alpha[:, 0].numpy() > 0
    encoded = dict(
        normals=lambda: encode_normals(
            drawn.normals.movedim(1, -1).numpy(), covered),
        uv=lambda: encode_uv(drawn.uv_grid.numpy(), covered))
    return np.concatenate([encoded[name]() for name in maps], -1), covered


@TRANSFORMS.register_module()
class AddFlameCondition:
    """Append renders of the heads in the frames to their channels.

    For the pipelines of mmagic (and others that load pictures in the same
    way): a restorer so knows the geometry of the face. It belongs before
    crops, which then cut pictures and renders alike, and does not go together
    with flips and transpositions, which would leave the normals pointing to
    the wrong side.

    Required Keys: {key}, {key}_path.

    Modified Keys: {key}.

    A picture is (H, W, C), whole but of any size, with values 0..255; a
    sample has a list of them or one. (H, W, C + 3 per map) of the same type
    comes out, zero where there is no head.

    Args:
        codes: ``codes.npz`` of ``mmtvface reconstruct --save codes`` on the
            frames, with ``{clip}`` for the name of the frames' folder:
            ``'data/codes/{clip}/codes.npz'``.
        maps: 'normals': 255 (n + 1) / 2 of the unit normal, x right, y up,
            z to the camera (as the normals of ``mmtvface reconstruct``);
            'uv': :func:`encode_uv`.
        key: Of the pictures.
        head: The head of the codes, see :func:`mmtvface.heads.load_head`.
        num_shape: Identity components of the head model.
        num_expression: Its expression components.
        rasterizer: See
            :class:`~mmtvface.renderers.mesh_renderer.MeshRenderer`.

    Raises:
        ValueError: If there is no map or an unknown one; later, if the
            codes are not of the frames, or the head model is too small.
        FileNotFoundError: Later, if there are no codes of a clip.
    """

    def __init__(self,
                 codes: str | os.PathLike,
                 maps: Sequence[str] = ('normals', ),
                 key: str = 'img',
                 head: HeadAssets | HeadSpec = 'procedural',
                 num_shape: int = NUM_IDENTITY,
                 num_expression: int = NUM_EXPRESSION,
                 rasterizer: str = 'auto') -> None:
        if not maps or set(maps) - set(MAPS):
            raise ValueError(f'AddFlameCondition: maps must be of {MAPS}, but '
                             f'they are {list(maps)}.')
        self.codes = os.fspath(codes)
        self.maps, self.key = tuple(maps), key
        head = load_head(head)
        self.flame = FLAME(head, num_shape, num_expression)
        self.renderer = MeshRenderer(head, rasterizer=rasterizer)

    @torch.no_grad()
    def draw(self, paths: Sequence[str | os.PathLike],
             size: tuple[int, int]) -> np.ndarray:
        """Render the heads of frames.

        Args:
            paths: Of the files of N frames of one clip.
            size: Height and width of the pictures.

        Returns:
            (N, H, W, 3 per map) uint8.

        Raises:
            FileNotFoundError: If there are no codes of the clip.
            ValueError: If they are not of these frames, or the head model
                is too small for them.
        """
        files = [Path(path) for path in paths]
        heads = _read(self.codes.format(clip=files[0].parent.name))
        found = [(frame, row) for frame, file in enumerate(files)
                 for row in heads.of_frame(file.stem, size)]
        canvas = np.zeros((len(files), *size, 3 * len(self.maps)), np.uint8)
        step = max(1, _PIXELS_AT_ONCE // (size[0] * size[1]))
        for start in range(0, len(found), step):
            frames, rows = zip(*found[start:start + step], strict=True)
            drawn = self.renderer.render(
                *heads.vertices(list(rows), self.flame), image_size=size)
            for frame, picture, covered in zip(
                    frames, *_pictures(drawn, self.maps), strict=True):
                canvas[frame][covered] = picture[covered]
        return canvas

    def __call__(self, results: dict) -> dict:
        """Append the renders."""
        images, paths = results[self.key], results[f'{self.key}_path']
        if single := not isinstance(images, list):
            images, paths = [images], [paths]
        drawn = self.draw(paths, images[0].shape[:2])
        images = [np.concatenate([image, render.astype(image.dtype)], -1)
                  for image, render in zip(images, drawn, strict=True)]
        return {**results, self.key: images[0] if single else images}
