# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Texture atlas of a head mesh: UV coordinates and masks in UV space."""

from dataclasses import dataclass

import numpy as np

from mmtvface.utils.checks import check_shape


@dataclass(frozen=True)
class HeadTopology:
    """Connectivity, UV layout and UV-space maps of a head mesh.

    Maps have row 0 at the top of the atlas (v = 1).

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
            check_shape(name, getattr(self, name), (256, 256))
        count = len(self.uv_coords)
        if self.uv_faces.size and (self.uv_faces.min() < 0
                                   or self.uv_faces.max() >= count):
            raise ValueError(
                f'uv_faces must index {count} UV coordinates, but the '
                f'indices span {self.uv_faces.min()}..'
                f'{self.uv_faces.max()}.')
