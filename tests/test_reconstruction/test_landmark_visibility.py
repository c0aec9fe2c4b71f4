# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import torch
from helpers.toy_pictures import find_bright_boxes, picture

from mmtvface.apis import FaceReconstructor
from mmtvface.heads import FLAME
from mmtvface.reconstruction.landmark_visibility import landmark_visibility


def turned(flame, degrees):
    """Visibility of a head that turns to its left."""
    pose = torch.zeros(1, 6)
    pose[0, 1] = np.deg2rad(degrees)
    head = flame(torch.zeros(1, flame.num_shape),
                 torch.zeros(1, flame.num_expression), pose)
    return landmark_visibility(
        flame, head.vertices, torch.tensor([[8., 0., 0.]]), pose)


def test_the_far_side_is_hidden():
    flame = FLAME('procedural', num_shape=1, num_expression=1)
    contour = slice(0, 17)
    flat, solid = turned(flame, 0.)
    assert flat.shape == solid.shape == (1, 68) and flat.dtype == torch.bool
    assert flat[0, 17:].all()
    # Of the points fixed on the jaw line, those of the far side vanish; the
    # contour that slides with the yaw stays where it is seen.
    for degrees, far, near in ((40., slice(9, 17), slice(0, 8)),
                               (-40., slice(0, 8), slice(9, 17))):
        sliding, fixed = turned(flame, degrees)
        assert sliding[0, contour].sum() > fixed[0, contour].sum()
        assert fixed[0, near].all()
        assert fixed[0, far].sum() <= 3
    back = turned(flame, 180.)[1]
    assert back.sum() < 10


def test_results_have_it(model_files):
    reconstructor = FaceReconstructor(
        *model_files, device='cpu', detector=find_bright_boxes)
    result, = reconstructor(picture())
    assert result.visible2d.shape == (68, ) and result.visible2d.dtype == bool
    model = reconstructor.model
    expected = landmark_visibility(
        model.flame, *(torch.from_numpy(array)[None] for array in (
            result.vertices, result.codes['cam'], result.codes['pose'])))
    np.testing.assert_array_equal(result.visible2d, expected[0][0])
    np.testing.assert_array_equal(result.visible3d, expected[1][0])
