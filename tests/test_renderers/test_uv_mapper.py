# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch
from helpers.toy_meshes import grid_faces, toy_ellipsoid

from mmtvface.geometry.camera import project
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.renderers import MeshRenderer, UVMapper

TEMPLATE, TOPOLOGY = toy_ellipsoid()
SIZE = 48


@pytest.fixture(scope='module')
def mapper():
    return UVMapper(TOPOLOGY, SIZE)


def scene(batch=2):
    vertices = torch.tensor(TEMPLATE).float().repeat(batch, 1, 1)
    cam = torch.tensor([[8., 0, 0]]).repeat(batch, 1)
    return vertices, project(vertices, cam)


def two_plates():
    """A wide plate in front (z = 0.02) of half of another plate (z = 0)."""
    line = np.linspace(-0.1, 0.1, 5)
    y, x = np.meshgrid(-line, line, indexing='ij')
    back = np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    front = np.stack([x / 2 + 0.05, y, 0 * x + 0.02], -1).reshape(-1, 3)
    faces = grid_faces(5, 5)
    uv = (back[:, :2] + 0.1) / 0.2
    mask = np.ones((256, 256))
    topology = HeadTopology(
        np.concatenate([faces, faces + 25]),
        np.concatenate([uv * [0.5, 1], uv * [0.5, 1] + [0.5, 0]]),
        np.concatenate([faces, faces + 25]), mask, mask, mask * 0)
    return torch.tensor(np.concatenate([back, front])).float()[None], topology


def test_texel_centers_get_their_own_coordinates():
    # A flat mesh whose positions are its UV coordinates.
    vertices, topology = two_plates()
    mapper = UVMapper(topology, 20)
    assert mapper.covered.all()
    maps = mapper.to_uv(torch.tensor(topology.uv_coords).float()[None])[0]
    place = (torch.arange(20) + 0.5) / 20
    torch.testing.assert_close(maps[0], place.expand(20, 20), atol=1e-6,
                               rtol=0)
    torch.testing.assert_close(maps[1], 1 - place[:, None].expand(20, 20),
                               atol=1e-6, rtol=0)


def test_maps_of_positions_lie_on_the_surface(mapper):
    vertices, _ = scene()
    scaled = vertices * torch.tensor([1., 2.])[:, None, None]
    maps = mapper.to_uv(scaled)
    assert maps.shape == (2, 3, SIZE, SIZE)
    radii = maps[0] / torch.tensor([0.08, 0.11, 0.1])[:, None, None]
    on_surface = radii.norm(dim=0)[mapper.covered]
    assert (on_surface - 1).abs().max() < 0.05
    assert (maps[:, :, ~mapper.covered] == 0).all()
    torch.testing.assert_close(maps[1], 2 * maps[0])
    # The UV map spans [0.02, 0.98] of each axis.
    assert abs(mapper.covered.float().mean() - 0.96**2) < 0.02


def test_gradcheck():
    mapper = UVMapper(TOPOLOGY, 6)
    attributes = torch.randn(2, len(TEMPLATE), 2).double().requires_grad_()
    assert torch.autograd.gradcheck(mapper.to_uv, attributes, atol=1e-6)


def test_the_uv_map_is_rasterized_once(mapper, monkeypatch):

    def fail(*_):
        raise AssertionError('rasterized again')

    monkeypatch.setattr(
        'mmtvface.renderers.base.Rasterizer.__call__', fail)
    vertices, ndc = scene()
    mapper.to_uv(vertices)
    mapper.image_to_uv(torch.rand(2, 3, 9, 9), ndc, occlusion=False)


def test_image_to_texture_inverts_rendering():
    generator = torch.Generator().manual_seed(0)
    albedo = torch.nn.functional.interpolate(
        torch.rand(2, 3, 6, 6, generator=generator), size=(64, 64),
        mode='bicubic').clamp(0, 1)
    vertices, ndc = scene()
    image = MeshRenderer(TOPOLOGY, 160).render(vertices, ndc, albedo).image
    mapper = UVMapper(TOPOLOGY, 64)
    texture, visibility = mapper.image_to_uv(image, ndc)
    assert 0.3 < visibility.mean() < 0.5
    # Away from the silhouette, where the background bleeds in.
    inner = mapper.image_to_uv(image, ndc, threshold=-0.3).visibility
    assert 0.2 < inner.mean() < visibility.mean()
    assert (texture - albedo)[inner.expand_as(texture) > 0].abs().max() < 0.02
    # Columns of the back, on both sides of the seam, are not seen.
    assert not visibility[..., :12].any() and not visibility[..., -12:].any()


def test_a_nearer_part_hides_what_is_behind():
    vertices, topology = two_plates()
    mapper = UVMapper(topology, 32)
    ndc = project(vertices, torch.tensor([[8., 0, 0]]))
    images = torch.rand(1, 3, 64, 64)
    free = mapper.image_to_uv(images, ndc, occlusion=False).visibility
    assert free.all()
    # The back plate fills the left half of the UV map; its right half
    # (x > 0) lies behind the front plate.
    hidden = mapper.image_to_uv(images, ndc).visibility[0, 0]
    assert hidden[:, :7].all() and not hidden[:, 9:16].any()
    assert hidden[:, 17:].all()
    fragments = mapper.rasterizer(ndc, mapper.faces, (64, 64))
    again = mapper.image_to_uv(images, ndc, fragments=fragments)
    assert torch.equal(again.visibility[0, 0], hidden)
    # Turned around, no plate faces the camera.
    turned = vertices * torch.tensor([-1., 1, -1])
    ndc = project(turned, torch.tensor([[8., 0, 0]]))
    assert not mapper.image_to_uv(images, ndc).visibility.any()


def test_outside_of_the_image_is_not_visible(mapper):
    _, ndc = scene()
    moved = ndc + torch.tensor([1., 0, 0])
    images = torch.ones(2, 3, 32, 32)
    inside = mapper.image_to_uv(images, ndc).visibility
    partly = mapper.image_to_uv(images, moved).visibility
    assert 0 < partly.sum() < 0.6 * inside.sum()
    gone = mapper.image_to_uv(images, ndc + 5).visibility
    assert not gone.any()


def test_texture_gradients_reach_image_and_vertices(mapper):
    _, ndc = scene()
    images = torch.rand(2, 3, 16, 16).requires_grad_()
    ndc.requires_grad_()
    texture, visibility = mapper.image_to_uv(images, ndc)
    assert not visibility.requires_grad
    (texture * visibility).sum().backward()
    assert images.grad.abs().sum() > 0 and ndc.grad.abs().sum() > 0


def test_wrong_shapes_are_named(mapper):
    _, ndc = scene()
    with pytest.raises(ValueError, match='attributes must have the shape'):
        mapper.to_uv(ndc[0])
    with pytest.raises(ValueError, match='vertices_ndc must have the shape'):
        mapper.image_to_uv(torch.rand(3, 3, 8, 8), ndc)
