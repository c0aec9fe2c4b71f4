# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""UV map of a head mesh: UV coordinates and masks in UV space."""

import os
from dataclasses import dataclass

import cv2
import numpy as np

from mmtvface.io.mesh import read_obj
from mmtvface.utils.assets import require_file
from mmtvface.utils.checks import check_shape
from mmtvface.utils.safe_pickle import load_npy

MAP_SIZE = 256
TOPOLOGY_REMEDY = (
    'Take it from the data folder of the DECA release '
    '(https://github.com/yfeng95/DECA).')


@dataclass(frozen=True)
class HeadTopology:
    """Connectivity, UV layout and UV-space maps of a head mesh.

    Maps have row 0 at the top of the UV map (v = 1).

    Attributes:
        faces: (F, 3) int64, vertex indices.
        uv_coords: (Vt, 2) float64, (u, v) in [0, 1], v upwards.
        uv_faces: (F, 3) int64, indices into ``uv_coords``, corner by corner
            the same triangles as ``faces``.
        uv_face_mask: (256, 256) float64 in [0, 1], 1 on the face's skin.
        uv_face_eye_mask: (256, 256) float64 in [0, 1], face and eyes.
        fixed_displacement: (256, 256) float64, metres along the normal, by
            which the dense surface differs from the coarse mean head.

    Raises:
        ValueError: If a shape or an index range is wrong.
    """

    faces: np.ndarray
    uv_coords: np.ndarray
    uv_faces: np.ndarray
    uv_face_mask: np.ndarray
    uv_face_eye_mask: np.ndarray
    fixed_displacement: np.ndarray

    def __post_init__(self) -> None:
        check_shape('faces', self.faces, ('F', 3))
        check_shape('uv_coords', self.uv_coords, ('Vt', 2))
        check_shape('uv_faces', self.uv_faces, (len(self.faces), 3))
        for name in ('uv_face_mask', 'uv_face_eye_mask',
                     'fixed_displacement'):
            check_shape(name, getattr(self, name), (MAP_SIZE, MAP_SIZE))
        count = len(self.uv_coords)
        if self.uv_faces.size and (self.uv_faces.min() < 0
                                   or self.uv_faces.max() >= count):
            raise ValueError(
                f'uv_faces must index {count} UV coordinates, but the '
                f'indices span {self.uv_faces.min()}..'
                f'{self.uv_faces.max()}.')


def _read_mask(path: str | os.PathLike, what: str) -> np.ndarray:
    """First channel of an image file as (256, 256) in [0, 1]."""
    path = require_file(path, what, TOPOLOGY_REMEDY)
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'{path} cannot be read as an image. '
                         f'{TOPOLOGY_REMEDY}')
    mask = image[..., 2] / 255.  # OpenCV's last channel is the file's first
    if mask.shape != (MAP_SIZE, MAP_SIZE):
        mask = cv2.resize(mask, (MAP_SIZE, MAP_SIZE),
                          interpolation=cv2.INTER_AREA)
    return mask


def load_head_topology(
        template_path: str | os.PathLike,
        uv_face_mask_path: str | os.PathLike | None = None,
        uv_face_eye_mask_path: str | os.PathLike | None = None,
        fixed_displacement_path: str | os.PathLike | None = None
) -> HeadTopology:
    """Read the UV map of a head model.

    Args:
        template_path: ``head_template.obj`` with UV coordinates.
        uv_face_mask_path: Image whose first channel is the skin mask; other
            sizes are resampled to 256. Without it, 1 everywhere.
        uv_face_eye_mask_path: The same for skin and eyes.
        fixed_displacement_path: ``.npy`` (256, 256), metres. Without it, 0.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file cannot be read, the template has no UV
            coordinates, or a shape is wrong.
    """
    size = (MAP_SIZE, MAP_SIZE)
    path = require_file(template_path, 'Head template', TOPOLOGY_REMEDY)
    mesh = read_obj(path)
    if mesh.uv_faces is None:
        raise ValueError(f'{path} has no UV coordinates on its faces. '
                         f'{TOPOLOGY_REMEDY}')
    masks = [
        np.ones(size) if file is None else _read_mask(file, what)
        for file, what in ((uv_face_mask_path, 'UV face mask'),
                           (uv_face_eye_mask_path, 'UV face and eye mask'))]
    displacement = np.zeros(size)
    if fixed_displacement_path is not None:
        displacement = load_npy(fixed_displacement_path,
                                'fixed displacement map', TOPOLOGY_REMEDY)
        check_shape(f'The displacement in {fixed_displacement_path}',
                    displacement, size)
    return HeadTopology(mesh.faces, mesh.uv_coords, mesh.uv_faces, *masks,
                        displacement.astype(np.float64))
