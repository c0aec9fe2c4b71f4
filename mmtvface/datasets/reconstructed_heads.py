# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Heads that ``mmtvface reconstruct`` found, placed in their frames again."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from mmtvface.geometry.camera import pixel_to_ndc
from mmtvface.heads.flame import FLAME
from mmtvface.io.arrays import CODES_REMEDY, read_code_arrays
from mmtvface.utils.checks import check_shape

_NEEDED = ('shape', 'exp', 'pose', 'camera', 'frame_size', 'frame_name',
           'valid')


@dataclass(frozen=True)
class ReconstructedHeads:
    """The codes of a ``codes.npz``, one row per head and frame.

    Attributes:
        path: Of the file, for messages.
        codes: 'shape', 'exp', 'pose' -> (T, C) float32.
        camera: (T, 3, 4) metres to pixel indices and depth of the frame.
        frame_size: (T, 2) height and width.
        valid: (T,) bool, where there is a head.
        rows: Name of a frame -> its rows.
    """

    path: Path
    codes: dict[str, np.ndarray] = field(repr=False)
    camera: np.ndarray = field(repr=False)
    frame_size: np.ndarray = field(repr=False)
    valid: np.ndarray = field(repr=False)
    rows: dict[str, list[int]] = field(repr=False)

    @classmethod
    def read(cls, path: str | Path) -> 'ReconstructedHeads':
        """Read a file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no such file, or has no head at all.
        """
        arrays = read_code_arrays(path)
        if missing := [key for key in _NEEDED if key not in arrays]:
            raise ValueError(f'{path} lacks {missing}. {CODES_REMEDY}')
        valid = arrays['valid'].astype(bool)
        if not valid.any():
            raise ValueError(f'{path} has no frame with a face; give another '
                             'reconstruction or leave the clip out.')
        count = len(valid)
        for key, shape in (('shape', (count, 'C')), ('exp', (count, 'C')),
                           ('pose', (count, 6)), ('camera', (count, 3, 4)),
                           ('frame_size', (count, 2)),
                           ('frame_name', (count, ))):
            check_shape(f"'{key}' of {path}", arrays[key], shape)
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(arrays['frame_name']):
            rows.setdefault(str(name), []).append(row)
        return cls(
            Path(path), {key: arrays[key].astype(np.float32)
                         for key in ('shape', 'exp', 'pose')},
            arrays['camera'].astype(np.float64), arrays['frame_size'], valid,
            rows)

    def of_frame(self, name: str, size: tuple[int, int]) -> list[int]:
        """Rows of the heads in a frame, the nearest last.

        Args:
            name: Of the frame: the stem of its file.
            size: Height and width of a picture of the whole frame.

        Raises:
            ValueError: If there is no such frame, or its sides have another
                ratio than the picture's.
        """
        if name not in self.rows:
            raise ValueError(
                f"{self.path} has no frame '{name}'; its frames are "
                f'{min(self.rows)} .. {max(self.rows)}. Reconstruct the '
                'folder of frames that the data set reads.')
        rows = [row for row in self.rows[name] if self.valid[row]]
        for row in rows:
            height, width = (int(side) for side in self.frame_size[row])
            # Small pictures are rounded to whole pixels.
            if abs(size[1] * height - size[0] * width) > max(height, width):
                raise ValueError(
                    f"{self.path}: the frame '{name}' is {width} x {height} "
                    f'pixels, but the picture is {size[1]} x {size[0]}: '
                    'another part of it. Draw the heads before pictures are '
                    'cropped.')
        return sorted(rows, key=lambda row: np.linalg.norm(
            self.camera[row, 0, :3]))

    def vertices(self, rows: list[int], flame: FLAME
                 ) -> tuple[torch.Tensor, torch.Tensor]:
        """Meshes of some rows, with the depth of each in its own frame.

        Args:
            rows: B rows, of valid heads.
            flame: Head model; further components than the codes have are 0.

        Returns:
            (B, V, 3) metres in model space, and the same in NDC.

        Raises:
            ValueError: If the head model has fewer components.
        """
        codes = []
        for key, length in (('shape', flame.num_shape),
                            ('exp', flame.num_expression)):
            code = self.codes[key][rows]
            if code.shape[1] > length:
                raise ValueError(
                    f"{self.path}: '{key}' has {code.shape[1]} components, "
                    f'but the head model {length}.')
            codes.append(np.pad(code, ((0, 0), (0, length - code.shape[1]))))
        vertices = flame(*map(torch.from_numpy, (
            *codes, self.codes['pose'][rows]))).vertices
        camera = self.camera[rows]
        points = vertices.numpy().astype(np.float64) @ camera[
            ..., :3].transpose(0, 2, 1) + camera[:, None, :, 3]
        width_height = self.frame_size[rows, ::-1][:, None].astype(float)
        points[..., :2] = pixel_to_ndc(points[..., :2], width_height)
        points[..., 2] *= 2 / width_height.max(-1)
        return vertices, torch.from_numpy(points).float()
