# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import torch

from mmtvface.geometry.camera import move_camera, ndc_to_pixel, project
from mmtvface.geometry.crop import square_matrix


def test_cameras_of_other_crops_show_the_same_place():
    generator = torch.Generator().manual_seed(0)
    size, points = 112, torch.randn(3, 5, 3, generator=generator) * .1
    cam = torch.tensor([[8., .01, -.02], [6., 0., .03], [-7., .02, 0.]])
    old = torch.stack([torch.from_numpy(square_matrix(
        (100. + 9 * i, 80. - 5 * i), 90. + 20 * i, size)) for i in range(3)])
    new = torch.from_numpy(square_matrix((140., 60.), 120., size))

    def places(cam, crops):
        pixels = ndc_to_pixel(project(points.double(), cam)[..., :2], size)
        return (pixels - crops[..., None, :2, 2]) / crops[..., :1, :1]

    moved = move_camera(cam.double(), old, new, size)
    torch.testing.assert_close(places(moved, new), places(cam.double(), old))
    torch.testing.assert_close(move_camera(moved, new, old, size),
                               cam.double())
