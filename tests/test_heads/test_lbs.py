# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import numpy as np
import torch

from mmtvface.geometry.rotation import axis_angle_to_matrix
from mmtvface.heads.lbs import (
    blend,
    linear_blend_skinning,
    pose_feature,
    skin,
    skinning_transforms,
)

PARENTS = (-1, 0, 1)


def _random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_blend_by_hand():
    result = blend(torch.tensor([1., 2.]), torch.tensor([[2., -1.]]),
                   torch.tensor([[10., 0.], [1., 5.]]))
    assert result.tolist() == [[20., -3.]]


def test_pose_feature_leaves_out_the_root_and_is_row_major():
    rotations = torch.eye(3).repeat(1, 3, 1, 1)
    rotations[0, 0], rotations[0, 2, 0, 1] = 7, 4
    feature = pose_feature(rotations)
    assert feature.shape == (1, 18)
    assert feature.nonzero().tolist() == [[0, 10]] and feature[0, 10] == 4


def test_chain_of_two_quarter_turns_by_hand():
    # An arm along x, bent by 90 degrees about z at each joint.
    joints = torch.tensor([[[0., 0, 0], [1, 0, 0], [2, 0, 0]]],
                          dtype=torch.float64)
    turn = torch.tensor([0., 0, math.pi / 2], dtype=torch.float64)
    vectors = torch.stack((0 * turn, turn, turn))[None]
    transforms = skinning_transforms(axis_angle_to_matrix(vectors), joints,
                                     PARENTS)
    tip = torch.tensor([3., 0, 0, 1], dtype=torch.float64)
    np.testing.assert_allclose(
        transforms[0] @ tip, [[3, 0, 0], [1, 2, 0], [0, 1, 0]], atol=1e-15)


def test_skin_mixes_the_maps():
    identity = torch.eye(3, 4)
    shifted = identity.clone()
    shifted[:, 3] = torch.tensor([4., 8., 0.])
    weights = torch.tensor([[1., .25], [0., .75]])
    points = torch.tensor([[[1., 2.], [0., 0.], [5., 6.]]])
    result = skin(points, weights, torch.stack((identity, shifted))[None])
    assert result.tolist() == [[[1., 5.], [0., 6.], [5., 6.]]]


def test_gradients():
    batch, shapes, vertices, joints = 2, 3, 4, 3
    weights = torch.softmax(_random(joints, vertices), 0)

    def posed(betas, vectors, template, directions, joint_template,
              joint_shapes):
        return linear_blend_skinning(
            betas, axis_angle_to_matrix(vectors), template, directions,
            joint_template, joint_shapes, weights, PARENTS)

    inputs = [_random(batch, shapes), _random(batch, joints, 3, seed=1),
              _random(3 * vertices, seed=2),
              _random(shapes + 9 * (joints - 1), 3 * vertices, seed=3),
              _random(joints * 3, seed=4),
              _random(shapes, joints * 3, seed=5)]
    inputs[1][0] = 0  # the rest pose is no special case
    assert torch.autograd.gradcheck(
        posed, [value.requires_grad_() for value in inputs])
