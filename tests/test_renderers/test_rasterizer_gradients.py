# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest
import torch
from helpers.toy_meshes import toy_ellipsoid
from toy_rasterizers import installed_rasterizer

from mmtvface.renderers import build_rasterizer
from mmtvface.renderers.base import barycentrics_of, corner_gradients
from mmtvface.renderers.numba_rasterizer import NumbaRasterizer


@pytest.fixture(params=['torch', 'numba', 'triton', 'pytorch3d'])
def rasterizer(request):
    return installed_rasterizer(request.param)


def toy_scene(batch=2):
    template, topology = toy_ellipsoid(5, 6, (0.83, 0.91, 0.77))
    generator = torch.Generator().manual_seed(4)
    vertices = torch.tensor(template) + 0.05 * torch.randn(
        batch, *template.shape, generator=generator).double()
    return vertices, torch.tensor(topology.faces)


def test_gradcheck(rasterizer):
    vertices, faces = toy_scene()
    size = 9, 7
    # Steps of 1e-6 must not move an edge over a pixel centre.
    nearest = rasterizer(vertices, faces, size)
    edge = nearest.barycentrics[nearest.covered].min()
    assert nearest.covered.any() and edge > 1e-4
    vertices.requires_grad_()

    def function(vertices):
        fragments = rasterizer(vertices, faces, size)
        depth = fragments.depth
        return fragments.barycentrics, torch.where(depth.isinf(), 0, depth)

    # The slow ones in one random direction; numba equals them, see below.
    fast = not isinstance(rasterizer, NumbaRasterizer)
    assert torch.autograd.gradcheck(function, vertices, fast_mode=fast)


def test_closed_form_equals_autograd():
    generator = torch.Generator().manual_seed(1)
    corners = torch.randn(20, 3, 3, generator=generator).double()
    pixels = torch.randn(20, 2, generator=generator).double()
    corners.requires_grad_()
    weights, depth = barycentrics_of(corners, pixels)
    grads = torch.randn_like(weights), torch.randn_like(depth)
    expected, = torch.autograd.grad((weights, depth), corners, grads)
    torch.testing.assert_close(
        corner_gradients(corners.detach(), pixels, *grads), expected)


@pytest.mark.parametrize('name', ['numba', 'triton'])
def test_back_ends_give_the_same_gradient(name):
    rasterizers = build_rasterizer('torch'), installed_rasterizer(name)
    vertices, faces = toy_scene(3)
    vertices = vertices.float().requires_grad_()
    grads = []
    for rasterizer in rasterizers:
        fragments = rasterizer(vertices, faces, (40, 30))
        generator = torch.Generator().manual_seed(0)
        mix = torch.randn(3, 40, 30, 3, generator=generator)
        loss = (fragments.barycentrics * mix).sum() + (
            fragments.depth[fragments.covered]**2).sum()
        grads.append(torch.autograd.grad(loss, vertices)[0])
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)
    assert grads[0].abs().max() > 1


def test_only_one_output_may_be_used(rasterizer):
    vertices, faces = toy_scene()
    vertices.requires_grad_()
    fragments = rasterizer(vertices, faces, (9, 7))
    depth = fragments.depth[fragments.covered].sum()
    grad, = torch.autograd.grad(depth, vertices, retain_graph=True)
    # Moving the mesh back by 1 moves all covered depths by 1.
    torch.testing.assert_close(grad[..., 2].sum(),
                               fragments.covered.sum().double())
    grad, = torch.autograd.grad(fragments.barycentrics.square().sum(),
                                vertices)
    assert grad[..., :2].abs().sum() > 0 and (grad[..., 2] == 0).all()
    assert not fragments.face_index.requires_grad


def test_inputs_stay_as_they_are(rasterizer):
    vertices, faces = toy_scene()
    copies = vertices.clone(), faces.clone()
    first = rasterizer(vertices, faces, (9, 7))
    second = rasterizer(vertices, faces, (9, 7))
    assert torch.equal(vertices, copies[0]) and torch.equal(faces, copies[1])
    assert all(map(torch.equal, first, second))
