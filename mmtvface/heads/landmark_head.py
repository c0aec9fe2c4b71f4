# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Landmarks of heads and their derivatives, without the rest of the head."""

from collections.abc import Mapping

import torch
from torch import nn

from mmtvface.geometry.camera import project
from mmtvface.geometry.rotation import axis_angle_to_matrix

from .flame import FLAME
from .landmark_embedding import contour_index, interpolate_landmarks
from .lbs import linear_blend_skinning

POSE, CAMERA = 6, 3


class LandmarkHead(nn.Module):
    """The part of a head model that its 68 landmarks hang on.

    A state of a frame is (shape S, global rotation and jaw 6, logarithm of
    the camera's scale and its shifts 3, expression E), see :meth:`state`:
    a few hundred vertices in place of all make its derivatives cheap.

    Args:
        flame: The head model.
    """

    def __init__(self, flame: FLAME) -> None:
        super().__init__()
        used, corners = flame.corners2d.unique(return_inverse=True)
        planes = flame.v_template.view(3, -1)
        self.num_shape = flame.num_shape
        self.size = flame.num_shape + POSE + CAMERA + flame.num_expression
        self.parents = flame.parents
        directions, self._joints = flame.moving_directions(resting=True)
        buffers = dict(
            corners=corners, weights2d=flame.weights2d,
            template=planes[:, used].flatten(),
            directions=directions.unflatten(1, (3, -1))[
                ..., used].flatten(1),
            joint_template=flame.joint_template,
            joint_shapes=flame.joint_shapes, skin=flame.weights[:, used])
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """Of states and points."""
        return self.template.dtype

    def state(self, codes: dict[str, torch.Tensor]) -> torch.Tensor:
        """(T, D) states of codes: ``shape``, ``pose``, ``cam``, ``exp``.

        Raises:
            ValueError: If a camera's scale is not positive.
        """
        scale = codes['cam'][:, :1]
        if not (scale > 0).all():
            raise ValueError('Cameras must have a positive scale, but the '
                             f'smallest is {float(scale.min()):.3g}.')
        return torch.cat([codes['shape'], codes['pose'], scale.log(),
                          codes['cam'][:, 1:], codes['exp']], 1)

    def codes(self, state: torch.Tensor) -> dict[str, torch.Tensor]:
        """Codes of states, the inverse of :meth:`state`."""
        shape, pose, cam, exp = state.split(
            [self.num_shape, POSE, CAMERA, self.size - self.num_shape - POSE
             - CAMERA], 1)
        cam = torch.cat([cam[:, :1].exp(), cam[:, 1:]], 1)
        return dict(shape=shape, pose=pose, cam=cam, exp=exp)

    def contour_rows(self, state: torch.Tensor) -> torch.Tensor:
        """(T,) row of the contour tables of each frame, by its yaw."""
        pose = state[:, self.num_shape:self.num_shape + 3]
        return contour_index(axis_angle_to_matrix(pose))

    def points(self, state: torch.Tensor, rows: torch.Tensor
               ) -> torch.Tensor:
        """Landmarks in the image.

        Args:
            state: (T, D).
            rows: (T,) of :meth:`contour_rows`; constants here.

        Returns:
            (T, 68, 2) NDC.
        """
        return self.project(self.codes(state), rows)

    def project(self, codes: Mapping[str, torch.Tensor], rows: torch.Tensor
                ) -> torch.Tensor:
        """:meth:`points` of codes; the scale of a camera may be anything."""
        pose = codes['pose']
        still = torch.zeros_like(pose[:, :3])
        rotations = axis_angle_to_matrix(torch.stack(
            [pose[:, :3], still, pose[:, 3:], still, still], 1))
        vertices = linear_blend_skinning(
            torch.cat([codes['shape'], codes['exp']], 1), rotations,
            self.template, self.directions, self.joint_template,
            self.joint_shapes, self.skin, self.parents, self._joints)
        points = interpolate_landmarks(vertices, self.corners[rows],
                                       self.weights2d[rows])
        return project(points, codes['cam'])[..., :2]

    def linearise(self, state: torch.Tensor, rows: torch.Tensor,
                  first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Landmarks and their derivatives.

        Args:
            state: (T, D).
            rows: (T,) of :meth:`contour_rows`.
            first: First entry of the state whose derivative is wanted.

        Returns:
            (T, 68, 2) and (T, 68, 2, D - first).
        """
        basis = torch.eye(self.size, dtype=state.dtype,
                          device=state.device)[first:]

        def push(direction: torch.Tensor) -> torch.Tensor:
            return torch.func.jvp(lambda value: self.points(value, rows),
                                  (state, ),
                                  (direction.expand_as(state), ))[1]

        # Frames do not depend on each other, so that one direction serves
        # all of them.
        return self.points(state, rows), torch.func.vmap(
            push, out_dims=-1, chunk_size=32)(basis)
