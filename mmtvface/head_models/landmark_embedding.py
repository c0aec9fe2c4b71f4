# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The 68 iBUG landmarks as points on a head mesh."""

from dataclasses import dataclass

import numpy as np

from mmtvface.utils.checks import check_shape


@dataclass(frozen=True)
class LandmarkEmbedding:
    """Faces and barycentric coordinates of the landmarks.

    The names are those of the published file. The 17 contour points
    slide with the head's yaw: row 0 of the dynamic tables is the frontal
    head, rows 1..39 are the yaws 1..39 degrees and rows 40..78 the yaws
    -1..-39 degrees (see :func:`contour_index` for the sign).

    Attributes:
        static_lmk_faces_idx: (51,) int64, faces of the landmarks 17..67.
        static_lmk_bary_coords: (51, 3) float64.
        dynamic_lmk_faces_idx: (79, 17) int64, contour faces for each yaw.
        dynamic_lmk_bary_coords: (79, 17, 3) float64.
        full_lmk_faces_idx: (1, 68) int64, pose-independent landmarks.
        full_lmk_bary_coords: (1, 68, 3) float64.

    Raises:
        ValueError: If a shape is wrong or a face index is negative.
    """

    static_lmk_faces_idx: np.ndarray
    static_lmk_bary_coords: np.ndarray
    dynamic_lmk_faces_idx: np.ndarray
    dynamic_lmk_bary_coords: np.ndarray
    full_lmk_faces_idx: np.ndarray
    full_lmk_bary_coords: np.ndarray

    def __post_init__(self) -> None:
        for kind, shape in (('static', (51,)), ('dynamic', (79, 17)),
                            ('full', (1, 68))):
            faces = getattr(self, f'{kind}_lmk_faces_idx')
            check_shape(f'{kind}_lmk_faces_idx', faces, shape)
            check_shape(f'{kind}_lmk_bary_coords',
                        getattr(self, f'{kind}_lmk_bary_coords'), (*shape, 3))
            if faces.min() < 0:
                raise ValueError(
                    f'{kind}_lmk_faces_idx must not be negative, but its '
                    f'smallest entry is {faces.min()}.')
