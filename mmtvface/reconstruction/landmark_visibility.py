# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Which landmarks of a reconstruction face the camera."""

from typing import Any

import torch

from mmtvface.geometry.camera import project
from mmtvface.geometry.mesh import (
    FACING_LANDMARK,
    facing_camera,
    vertex_normals,
)
from mmtvface.geometry.rotation import axis_angle_to_matrix


def landmark_visibility(flame: Any, vertices: torch.Tensor,
                        cam: torch.Tensor, pose: torch.Tensor
                        ) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether landmarks lie on the side of the head that is seen.

    A landmark is visible where the normal of the projected mesh, read at its
    place on the surface, has a z below 0.1 (DECA, Feng et al., SIGGRAPH
    2021). Things in front of the face are not considered.

    Args:
        flame: Head model with ``faces`` and ``vertices_to_landmarks``.
        vertices: (B, V, 3) metres.
        cam: (B, 3).
        pose: (B, 6) axis-angle; the first three turn the head, and so
            choose the contour of the 2D landmarks.

    Returns:
        Visibility of the 2D and of the 3D landmarks, (B, 68) bool each.
    """
    normals = vertex_normals(project(vertices, cam), flame.faces)
    both = flame.vertices_to_landmarks(
        normals, axis_angle_to_matrix(pose[:, :3]))
    return tuple(facing_camera(at, FACING_LANDMARK) for at in both)
