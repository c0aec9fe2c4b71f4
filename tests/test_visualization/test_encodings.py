# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np

from mmtvface.geometry.encodings import (
    decode_depth,
    decode_normals,
    encode_depth,
    encode_normals,
    view_depth,
)


def test_depth_by_hand_and_back():
    toward = np.array([[0., .1, -.05], [.4, -1., .123456]])
    covered = np.array([[1, 1, 1], [1, 1, 0]], bool)
    image = encode_depth(toward, covered)
    assert image.dtype == np.uint16
    assert image.tolist() == [[32768, 42768, 27768], [65535, 1, 0]]
    back = decode_depth(image)
    np.testing.assert_allclose(back[0], toward[0], atol=5e-6)
    assert np.isnan(back[1, 2])


def test_view_of_depth_is_brighter_nearer():
    image = encode_depth(np.array([[.05, 0., -.05, 9.]]),
                         np.array([[True, True, True, False]]))
    assert view_depth(image)[0, :, 0].tolist() == [255, 152, 50, 0]
    assert not view_depth(np.zeros((2, 2), np.uint16)).any()
    flat = encode_depth(np.zeros((1, 1)), np.ones((1, 1), bool))
    assert view_depth(flat).tolist() == [[[50, 50, 50]]]


def test_normals_by_hand_and_back():
    normals = np.array([[[0, 0, 2.], [1, 0, 0], [0, -.6, .8], [0, 0, 0]]])
    covered = np.array([[True, True, True, False]])
    image = encode_normals(normals, covered)
    assert image[0].tolist() == [[128, 128, 255], [255, 128, 128],
                                 [128, 51, 230], [0, 0, 0]]
    back = decode_normals(image)
    np.testing.assert_allclose(np.linalg.norm(back[0, :3], axis=1), 1)
    np.testing.assert_allclose(back[0, 1:3], normals[0, 1:3], atol=.01)
    assert np.isnan(back[0, 3]).all()
