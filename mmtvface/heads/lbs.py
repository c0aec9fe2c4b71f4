# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Linear blend skinning as pure functions.

The equations are those of FLAME (Li et al., SIGGRAPH Asia 2017, section 3),
after SMPL (Loper et al., SIGGRAPH Asia 2015). Vertex arrays are planar here,
(B, 3, V): all of x, then all of y, then all of z, which lets the per-vertex
affine map run over contiguous memory.
"""

from collections.abc import Sequence

import torch


def blend(base: torch.Tensor, coefficients: torch.Tensor,
          directions: torch.Tensor) -> torch.Tensor:
    """Add a linear combination of directions, in one matrix product.

    Args:
        base: (N,) the mean.
        coefficients: (B, K).
        directions: (K, N).

    Returns:
        (B, N).
    """
    return torch.addmm(base, coefficients, directions)


def pose_feature(rotations: torch.Tensor,
                 joints: Sequence[int] | None = None) -> torch.Tensor:
    """Input of the pose correctives: ``R - I`` of joints.

    Args:
        rotations: (B, J, 3, 3).
        joints: Which, in which order; default: all but the root.

    Returns:
        (B, 9 * number of joints), row-major per joint.

    Examples:
        >>> pose_feature(torch.eye(3).expand(1, 5, 3, 3)).abs().sum().item()
        0.0
    """
    eye = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    chosen = rotations[:, 1:] if joints is None else torch.stack(
        [rotations[:, joint] for joint in joints], 1)
    return (chosen - eye).flatten(1)


def skinning_transforms(rotations: torch.Tensor, joints: torch.Tensor,
                        parents: Sequence[int]) -> torch.Tensor:
    r"""World transforms of the joints, relative to the rest pose.

    Along the kinematic chain from each joint $j$ to its parent $p$

    $$
    G_j = G_p\, [R_j \mid J_j - J_p], \qquad
    x \mapsto G_j^R\, (x - J_j) + G_j^t
    $$

    where the second map moves a rest-pose point with joint $j$.

    Args:
        rotations: (B, J, 3, 3), of each joint in its parent's frame.
        joints: (B, J, 3) rest positions, metres.
        parents: J parents, -1 for the root, parents before children.

    Returns:
        (B, J, 3, 4) affine maps.
    """
    world = [rotations[:, 0]]
    position = [joints[:, 0]]
    for joint, parent in enumerate(parents[1:], 1):
        offset = (joints[:, joint] - joints[:, parent])[..., None]
        world.append(world[parent] @ rotations[:, joint])
        position.append(position[parent] + (world[parent] @ offset)[..., 0])
    rotation = torch.stack(world, 1)
    shift = torch.stack(position, 1)[..., None] - rotation @ joints[..., None]
    return torch.cat((rotation, shift), -1)


def skin(vertices: torch.Tensor, weights: torch.Tensor,
         transforms: torch.Tensor) -> torch.Tensor:
    r"""Move every vertex by the weighted mean of the joints' maps.

    $$
    v' = \sum_j w_j\, (A_j\, v + a_j)
    $$

    Args:
        vertices: (B, 3, V) rest-pose vertices, metres.
        weights: (J, V) skinning weights, summing to 1 over J.
        transforms: (B, J, 3, 4) from :func:`skinning_transforms`.

    Returns:
        (B, 3, V) posed vertices, metres.
    """
    maps = transforms.flatten(2).transpose(1, 2) @ weights
    # unbind: its gradient is one stack, that of four indices four times all
    of_x, of_y, of_z, shift = maps.unflatten(1, (3, 4)).unbind(2)
    x, y, z = vertices[:, None].unbind(2)
    return torch.addcmul(
        torch.addcmul(torch.addcmul(shift, of_x, x), of_y, y), of_z, z)


def linear_blend_skinning(betas: torch.Tensor, rotations: torch.Tensor,
                          v_template: torch.Tensor, directions: torch.Tensor,
                          joint_template: torch.Tensor,
                          joint_shapes: torch.Tensor, weights: torch.Tensor,
                          parents: Sequence[int],
                          joints: Sequence[int] | None = None
                          ) -> torch.Tensor:
    r"""Posed vertices of a blend-shape model.

    $$
    v = \mathrm{skin}\big(\bar T + S \beta + P\,(R - I),\; J(\beta)\big)
    $$

    Shape and pose blends are one matrix product. The joints of the blended
    shape, $J(\beta) = \mathcal{J}\,(\bar T + S \beta)$, are linear in $\beta$
    as well, so the caller folds the regressor $\mathcal{J}$ into
    ``joint_template`` and ``joint_shapes`` once.

    Args:
        betas: (B, K) shape and expression coefficients.
        rotations: (B, J, 3, 3), of each joint in its parent's frame.
        v_template: (3 * V,) planar mean vertices, metres.
        directions: (K + 9 * number of ``joints``, 3 * V) planar: K shape
            directions, then the pose correctives of the joints.
        joint_template: (J * 3,) joints of the mean, metres.
        joint_shapes: (K, J * 3) change of the joints per coefficient.
        weights: (J, V) skinning weights.
        parents: J parents, -1 for the root, parents before children.
        joints: Whose correctives ``directions`` has; default: all but the
            root. Those of a joint at rest are zero and can be left out.

    Returns:
        (B, V, 3) metres, contiguous.
    """
    coefficients = torch.cat((betas, pose_feature(rotations, joints)), 1)
    rest = blend(v_template, coefficients, directions).unflatten(1, (3, -1))
    places = blend(joint_template, betas, joint_shapes).unflatten(1, (-1, 3))
    transforms = skinning_transforms(rotations, places, parents)
    return skin(rest, weights, transforms).transpose(1, 2).contiguous()
