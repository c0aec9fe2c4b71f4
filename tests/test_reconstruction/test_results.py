# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import torch

from mmtvface.geometry.camera import ndc_to_pixel, project
from mmtvface.geometry.crop import crop_matrix, transform_points
from mmtvface.reconstruction.results import FrameResult, frame_camera


def test_frame_camera_equals_projection_and_way_back():
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(9, 3)) * 0.1
    cam = np.array([8., 0.01, -0.02])
    matrix = crop_matrix((400, 200, 700, 520), 224, 1.5)
    ndc = project(torch.from_numpy(vertices)[None],
                  torch.from_numpy(cam)[None])[0].numpy()
    pixels = transform_points(ndc_to_pixel(ndc[:, :2], 224),
                              np.linalg.inv(matrix))
    result = FrameResult(0, 'a', vertices=vertices,
                         camera=frame_camera(cam, matrix, 224))
    found = result.vertices_image
    np.testing.assert_allclose(found[:, :2], pixels, atol=1e-9)
    # Depth has the scale of x and y; smaller is nearer.
    size = np.ptp(found[:, 0]) / np.ptp(vertices[:, 0])
    np.testing.assert_allclose(found[:, 2], -size * vertices[:, 2])


def test_known_crop_maps_back_by_hand():
    # Crop of side 10 around (30, 20), enlarged to 20 pixels: the origin
    # falls into the crop's middle (9.5, 9.5), which is (30, 20).
    matrix = np.array([[2., 0, -50.5], [0, 2., -30.5], [0, 0, 1]])
    camera = frame_camera(np.array([1., 0., 0.]), matrix, 20)
    np.testing.assert_allclose(camera @ [0, 0, 0, 1], [30, 20, 0])
    # One metre is one NDC unit: half the crop, 5 pixels of the frame.
    np.testing.assert_allclose(camera @ [1, 1, 1, 1], [35, 15, -5])


def test_no_result_no_vertices():
    result = FrameResult(0, 'a', status='no_face')
    assert not result.valid and result.vertices_image is None
