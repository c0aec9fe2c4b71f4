# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The arrays of a FLAME-style head model, and reading them from files."""

from dataclasses import dataclass

import numpy as np

from mmtvface.utils.checks import check_shape

NUM_IDENTITY = 300
NUM_EXPRESSION = 100
NUM_JOINTS = 5


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
