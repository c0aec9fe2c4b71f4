# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest
import torch

from mmtvface.geometry.grid_mesh import grid_faces, grid_normals
from mmtvface.geometry.mesh import vertex_normals


def plane(height, width, slope=0.):
    """x to the right, y up, z = slope * x; one unit per texel."""
    y, x = torch.meshgrid(
        -torch.arange(height, dtype=torch.float64),
        torch.arange(width, dtype=torch.float64), indexing='ij')
    return torch.stack([x, y, slope * x])[None]


def test_faces_of_a_small_grid():
    # one square of the middle of 4 x 6, between the texels 8, 9, 14, 15
    faces = grid_faces(4, 6, margin_x=2, margin_y=1)
    assert faces.tolist() == [[8, 14, 9], [9, 14, 15]]


def test_margins_of_the_published_mesh():
    faces = grid_faces(256, 256)
    assert len(faces) == 2 * (256 - 1 - 2 * 5) * (256 - 1 - 2 * 2)
    rows, columns = faces // 256, faces % 256
    assert (rows.min(), rows.max()) == (5, 250)
    assert (columns.min(), columns.max()) == (2, 253)


def test_normals_of_planes_by_hand():
    flat = grid_normals(plane(9, 8), 2, 3)
    assert torch.equal(flat[0, 2, 3:6, 2:6], torch.ones(3, 4).double())
    assert flat[0, :2].abs().max() == 0
    assert flat[0, :, :3].abs().max() == 0 == flat[0, :, :, 6:].abs().max()
    # z = 3/4 x has the normal (-3, 0, 4) / 5
    tilted = grid_normals(plane(9, 8, .75), 2, 3)
    expected = torch.tensor([-.6, 0., .8]).double()
    torch.testing.assert_close(tilted[0, :, 4, 4], expected)


@pytest.mark.parametrize('margins', [(0, 0), (2, 5), (3, 1)])
def test_normals_equal_those_of_the_mesh(margins):
    generator = torch.Generator().manual_seed(0)
    positions = plane(17, 14) + .3 * torch.randn(
        3, 3, 17, 14, generator=generator, dtype=torch.float64)
    mesh = vertex_normals(
        positions.flatten(2).mT, grid_faces(17, 14, *margins))
    expected = mesh.mT.unflatten(2, (17, 14))
    torch.testing.assert_close(grid_normals(positions, *margins), expected)


def test_gradient():
    generator = torch.Generator().manual_seed(0)
    positions = (plane(5, 4) + .2 * torch.randn(
        1, 3, 5, 4, generator=generator,
        dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: grid_normals(p, 0, 0), positions)


def test_collapsed_grid_gives_finite_gradients():
    positions = torch.zeros(1, 3, 12, 12, requires_grad=True)
    normals = grid_normals(positions, 1, 1)
    normals.sum().backward()
    assert normals.abs().max() == 0
    assert positions.grad.isfinite().all()


@pytest.mark.parametrize('shape', [(3, 8, 8), (1, 2, 8, 8)])
def test_wrong_shape(shape):
    with pytest.raises(ValueError, match='positions must have the shape'):
        grid_normals(torch.zeros(shape), 0, 0)


def test_margins_that_leave_nothing():
    with pytest.raises(ValueError, match='10x10 texels has no square'):
        grid_normals(torch.zeros(1, 3, 10, 10))
