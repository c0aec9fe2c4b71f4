# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Triton's rasterizer against the others, on a GPU where there is one."""

import pytest
import torch
from helpers.rendered_heads import turned_heads

from mmtvface.renderers import build_rasterizer
from mmtvface.renderers.triton_rasterizer import TritonRasterizer

pytestmark = pytest.mark.gpu
pytest.importorskip('triton')


@pytest.fixture
def scene(device):
    """(2, V, 3) float64 vertices in NDC, faces, size and rasterizer."""
    if device.type == 'cuda':
        size, rasterizer = (224, 200), TritonRasterizer()
    else:  # interpreted: slow, the slower the more blocks
        size, rasterizer = (20, 17), TritonRasterizer(512, 64)
    vertices, faces = turned_heads(2, small=device.type != 'cuda')
    return vertices.to(device), faces.to(device), size, rasterizer


def test_heads_for_a_gpu_are_there():
    vertices, faces = turned_heads(2)
    assert len(faces) > 9000 and faces.max() < vertices.shape[1]
    seen = build_rasterizer('numba')(vertices, faces, (32, 32)).covered
    assert .25 < seen.float().mean() < .75


def gradient(rasterizer, vertices, faces, size):
    """Of a sum over barycentrics and depth with fixed weights."""
    vertices = vertices.detach().requires_grad_()
    fragments = rasterizer(vertices, faces, size)
    mix = torch.linspace(-1, 1, fragments.barycentrics.numel(),
                         dtype=vertices.dtype, device=vertices.device)
    loss = fragments.barycentrics.flatten() @ mix
    loss = loss + fragments.depth[fragments.covered].square().sum()
    return torch.autograd.grad(loss, vertices)[0]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('name', ['numba', 'torch'])
def test_fragments_and_gradients_are_those_of_others(scene, name, dtype):
    vertices, faces, size, triton = scene
    vertices = vertices.to(dtype)
    reference = build_rasterizer(name)
    place = torch.device('cpu') if name == 'numba' else vertices.device
    other = vertices.to(place), faces.to(place), size
    ours, theirs = triton(vertices, faces, size), reference(*other)
    assert theirs.covered.float().mean() > .1
    for found, expected in zip(ours, theirs, strict=True):
        assert torch.equal(found.cpu(), expected.cpu())
    torch.testing.assert_close(
        gradient(triton, vertices, faces, size).cpu(),
        gradient(reference, *other).cpu(), rtol=1e-4, atol=1e-4)


def test_gradients_are_finite_differences(scene):
    vertices, faces, size, triton = scene
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(vertices.shape, generator=generator,
                            dtype=torch.float64).to(vertices.device)
    fragments = triton(vertices, faces, size)
    # Pixels that an edge crosses within the step have no derivative.
    step = 1e-7
    ends = [triton(vertices + sign * step * direction, faces, size)
            for sign in (-1, 1)]
    same = fragments.covered & (ends[0].face_index == fragments.face_index) & (
        ends[1].face_index == fragments.face_index)
    assert same.sum() > .9 * fragments.covered.sum()
    mix = torch.linspace(-1, 1, same.numel() * 3, dtype=torch.float64,
                         device=same.device).view(*same.shape, 3)

    def value(fragments):
        return ((fragments.barycentrics * mix).sum(-1) + torch.where(
            same, fragments.depth, 0))[same].sum()

    expected = (value(ends[1]) - value(ends[0])) / (2 * step)
    leaf = vertices.clone().requires_grad_()
    grad, = torch.autograd.grad(value(triton(leaf, faces, size)), leaf)
    torch.testing.assert_close((grad * direction).sum(), expected,
                               rtol=1e-5, atol=1e-4)


def test_bits_are_the_same_again(scene):
    vertices, faces, size, triton = scene
    vertices = vertices.float()
    first, second = (gradient(triton, vertices, faces, size)
                     for _ in range(2))
    assert first.abs().max() > 0 and torch.equal(first, second)
