# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The FLAME head model as a differentiable layer."""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

from .assets import HeadAssets, HeadSpec, load_head
from .flame_io import NUM_EXPRESSION, NUM_IDENTITY, HeadModelData
from .landmark_embedding import (
    LandmarkEmbedding,
    contour_index,
    interpolate_landmarks,
    landmark_tables,
)
from .lbs import blend, linear_blend_skinning

CORRECTIVE_JOINTS = (2, 1, 3, 4)
"""Order of the pose correctives in ``FLAME.directions``: jaw, neck, eyes.

The jaw comes first, so that heads whose neck and eyes rest do without the
others, which would be multiplied by zero.
"""


class FlameOutput(NamedTuple):
    """Posed heads and their landmarks, metres, model space.

    Attributes:
        vertices: (B, V, 3).
        landmarks2d: (B, 68, 3), iBUG order; the 17 contour points follow
            the visible outline as the head turns, which is what 2D
            annotations mark.
        landmarks3d: (B, 68, 3), fixed points of the surface.
    """

    vertices: torch.Tensor
    landmarks2d: torch.Tensor
    landmarks3d: torch.Tensor


def _planar(array: np.ndarray) -> torch.Tensor:
    """(V, 3, ...) to (..., 3 * V): all x, all y, all z of each direction."""
    flat = np.moveaxis(array, (1, 0), (-2, -1)).reshape(*array.shape[2:], -1)
    return torch.from_numpy(np.ascontiguousarray(flat, dtype=np.float64))


@MODELS.register_module()
class FLAME(nn.Module):
    """FLAME (Li et al., SIGGRAPH Asia 2017): codes to heads and landmarks.

    All model arrays are non-persistent buffers: checkpoints stay small and
    free of licensed data. They are float32; ``.double()`` gives the file's
    values rounded to float32, and :meth:`from_data` with
    ``dtype=torch.float64`` their full precision.

    Args:
        head: The head, see :func:`load_head`.
        num_shape: How many identity components are used, the first of 300.
        num_expression: How many expression components are used, the first
            of 100.

    Attributes:
        expression_names: Of the head's expression components; empty where
            they have none.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file is not what it should be, files do not belong
            together, or a number of components is out of range.
    """

    faces: torch.Tensor

    def __init__(self,
                 head: HeadAssets | HeadSpec = 'procedural',
                 num_shape: int = 100,
                 num_expression: int = 50) -> None:
        super().__init__()
        head = load_head(head)
        self._set_buffers(head.model, head.landmarks, num_shape,
                          num_expression, torch.float32)
        self.expression_names = head.expression_names

    @classmethod
    def from_data(cls,
                  model: HeadModelData,
                  landmarks: LandmarkEmbedding,
                  num_shape: int = 100,
                  num_expression: int = 50,
                  dtype: torch.dtype = torch.float32) -> 'FLAME':
        """Build the layer from arrays instead of files.

        Args:
            model: The head model.
            landmarks: Its landmark embedding.
            num_shape: As in the class.
            num_expression: As in the class.
            dtype: Type of the buffers and of the results.

        Raises:
            ValueError: As in the class.
        """
        self = cls.__new__(cls)
        nn.Module.__init__(self)
        self._set_buffers(model, landmarks, num_shape, num_expression, dtype)
        self.expression_names = ()
        return self

    def _set_buffers(self, model: HeadModelData,
                     landmarks: LandmarkEmbedding, num_shape: int,
                     num_expression: int, dtype: torch.dtype) -> None:
        for name, value, limit in (
                ('num_shape', num_shape, NUM_IDENTITY),
                ('num_expression', num_expression, NUM_EXPRESSION)):
            if not 0 <= value <= limit:
                raise ValueError(f'{name} must lie in 0..{limit}, but it is '
                                 f'{value}.')
        self.num_shape, self.num_expression = num_shape, num_expression
        self.parents = tuple(int(parent) for parent in model.parents)
        shapes = model.shapedirs[..., np.r_[
            :num_shape, NUM_IDENTITY:NUM_IDENTITY + num_expression]]
        joint_shapes = np.einsum('jv,vck->kjc', model.J_regressor, shapes,
                                 optimize=True)
        correctives = np.concatenate([
            model.posedirs[..., 9 * (joint - 1):9 * joint]
            for joint in CORRECTIVE_JOINTS], -1)
        tables = landmark_tables(landmarks, model.faces)
        buffers = dict(
            faces=torch.from_numpy(model.faces),
            v_template=_planar(model.v_template),
            directions=torch.cat((_planar(shapes), _planar(correctives))),
            joint_template=torch.from_numpy(model.joints).flatten(),
            joint_shapes=torch.from_numpy(joint_shapes).flatten(1),
            weights=torch.from_numpy(model.weights).t().contiguous(),
            corners2d=torch.from_numpy(tables.corners2d),
            weights2d=torch.from_numpy(tables.weights2d),
            corners3d=torch.from_numpy(tables.corners3d),
            weights3d=torch.from_numpy(tables.weights3d))
        for name, value in buffers.items():
            value = value.clone() if not value.is_floating_point() else (
                value.to(dtype, copy=True))
            self.register_buffer(name, value, persistent=False)

    def forward(self,
                shape: torch.Tensor,
                expression: torch.Tensor,
                pose: torch.Tensor,
                eye_pose: torch.Tensor | None = None,
                neck_pose: torch.Tensor | None = None) -> FlameOutput:
        """Pose heads.

        Args:
            shape: (B, num_shape) identity coefficients, unit variance.
            expression: (B, num_expression) coefficients.
            pose: (B, 6) axis-angle of the whole head, then of the jaw,
                radians.
            eye_pose: (B, 6) axis-angle of the left, then of the right eye;
                0 without it.
            neck_pose: (B, 3) axis-angle of the neck; 0 without it.

        Raises:
            ValueError: If a shape is wrong.
        """
        check_shape('shape', shape, ('B', self.num_shape))
        batch = len(shape)
        check_shape('expression', expression, (batch, self.num_expression))
        check_shape('pose', pose, (batch, 6))
        resting = eye_pose is None and neck_pose is None
        if eye_pose is None:
            eye_pose = pose.new_zeros(batch, 6)
        if neck_pose is None:
            neck_pose = pose.new_zeros(batch, 3)
        check_shape('eye_pose', eye_pose, (batch, 6))
        check_shape('neck_pose', neck_pose, (batch, 3))
        full_pose = torch.cat((pose[:, :3], neck_pose, pose[:, 3:], eye_pose),
                              1).unflatten(1, (-1, 3))
        rotations = axis_angle_to_matrix(full_pose)
        directions, joints = self.moving_directions(resting)
        vertices = linear_blend_skinning(
            torch.cat((shape, expression), 1), rotations, self.v_template,
            directions, self.joint_template, self.joint_shapes, self.weights,
            self.parents, joints)
        return FlameOutput(
            vertices,
            *self.vertices_to_landmarks(vertices,
                                        rotations[:, 0] @ rotations[:, 1]))

    def moving_directions(self, resting: bool
                          ) -> tuple[torch.Tensor, tuple[int, ...]]:
        """What :func:`linear_blend_skinning` takes: directions and joints.

        Args:
            resting: Neck and eyes are in the zero pose.
        """
        if not resting:
            return self.directions, CORRECTIVE_JOINTS
        used = self.num_shape + self.num_expression + 9
        return self.directions[:used], CORRECTIVE_JOINTS[:1]

    def neutral(self, shape: torch.Tensor) -> torch.Tensor:
        """Neutral heads: without expression, in the zero pose.

        Equal to :meth:`forward` with zeros, for the price of one matrix
        product: in the zero pose skinning and pose correctives do nothing.

        Args:
            shape: (B, num_shape).

        Returns:
            (B, V, 3) metres, model space.

        Raises:
            ValueError: If the shape is another one.
        """
        check_shape('shape', shape, ('B', self.num_shape))
        flat = blend(self.v_template, shape,
                     self.directions[:self.num_shape])
        return flat.unflatten(1, (3, -1)).transpose(1, 2)

    def vertices_to_landmarks(
            self, vertices: torch.Tensor,
            head_rotation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Landmarks of meshes of this topology.

        Args:
            vertices: (B, V, 3).
            head_rotation: (B, 3, 3), R_global R_neck; its yaw chooses the
                contour.

        Returns:
            ``landmarks2d`` and ``landmarks3d``, (B, 68, 3) each.
        """
        row = contour_index(head_rotation)
        return (interpolate_landmarks(vertices, self.corners2d[row],
                                      self.weights2d[row]),
                interpolate_landmarks(vertices, self.corners3d,
                                      self.weights3d))
