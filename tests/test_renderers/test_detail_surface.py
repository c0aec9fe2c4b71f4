# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.toy_reconstructor import GRID, toy_topology

from mmtvface.geometry.grid_mesh import grid_faces
from mmtvface.geometry.mesh import vertex_normals
from mmtvface.renderers import DetailSurface, MeshRenderer

SIZE = 64


@pytest.fixture(scope='module')
def surface():
    return DetailSurface(toy_topology(), SIZE, rasterizer='torch')


def flat_patch(batch=1):
    """The toy patch as a plane of 20 cm, facing +z."""
    y, x = torch.meshgrid(
        torch.linspace(.1, -.1, GRID), torch.linspace(-.1, .1, GRID),
        indexing='ij')
    points = torch.stack([x, y, torch.zeros_like(x)], -1).view(1, -1, 3)
    return points.expand(batch, -1, -1)


def curved_patch():
    points = flat_patch().clone()
    points[..., 2] = .1 - 4 * points[..., :2].square().sum(-1)
    return torch.cat([points, points * 1.1])


def test_maps_of_a_plane(surface):
    maps = surface.maps(flat_patch())
    # texel centres run from -0.1 to 0.1 over the whole map
    x = ((torch.arange(SIZE) + .5) / SIZE - .5) * .2
    torch.testing.assert_close(maps.positions[0, 0, 30], x)
    torch.testing.assert_close(maps.positions[0, 1, :, 30], -x)
    assert torch.equal(maps.normals[0, 2], torch.ones(SIZE, SIZE))


def test_displacement_moves_along_the_normal_inside_the_mask(surface):
    maps = surface.maps(flat_patch())
    moved = surface.displace(
        torch.full((1, 1, SIZE, SIZE), .003), maps) - maps.positions
    torch.testing.assert_close(moved[0, 2, 32, 32], torch.tensor(.003))
    # the toy mask ends an eighth of the map away from its border
    assert moved[0, :, :6].abs().max() == 0


def test_fixed_displacement_counts_everywhere():
    fixed = np.full((256, 256), .002)
    topology = replace(toy_topology(), fixed_displacement=fixed)
    surface = DetailSurface(topology, SIZE, rasterizer='torch')
    maps = surface.maps(flat_patch())
    moved = surface.displace(torch.zeros(1, 1, SIZE, SIZE), maps)
    torch.testing.assert_close(
        (moved - maps.positions)[0, 2], torch.full((SIZE, SIZE), .002))


def test_normals_of_a_slope_by_hand(surface):
    maps = surface.maps(flat_patch())
    # 45 degrees: the height grows by a texel's width per texel
    step = .2 / SIZE
    ramp = (torch.arange(SIZE) - 32.).expand(1, 1, SIZE, SIZE) * step
    normals = surface.normals(ramp, maps)
    expected = torch.tensor([-math.sqrt(.5), 0., math.sqrt(.5)])
    torch.testing.assert_close(
        normals[0, :, 32, 32], expected, atol=1e-5, rtol=0)
    assert torch.equal(normals[0, :, 2, 32], torch.tensor([0., 0., 1.]))


def test_normals_equal_those_of_the_dense_mesh(surface):
    maps = surface.maps(curved_patch())
    generator = torch.Generator().manual_seed(0)
    waves = torch.randn(2, 1, SIZE, SIZE, generator=generator) * 1e-3
    dense = surface.displace(waves, maps)
    mesh = vertex_normals(dense.flatten(2).mT.double(),
                          grid_faces(SIZE, SIZE)).float()
    mask = surface.uv_face_eye_mask
    expected = (mask * mesh.mT.unflatten(2, (SIZE, SIZE))
                + (1 - mask) * maps.normals)
    torch.testing.assert_close(
        surface.normals(waves, maps), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        surface.normal_offsets(waves, maps), expected - maps.normals,
        atol=1e-4, rtol=0)


def test_without_facets_no_displacement_is_no_detail():
    faceted, smooth = (
        DetailSurface(toy_topology(), SIZE, 'torch', faceted=flag)
        for flag in (True, False))
    maps = smooth.maps(curved_patch())
    zero = torch.zeros(2, 1, SIZE, SIZE)
    assert faceted.normal_offsets(zero, maps).abs().max() > .02
    assert smooth.normal_offsets(zero, maps).abs().max() == 0
    assert torch.equal(smooth.normals(zero, maps), maps.normals)
    generator = torch.Generator().manual_seed(0)
    waves = torch.randn(2, 1, SIZE, SIZE, generator=generator) * 1e-3
    torch.testing.assert_close(
        smooth.normal_offsets(waves, maps),
        faceted.normal_offsets(waves, maps)
        - faceted.normal_offsets(zero, maps), atol=1e-5, rtol=0)


def test_copies_share_the_coarse_surface(surface):
    maps = surface.maps(curved_patch())
    generator = torch.Generator().manual_seed(0)
    waves = torch.randn(4, 1, SIZE, SIZE, generator=generator) * 1e-3
    both = surface.normals(waves, maps)
    for copy in (0, 1):
        part = slice(2 * copy, 2 * copy + 2)
        torch.testing.assert_close(
            both[part], surface.normals(waves[part], maps))


@pytest.mark.parametrize('shape', [(3, 1, SIZE, SIZE), (2, 1, 32, 32),
                                   (2, 3, SIZE, SIZE)])
def test_wrong_displacement(surface, shape):
    with pytest.raises(ValueError, match='displacement'):
        surface.displace(torch.zeros(shape), surface.maps(curved_patch()))


def test_pictures_keep_coarse_normals_at_the_border_of_charts():
    """Beside a hole, squares lead to empty texels at the origin."""
    topology = toy_topology()
    middle = GRID // 2
    cell = (middle * (GRID - 1) + middle)  # a cell without its triangles
    keep = np.ones(len(topology.faces), bool)
    keep[[cell, cell + (GRID - 1)**2]] = False
    surface = DetailSurface(
        replace(topology, faces=topology.faces[keep],
                uv_faces=topology.uv_faces[keep]), SIZE, rasterizer='torch')
    hole = ~surface.mapper.covered
    assert 10 < hole.sum() < 60
    maps = surface.maps(flat_patch() + torch.tensor([0., 0., .05]))
    zero = torch.zeros(1, 1, SIZE, SIZE)
    assert (surface.normals(zero, maps) - maps.normals).abs().max() > .5
    assert surface.normal_offsets(zero, maps).abs().max() < 1e-4


def test_no_state(surface):
    assert not surface.state_dict()


def shifted(vertices):
    return vertices * torch.tensor([9., -9., -9.])


def test_renderer_shades_the_detail(surface):
    """A ramp in the map tilts the normals of the pixels that show it."""
    renderer = MeshRenderer(toy_topology(), 64, SIZE, rasterizer='torch')
    vertices = flat_patch()
    maps = surface.maps(vertices)
    ramp = (torch.arange(SIZE) - 32.).expand(1, 1, SIZE, SIZE) * .2 / SIZE
    offsets = surface.normal_offsets(ramp, maps)
    light = torch.zeros(1, 9, 3)
    light[:, 0], light[:, 1] = 3.5, 1.  # more from the side of +x
    albedo = torch.full((1, 3, 8, 8), .5)
    plain = renderer.render(vertices, shifted(vertices), albedo, light)
    fine = renderer.render(vertices, shifted(vertices), albedo, light,
                           normal_offsets=offsets)
    torch.testing.assert_close(
        fine.normals[0, :, 32, 32],
        torch.tensor([-math.sqrt(.5), 0., math.sqrt(.5)]), atol=1e-4, rtol=0)
    assert fine.image[0, 0, 32, 32] < plain.image[0, 0, 32, 32] - .05
    # what lies outside of the mask stays as it is
    assert torch.equal(fine.image[..., 7:9, 32], plain.image[..., 7:9, 32])
    gray = renderer.render_shape(vertices, shifted(vertices))
    relief = renderer.render_shape(vertices, shifted(vertices),
                                   normal_offsets=offsets)
    assert (gray - relief).abs().max() > .05


def test_gradient_reaches_the_displacement(surface):
    maps = surface.maps(flat_patch())
    wave = torch.zeros(1, 1, SIZE, SIZE, requires_grad=True)
    surface.normals(wave, maps)[0, 0, 32, 32].backward()
    # to the left raises, to the right lowers the normal's x
    assert wave.grad[0, 0, 32, 31] > 0 > wave.grad[0, 0, 32, 33]
