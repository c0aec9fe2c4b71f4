# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The arrays of a FLAME-style head model, and reading them from files."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.utils.checks import check_shape
from mmtvface.utils.safe_pickle import load_npz, load_pickle

FLAME_REMEDY = (
    'Download FLAME (2019, 2020 or 2023) after registration at '
    'https://flame.is.tue.mpg.de and unpack it into the folder that '
    "head=dict(type='flame', root=...) names; head=dict(type='procedural') "
    'is the built-in head, which needs no download.')
NUM_IDENTITY = 300
NUM_EXPRESSION = 100
NUM_JOINTS = 5
_KEYS = ('v_template', 'f', 'shapedirs', 'posedirs', 'J_regressor',
         'kintree_table', 'weights')


@dataclass(frozen=True)
class HeadModelData:
    """Arrays of a head model in the layout of FLAME.

    FLAME (Li et al., SIGGRAPH Asia 2017) has V = 5023, F = 9976 and the five
    joints root, neck, jaw, left eye, right eye. Lengths are in metres; x
    points to the person's left, y up, z out of the face.

    Attributes:
        v_template: (V, 3) float64, the mean head.
        faces: (F, 3) int64, vertex indices.
        shapedirs: (V, 3, 400) float64, 300 identity directions, then 100
            expression directions.
        posedirs: (V, 3, 36) float64, displacement per entry of the
            row-major ``R - I`` of the four non-root joints.
        J_regressor: (5, V) float64, joints from vertices, dense.
        parents: (5,) int64, the parent of each joint; -1 for the root.
            A parent stands before its children.
        weights: (V, 5) float64, skinning weights.

    Raises:
        ValueError: If a shape, an index range or the order of the joints is
            wrong.
    """

    v_template: np.ndarray
    faces: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray
    J_regressor: np.ndarray
    parents: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        check_shape('v_template', self.v_template, ('V', 3))
        num_vertices = len(self.v_template)
        joints = NUM_JOINTS
        check_shape('faces', self.faces, ('F', 3))
        check_shape('shapedirs', self.shapedirs,
                    (num_vertices, 3, NUM_IDENTITY + NUM_EXPRESSION))
        check_shape('posedirs', self.posedirs,
                    (num_vertices, 3, 9 * (joints - 1)))
        check_shape('J_regressor', self.J_regressor, (joints, num_vertices))
        check_shape('parents', self.parents, (joints,))
        check_shape('weights', self.weights, (num_vertices, joints))
        if self.faces.size and (self.faces.min() < 0
                                or self.faces.max() >= num_vertices):
            raise ValueError(
                f'faces must index {num_vertices} vertices, but the indices '
                f'span {self.faces.min()}..{self.faces.max()}.')
        if self.parents[0] != -1 or any(
                not 0 <= p < i for i, p in enumerate(self.parents) if i):
            raise ValueError(
                'parents must start with -1 and name, for each joint, an '
                f'earlier one, but they are {self.parents.tolist()}.')

    @property
    def joints(self) -> np.ndarray:
        """(5, 3) float64, rest positions of the joints, metres."""
        return self.J_regressor @ self.v_template


def _parents(kintree: np.ndarray) -> np.ndarray:
    """Parents from a kinematic tree (2, J); the root's entry is 2^32 - 1."""
    if not np.array_equal(kintree[1], np.arange(kintree.shape[1])):
        raise ValueError('kintree_table must list the joints in order, but '
                         f'its second row is {kintree[1].tolist()}.')
    parents = kintree[0].astype(np.int64)
    parents[0] = -1
    return parents


def _from_arrays(arrays: dict[str, Any]) -> HeadModelData:
    """Build the data from the entries of a model file."""
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise ValueError(f'the entries {missing} are missing; there are '
                         f'{sorted(map(str, arrays))}.')
    entries = {key: np.asarray(arrays[key]) for key in _KEYS}
    for key, array in entries.items():
        if array.dtype.kind not in 'fiu':
            raise ValueError(f'the entry {key} must be an array of numbers, '
                             f'but it has the type {array.dtype}.')
        if not np.isfinite(array).all():
            raise ValueError(f'the entry {key} holds NaN or infinity.')
    check_shape('kintree_table', entries['kintree_table'], (2, NUM_JOINTS))
    names = ('v_template', 'shapedirs', 'posedirs', 'J_regressor', 'weights')
    return HeadModelData(
        faces=entries['f'].astype(np.int64),
        parents=_parents(entries['kintree_table']),
        **{name: entries[name].astype(np.float64) for name in names})


def load_head_model(path: str | os.PathLike) -> HeadModelData:
    """Read a head model.

    Pickles are read without running their code and without chumpy (see
    :mod:`mmtvface.utils.safe_pickle`); the builds of 2019, 2020 and 2023 are
    alike.

    Args:
        path: ``generic_model.pkl``, a ``.npz`` with the same keys
            (v_template, f, shapedirs, posedirs, J_regressor dense,
            kintree_table, weights).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a head model; the message names the
            file, the entry and the remedy.
    """
    load = load_npz if Path(path).suffix == '.npz' else load_pickle
    arrays = load(path, 'FLAME model', FLAME_REMEDY)
    try:
        if not isinstance(arrays, dict):
            raise ValueError('the file must hold a dict of arrays, but it '
                             f'holds {type(arrays).__name__}.')
        return _from_arrays(arrays)
    except ValueError as error:
        raise ValueError(
            f'{path} is not a FLAME model: {error} {FLAME_REMEDY}') from error


def save_head_model(path: str | os.PathLike, model: HeadModelData) -> None:
    """Write a head model as a ``.npz`` that :func:`load_head_model` reads.

    Such a file holds no pickled objects and loads several times faster
    than the published pickle. It stays under the license of its source.

    Args:
        path: File to write, with the suffix ``.npz``.
        model: The model.

    Raises:
        ValueError: If the suffix is another one.
    """
    if Path(path).suffix != '.npz':
        raise ValueError(f"path must end in '.npz', but it is '{path}'.")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    kintree = np.stack((model.parents, np.arange(len(model.parents))))
    np.savez(path, v_template=model.v_template, f=model.faces,
             shapedirs=model.shapedirs, posedirs=model.posedirs,
             J_regressor=model.J_regressor, weights=model.weights,
             kintree_table=kintree)
