# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Codes in the layout of programs that animate FLAME."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtvface.geometry.perspective import (
    equivalent_perspective,
    required_focal,
)
from mmtvface.utils.atomic import atomic_path
from mmtvface.version import __version__

from ..writer import Kind, Target, TrackWriter, register

if TYPE_CHECKING:
    from ..painted_frame import PaintedFrame

#: Version of the layout that :func:`flame_arrays` documents.
LAYOUT = 'mmtvface-flame-1'


def fit_length(codes: np.ndarray, length: int) -> np.ndarray:
    """Pad (T, n) with zeros or cut it to (T, length)."""
    missing = max(0, length - codes.shape[1])
    return np.pad(codes[:, :length], ((0, 0), (0, missing)))


def flame_arrays(codes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Codes of a track as FLAME's parameters.

    Args:
        codes: Name -> (T, C): ``shape``, ``exp`` and ``pose``, and, if they
            are not zero, ``neck_pose`` and ``eye_pose``.

    Returns:
        ``shape`` (300,), the mean over the track, and, where it is not the
        same in all frames, ``shape_per_frame`` (T, 300); ``expr`` (T, 100);
        ``rotation`` (of the whole head about the root joint), ``neck_pose``,
        ``jaw_pose`` (T, 3) and ``eyes_pose`` (T, 6; left, right), axis-angle
        in radians; ``translation`` (T, 3) metres, zero: the place of the
        head is in the cameras. Unused components are zero.

    Raises:
        ValueError: If the model has more components than FLAME.
    """
    from mmtvface.heads.flame_io import NUM_EXPRESSION, NUM_IDENTITY
    none = np.zeros((len(codes['pose']), 0), np.float32)

    def padded(name: str, length: int) -> np.ndarray:
        return fit_length(codes.get(name, none), length)

    for name, limit in (('shape', NUM_IDENTITY), ('exp', NUM_EXPRESSION)):
        if (found := codes[name].shape[1]) > limit:
            raise ValueError(f"The code '{name}' has {found} components, but "
                             f'FLAME has {limit}.')
    shape, pose = padded('shape', NUM_IDENTITY), padded('pose', 6)
    arrays = dict(
        shape=shape.mean(0, dtype=np.float64).astype(np.float32),
        expr=padded('exp', NUM_EXPRESSION),
        rotation=pose[:, :3], neck_pose=padded('neck_pose', 3),
        jaw_pose=pose[:, 3:], eyes_pose=padded('eye_pose', 6),
        translation=np.zeros((len(pose), 3), np.float32))
    if np.ptp(shape, 0).max() > 1e-6:
        arrays['shape_per_frame'] = shape
    return arrays


@register('flame_npz', 'flame_npz/track<id>.npz',
          "FLAME's parameters (shape 300, expr 100, poses) and cameras of "
          'each face, for avatar trainers and add-ons', requires_image=False)
class FlameNpzWriter(TrackWriter):
    """``flame_npz/track<id>.npz``: FLAME's parameters and cameras.

    One file per face, without pickled objects, T frames with a face:

    * the arrays of :func:`flame_arrays`;
    * ``cam`` (T, 3) the weak perspective camera of the model's crop, s, tx,
      ty; ``orthographic`` (T, 3, 4) the same for the frame, metres to pixel
      indices and depth;
    * ``intrinsics`` (3, 3) and ``extrinsics`` (T, 3, 4): an equivalent
      perspective camera in OpenCV's convention, see
      :mod:`mmtvface.geometry.perspective`; the lens is so long that it
      agrees to 0.1 pixels. To move the head and not the camera, use R^T t
      of every frame as the translation and [R | 0] as the camera, whose R is
      diag(1, -1, -1) in all frames unless the crops were turned;
    * ``fps``, ``frame_index``, ``frame_name``, ``time`` (T,) seconds since
      the first frame of the input, ``image_size`` (height, width),
      ``track_id``, ``num_shape`` and ``num_expression`` that were in use,
      ``layout`` and ``version`` of the writer.
    """

    suffix = '.npz'

    def __init__(self, target: Target, kind: Kind) -> None:
        super().__init__(target, kind)
        self._sizes: dict[int, tuple[int, int]] = {}  # of the first frames

    def frame_entries(self, frame: 'PaintedFrame') -> dict[str, Any]:
        """How long the lens must be for this frame."""
        result = frame.result
        size = self._sizes.setdefault(result.track_id, result.frame_size)
        focal, depth = required_focal(
            result.camera[None], result.vertices[None], size)
        return dict(lens_focal=focal[0], lens_depth=depth[0])

    def write(self, path: Path, track: int,
              arrays: Mapping[str, np.ndarray]) -> None:
        """Write the parameters of one track."""
        cameras, size = arrays['camera'], arrays['frame_size'][0]
        lens = equivalent_perspective(
            cameras, arrays['lens_focal'].max(), arrays['lens_depth'], size)
        with atomic_path(path) as part:
            np.savez(
                part, **flame_arrays(arrays), cam=arrays['cam'],
                orthographic=cameras, intrinsics=lens.intrinsics,
                extrinsics=lens.extrinsics, fps=self.target.fps,
                frame_index=arrays['frame_index'],
                frame_name=arrays['frame_name'], time=arrays['time'],
                image_size=size, track_id=track,
                num_shape=arrays['shape'].shape[1],
                num_expression=arrays['exp'].shape[1],
                layout=LAYOUT, version=__version__)
