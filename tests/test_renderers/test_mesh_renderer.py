# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import copy

import numpy as np
import pytest
import torch
from helpers.toy_meshes import toy_ellipsoid

from mmtvface.geometry.camera import project
from mmtvface.geometry.lighting import (
    SH_FACTORS,
    DirectionalLights,
    PointLights,
)
from mmtvface.registry import MODELS
from mmtvface.renderers import MeshRenderer, UVMapper

TEMPLATE, TOPOLOGY = toy_ellipsoid()
SIZE = 40


@pytest.fixture(scope='module', params=['torch', 'numba'])
def renderer(request):
    pytest.importorskip(request.param)
    return MeshRenderer(TOPOLOGY, SIZE, rasterizer=request.param)


def scene(batch=2, dtype=torch.float32):
    vertices = torch.tensor(TEMPLATE, dtype=dtype).repeat(batch, 1, 1)
    cam = torch.tensor([[8., 0, 0]], dtype=dtype).repeat(batch, 1)
    return vertices, project(vertices, cam)


def quarters(batch=2, size=64):
    """An albedo whose quarters of the UV map have different colours."""
    albedo = torch.zeros(batch, 3, size, size)
    half = size // 2
    albedo[:, 0, :half, :half] = 1  # v > 0.5, u < 0.5: red
    albedo[:, 1, :half, half:] = 1  # v > 0.5, u > 0.5: green
    albedo[:, 2, half:] = 1  # v < 0.5: blue
    return albedo


def test_uv_map_and_axes_are_the_right_way_up(renderer):
    image = renderer.render(*scene(), quarters()).image[0]
    c, d = SIZE // 2, SIZE // 5
    # Model +x (the person's left, u > 0.5) is right in the image, +y up.
    assert image[:, c - d, c - d].tolist() == [1, 0, 0]
    assert image[:, c - d, c + d].tolist() == [0, 1, 0]
    assert image[:, c + d, c - d].tolist() == [0, 0, 1]
    assert image[:, 0, 0].tolist() == [0, 0, 0]


def test_texels_are_sampled_where_they_lie(renderer):
    # An albedo that holds its own coordinates gives back the UV position.
    size = 256
    place = (torch.arange(size) + 0.5) / size
    albedo = torch.stack([place.expand(size, size),
                          1 - place[:, None].expand(size, size),
                          torch.zeros(size, size)])[None]
    vertices, ndc = scene(1)
    output = renderer.render(vertices, ndc, albedo)
    inside = output.alpha[0, 0] > 0
    u = (output.uv_grid[0, ..., 0] + 1) / 2
    v = (1 - output.uv_grid[0, ..., 1]) / 2
    torch.testing.assert_close(output.image[0, 0][inside], u[inside],
                               atol=1e-5, rtol=0)
    torch.testing.assert_close(output.image[0, 1][inside], v[inside],
                               atol=1e-5, rtol=0)
    # The centre of the image is the front, the centre of the UV map.
    assert abs(u[SIZE // 2, SIZE // 2] - 0.5) < 0.02


def test_shading_by_each_kind_of_light(renderer):
    vertices, ndc = scene()
    c = SIZE // 2
    light = torch.zeros(2, 9, 3)
    light[1, 0], light[1, 3] = 1, 0.5
    shading = renderer.render(vertices, ndc, light=light).shading
    assert (shading[0] == 0).all()
    # The nearest point's normal is (0, 0, 1).
    expected = SH_FACTORS[0] + 0.5 * SH_FACTORS[3]
    assert abs(shading[1, 1, c, c] - expected) < 0.02
    assert shading[1, 1, 0, 0] == 0

    toward = torch.tensor([[[0., 0, 1]]]).repeat(2, 1, 1)
    colors = torch.tensor([[[0.2, 0.4, 0.6]]]).repeat(2, 1, 1)
    for lights in (DirectionalLights(toward, colors),
                   PointLights(toward, colors)):
        output = renderer.render(vertices, ndc, light=lights)
        torch.testing.assert_close(output.shading[0, :, c, c],
                                   colors[0, 0], atol=0.02, rtol=0)
        # Without an albedo: grey.
        torch.testing.assert_close(output.image[0, :, c, c],
                                   colors[0, 0] * 180 / 255, atol=0.02,
                                   rtol=0)


def test_masks_depth_and_normals(renderer):
    vertices, ndc = scene()
    output = renderer.render(vertices, ndc)
    covered = output.fragments.covered[:, None]
    assert torch.equal(output.alpha, covered.float())
    # The projected ellipse has the half axes 0.64 and 0.88 in NDC.
    area = np.pi * 0.64 * 0.88 / 4
    assert abs(output.alpha.mean() - area) < 0.03 * area
    # The mask is the middle of the UV map: on the whole front where
    # |latitude| < 180 deg * 0.25 / 0.96, the band |y| < 0.730 of an ellipse.
    mask = output.face_mask[0, 0]
    assert mask[SIZE // 2, SIZE // 2] == 1
    band = 2 / np.pi * (np.arcsin(0.730) + 0.730 * np.sqrt(1 - 0.730**2))
    assert abs(mask.sum() / output.alpha[0].sum() - band) < 0.03
    assert (mask[~covered[0, 0]] == 0).all()
    assert (output.depth[~covered] == 0).all()
    assert abs(output.depth[0, 0, SIZE // 2, SIZE // 2] + 0.8) < 0.01
    normals = output.normals.movedim(1, -1)[output.fragments.covered]
    assert (normals[:, 2] > -0.05).all()
    assert (normals.norm(dim=-1) > 0.9).all()


def test_backgrounds_and_sizes(renderer):
    vertices, ndc = scene()
    background = torch.rand(2, 3, 24, 50)
    output = renderer.render(vertices, ndc, background=background)
    shape = renderer.render_shape(vertices, ndc, background)
    empty = ~output.fragments.covered[:, None].expand(-1, 3, -1, -1)
    assert output.image.shape == shape.shape == background.shape
    assert torch.equal(output.image[empty], background[empty])
    assert torch.equal(shape[empty], background[empty])
    color = torch.tensor([0.1, 0.2, 0.3])
    image = renderer.render(vertices, ndc, background=color,
                            image_size=(8, 6)).image
    assert image.shape == (2, 3, 8, 6)
    torch.testing.assert_close(image[0, :, 0, 0], color)
    assert renderer.render_shape(vertices, ndc,
                                 image_size=16).shape == (2, 3, 16, 16)
    one = renderer.render(vertices, ndc, background=background[0]).image
    assert torch.equal(one[0], output.image[0])


def test_shape_overlay(renderer):
    vertices, ndc = scene()
    image = renderer.render_shape(vertices, ndc)
    c = SIZE // 2
    # Seen from the front: one light of cosine 1, four of 1/sqrt(3).
    expected = 1.7 * (1 + 4 / 3**0.5) / 5 * 180 / 255
    torch.testing.assert_close(image[0, :, c, c], torch.full((3, ), expected),
                               atol=0.01, rtol=0)
    assert 0 <= image.min() and image.max() <= 1
    red = torch.tensor([0.5, 0, 0]).expand_as(vertices)
    colored = renderer.render_shape(vertices, ndc, colors=red)
    torch.testing.assert_close(
        colored[0, :, c, c],
        torch.tensor([expected * 255 / 180 * 0.5, 0, 0]), atol=0.01, rtol=0)


def test_shape_overlay_does_not_draw_inner_sides():
    # The front half alone, seen from behind, shows only its inside.
    keep = (TEMPLATE[TOPOLOGY.faces, 2] > 0).all(1)
    half = copy.copy(TOPOLOGY)
    object.__setattr__(half, 'faces', TOPOLOGY.faces[keep])
    object.__setattr__(half, 'uv_faces', TOPOLOGY.uv_faces[keep])
    renderer = MeshRenderer(half, SIZE, rasterizer='torch')
    vertices, _ = scene(1)
    behind = vertices * torch.tensor([-1., 1, -1])
    cam = torch.tensor([[8., 0, 0]])
    alpha = renderer.render(behind, project(behind, cam)).alpha
    hidden = dict(hide_backs=True)
    drawn = renderer.render_shape(behind, project(behind, cam), **hidden) > 0
    # But for the rim, whose normals are nearly across the view.
    assert drawn[:, :1].sum() < 0.1 * alpha.sum()
    front = renderer.render_shape(vertices, project(vertices, cam),
                                  **hidden) > 0
    assert front[:, :1].sum() > 0.95 * alpha.sum()
    # By default there are no holes in the picture.
    gray = torch.full((3, ), 0.5)
    bare = renderer.render_shape(behind, project(behind, cam), gray)
    torch.testing.assert_close((bare != 0.5).any(1, keepdim=True),
                               alpha > 0)


def test_gradients_of_a_photometric_loss_match_finite_differences(renderer):
    renderer = copy.deepcopy(renderer).double()
    vertices, _ = scene(1, torch.float64)
    generator = torch.Generator().manual_seed(0)
    albedo = torch.rand(1, 3, 8, 8, generator=generator).double()
    light = torch.rand(1, 9, 3, generator=generator).double()
    base = torch.tensor([[8., 0.002, -0.003]]).double()
    # Smooth interior: the loss does not look at the silhouette.
    inner = slice(SIZE // 2 - 8, SIZE // 2 + 8)

    def loss(cam, stretch, albedo, light):
        moved = vertices * stretch
        output = renderer.render(moved, project(moved, cam), albedo, light)
        return ((output.image - 0.3)[..., inner, inner]**2).mean()

    inputs = [x.clone().requires_grad_() for x in (
        base, torch.ones(3).double(), albedo, light)]
    grads = torch.autograd.grad(loss(*inputs), inputs)
    step = 1e-6
    for which, grad in enumerate(grads):
        direction = torch.randn(grad.shape, generator=generator).double()
        values = []
        for sign in (1, -1):
            moved = [x.detach() for x in inputs]
            moved[which] = moved[which] + sign * step * direction
            values.append(loss(*moved))
        numeric = (values[0] - values[1]) / (2 * step)
        torch.testing.assert_close((grad * direction).sum(), numeric,
                                   rtol=2e-3, atol=1e-9)
        assert grad.abs().max() > 1e-6


def test_gradient_descent_finds_the_pose(renderer):
    vertices, _ = scene(1)
    albedo = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(
        1)).repeat_interleave(16, 2).repeat_interleave(16, 3)
    target = renderer.render(
        vertices, project(vertices, torch.tensor([[8., 0, 0]])),
        albedo).image
    cam = torch.tensor([[8., 0.01, -0.008]], requires_grad=True)
    optimizer = torch.optim.Adam([cam], lr=5e-4)
    start = cam.detach()[0, 1:].norm()
    for _ in range(60):
        image = renderer.render(vertices, project(vertices, cam),
                                albedo).image
        optimizer.zero_grad()
        (image - target).abs().mean().backward()
        optimizer.step()
    assert cam.detach()[0, 1:].norm() < 0.25 * start


def test_autocast_renders_in_full_precision(renderer):
    vertices, ndc = scene()
    light = torch.rand(2, 9, 3)
    expected = renderer.render(vertices, ndc, quarters(), light)
    with torch.autocast('cpu', torch.bfloat16):
        output = renderer.render(vertices, ndc, quarters(), light)
    assert output.image.dtype == torch.float32
    assert torch.equal(output.image, expected.image)


def test_module_is_registered_light_and_copyable(renderer):
    built = MODELS.build(dict(type='MeshRenderer', head=TOPOLOGY,
                              image_size=SIZE, rasterizer='torch'))
    assert not built.state_dict()
    assert {name for name, _ in built.named_buffers()} == {
        'faces', 'uv_faces', 'uv_coords', 'uv_face_eye_mask'}
    inputs = scene()
    copies = [x.clone() for x in inputs]
    twin = copy.deepcopy(renderer)
    assert torch.equal(renderer.render(*inputs).image,
                       twin.render(*inputs).image)
    assert all(map(torch.equal, inputs, copies))


def test_buffers_do_not_share_memory_with_the_topology():
    own = {name: getattr(TOPOLOGY, name).copy() for name in (
        'faces', 'uv_faces', 'uv_coords', 'uv_face_eye_mask')}
    for module in (MeshRenderer(TOPOLOGY, rasterizer='torch'),
                   UVMapper(TOPOLOGY, 8)):
        for buffer in module.buffers():
            buffer.zero_()
    for name, value in own.items():
        np.testing.assert_array_equal(getattr(TOPOLOGY, name), value)


def test_mask_is_resampled_to_the_uv_size():
    renderer = MeshRenderer(TOPOLOGY, uv_size=64, rasterizer='torch')
    mask = renderer.uv_face_eye_mask
    assert mask.shape == (1, 1, 64, 64)
    assert abs(mask.mean() - 0.25) < 1e-3 and mask[0, 0, 32, 32] == 1


def test_wrong_shapes_are_named(renderer):
    vertices, ndc = scene()
    with pytest.raises(ValueError, match='vertices_ndc must have the shape'):
        renderer.render(vertices, ndc[:1])
    with pytest.raises(ValueError, match='background must have the shape'):
        renderer.render(vertices, ndc, background=torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match='background must have the shape'):
        renderer.render_shape(vertices, ndc, torch.zeros(2, 3, 4, 4),
                              image_size=5)
    with pytest.raises(ValueError, match='light must have the shape'):
        renderer.render(vertices, ndc, light=torch.zeros(1, 9, 3))
