# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The skin of a face unrolled, with lengths that hold on the surface."""

from typing import NamedTuple

import numpy as np

from mmtvface.utils.checks import check_shape

_MM = 1000.
#: Distance of the outer corners of the eyes of an average adult, mm.
_EYE_DISTANCE = 90.
_LEAST_COVER = .01


class FaceChart(NamedTuple):
    """Texels of a face as points of a plane: unrolled about a vertical axis.

    The axis runs midway between the ears (landmarks 0 and 16). ``p`` is the
    azimuth about it times a radius, ``q`` the height; on the front of a face
    they are nearly lengths, and the metric makes them so everywhere.

    Attributes:
        texels: (N,) flat indices of the texels, ascending.
        points: (N, 2) p and q of the texels, mm.
        metric: (N, 3) mm per mm: grad p . grad p, grad p . grad q and
            grad q . grad q along the surface.
        landmarks: (68, 2) p and q of the landmarks, mm.
        pitch: Typical distance of neighbouring texels, mm.
        unit: Size of this face relative to an average adult.
        size: Side S of the UV map, texels.
    """

    texels: np.ndarray
    points: np.ndarray
    metric: np.ndarray
    landmarks: np.ndarray
    pitch: float
    unit: float
    size: int


def unroll(points: np.ndarray, axis: np.ndarray,
           radius: float) -> np.ndarray:
    """Unroll points (..., 3) about an axis at (x, z): p and q (..., 2)."""
    x, z = points[..., 0] - axis[0], points[..., 2] - axis[1]
    return np.stack([radius * np.arctan2(x, z), points[..., 1]], -1)


def _texel_pitch(positions: np.ndarray, inside: np.ndarray) -> float:
    """Root of the median area of texels whose neighbours are inside too."""
    right = positions[:-1, 1:] - positions[:-1, :-1]
    down = positions[1:, :-1] - positions[:-1, :-1]
    whole = inside[:-1, :-1] & inside[:-1, 1:] & inside[1:, :-1]
    if not whole.any():
        raise ValueError(
            f'The face covers {int(inside.sum())} texels of a UV map of '
            f'{inside.shape}, none with its neighbours: the UV map is too '
            'small for wrinkles.')
    area = np.linalg.norm(np.cross(right[whole], down[whole]), axis=-1)
    return float(np.sqrt(np.median(area)))


def unroll_face(positions: np.ndarray, normals: np.ndarray, mask: np.ndarray,
                landmarks: np.ndarray) -> FaceChart:
    """Unroll the face of a neutral head.

    Args:
        positions: (S, S, 3) metres, the surface in the UV map.
        normals: (S, S, 3), any length.
        mask: (S, S) 0..1, where the face's skin is.
        landmarks: (68, 3) metres; y up, z out of the face.

    Raises:
        ValueError: If shapes do not match or no part of the face is seen.
    """
    size = len(mask)
    check_shape('mask', mask, ('S', 'S'))
    check_shape('positions', positions, (size, size, 3))
    check_shape('normals', normals, (size, size, 3))
    check_shape('landmarks', landmarks, (68, 3))
    positions, landmarks = _MM * positions, _MM * landmarks
    axis = landmarks[[0, 16]][:, [0, 2]].mean(0)
    radius = float(np.hypot(*(landmarks[27, [0, 2]] - axis)))
    length = np.linalg.norm(normals, axis=-1)
    inside = (mask > _LEAST_COVER) & (length > 1e-6)
    texels = np.flatnonzero(inside)
    points = positions.reshape(-1, 3)[texels]
    normal = normals.reshape(-1, 3)[texels] / length.reshape(-1, 1)[texels]
    x, z = points[:, 0] - axis[0], points[:, 2] - axis[1]
    square = np.maximum(x**2 + z**2, 1.)
    # gradients of p and q in space, then their parts along the surface
    gradients = np.zeros((2, len(points), 3))
    gradients[0, :, 0], gradients[0, :, 2] = z / square, -x / square
    gradients[0] *= radius
    gradients[1, :, 1] = 1
    gradients -= (gradients * normal).sum(-1, keepdims=True) * normal
    metric = np.stack([(gradients[i] * gradients[j]).sum(-1)
                       for i, j in ((0, 0), (0, 1), (1, 1))], -1)
    eyes = np.linalg.norm(landmarks[45] - landmarks[36])
    return FaceChart(
        texels, unroll(points, axis, radius), metric,
        unroll(landmarks, axis, radius), _texel_pitch(positions, inside),
        float(eyes / _EYE_DISTANCE), size)
