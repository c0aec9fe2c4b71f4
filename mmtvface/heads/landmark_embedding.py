# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The 68 iBUG landmarks as points on a head mesh."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mmtvface.geometry.rotation import rotation_yaw
from mmtvface.utils.checks import check_shape
from mmtvface.utils.safe_pickle import load_npy, load_npz

MAX_YAW = 39
NUM_STATIC = 51
EMBEDDING_REMEDY = (
    'Take landmark_embedding.npy from the data folder of the DECA release '
    '(https://github.com/yfeng95/DECA).')


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


class LandmarkTables(NamedTuple):
    """The embedding resolved to mesh vertices, one row of 68 per yaw.

    Attributes:
        corners2d: (79, 68, 3) int64, vertices of each landmark's face, the
            contour of the row's yaw, then the static points.
        weights2d: (79, 68, 3) float64, barycentric coordinates.
        corners3d: (68, 3) int64, pose-independent landmarks.
        weights3d: (68, 3) float64.
    """

    corners2d: np.ndarray
    weights2d: np.ndarray
    corners3d: np.ndarray
    weights3d: np.ndarray


def landmark_tables(embedding: LandmarkEmbedding,
                    faces: np.ndarray) -> LandmarkTables:
    """Resolve an embedding on a mesh, once, so that use is a gather.

    Args:
        embedding: Faces and barycentric coordinates.
        faces: (F, 3) int, vertex indices of the mesh.

    Raises:
        ValueError: If the embedding names a face that the mesh lacks.
    """
    for kind in ('static', 'dynamic', 'full'):
        largest = getattr(embedding, f'{kind}_lmk_faces_idx').max()
        if largest >= len(faces):
            raise ValueError(
                f'{kind}_lmk_faces_idx names face {largest}, but the head '
                f'model has {len(faces)} faces: the landmark embedding '
                'belongs to another model.')
    rows = (len(embedding.dynamic_lmk_faces_idx), NUM_STATIC)
    face_index = np.concatenate(
        (embedding.dynamic_lmk_faces_idx,
         np.broadcast_to(embedding.static_lmk_faces_idx, rows)), 1)
    weights = np.concatenate(
        (embedding.dynamic_lmk_bary_coords,
         np.broadcast_to(embedding.static_lmk_bary_coords, (*rows, 3))), 1)
    return LandmarkTables(faces[face_index], weights,
                          faces[embedding.full_lmk_faces_idx[0]],
                          embedding.full_lmk_bary_coords[0])


def contour_index(rotation: torch.Tensor) -> torch.Tensor:
    """Row of the dynamic contour tables for the head's yaw.

    With a = round(yaw in degrees) limited to [-39, 39] (half to even), the
    row is a for a >= 0 and 39 - a for a < 0. The yaw is that of
    :func:`~mmtvface.geometry.rotation.rotation_yaw`, atan2(-R20,
    sqrt(R00^2 + R10^2)): positive when the head turns to the person's left,
    which brings the left contour (landmarks 9..16) forward.

    Args:
        rotation: (B, 3, 3) rotation of the head in the world, the product
            R_global R_neck along the neck's kinematic chain.

    Returns:
        (B,) int64 in 0..78, without gradient; 0 where the rotation is not
        finite.
    """
    # A rotation that is not finite has no yaw, but the index must stay in the
    # table: on a GPU one beyond it ends the process without a clear word.
    degrees = torch.rad2deg(rotation_yaw(rotation.detach())).nan_to_num(0)
    rounded = degrees.clamp(-MAX_YAW, MAX_YAW).round().long()
    return torch.where(rounded < 0, MAX_YAW - rounded, rounded)


def interpolate_landmarks(vertices: torch.Tensor, corners: torch.Tensor,
                          weights: torch.Tensor) -> torch.Tensor:
    """Points given by barycentric coordinates on faces.

    Args:
        vertices: (B, V, C).
        corners: (N, 3) int64 vertex indices, or (B, N, 3) per mesh.
        weights: (N, 3) or (B, N, 3) barycentric coordinates.

    Returns:
        (B, N, C), differentiable in ``vertices`` and ``weights``.
    """
    batch, _, channels = vertices.shape
    index = corners.expand(batch, -1, -1).flatten(1)[..., None]
    points = vertices.gather(1, index.expand(-1, -1, channels))
    return (points.unflatten(1, (-1, 3)) * weights[..., None]).sum(-2)


def load_landmark_embedding(path: str | os.PathLike) -> LandmarkEmbedding:
    """Read the 68 landmarks of a head model.

    Args:
        path: ``landmark_embedding.npy`` (a pickled dict, read without
            running its code), or a ``.npz`` with the same keys.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a landmark embedding; the message
            names the file, the entry and the remedy.
    """
    load = load_npz if Path(path).suffix == '.npz' else load_npy
    arrays = load(path, 'FLAME landmark embedding', EMBEDDING_REMEDY)
    names = [field.name for field in fields(LandmarkEmbedding)]
    try:
        if not isinstance(arrays, dict):
            raise ValueError('the file must hold a dict of arrays, but it '
                             f'holds {type(arrays).__name__}.')
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f'the entries {missing} are missing; there are '
                             f'{sorted(map(str, arrays))}.')
        return LandmarkEmbedding(**{
            name: np.asarray(arrays[name]).astype(
                np.int64 if name.endswith('idx') else np.float64)
            for name in names})
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path} is not a FLAME landmark embedding: {error} '
                         f'{EMBEDDING_REMEDY}') from error
