# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmtvface.geometry.lighting import (
    DirectionalLights,
    PointLights,
    directional_shading,
    point_shading,
    sh_shading,
    shade,
)


def normals_of(batch=2, count=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(
        torch.randn(batch, count, 3, generator=generator).double(), dim=-1)


def test_each_sh_band_has_its_factor_and_polynomial():
    normals = normals_of(1)
    x, y, z = normals[0].numpy().T
    # Factors in decimals, worked out by hand from their closed forms.
    bands = [
        0.2820948 * np.ones_like(x), 1.0233267 * x, 1.0233267 * y,
        1.0233267 * z, 0.8580855 * x * y, 0.8580855 * x * z,
        0.8580855 * y * z, 0.4290428 * (x**2 - y**2),
        0.2477080 * (3 * z**2 - 1)
    ]
    for band, expected in enumerate(bands):
        light = torch.zeros(1, 9, 3).double()
        light[0, band, 1] = 1
        shading = sh_shading(normals, light)[0]
        np.testing.assert_allclose(shading[:, 1], expected, atol=1e-6)
        assert (shading[:, [0, 2]] == 0).all()


def test_sh_order_zero_gives_the_irradiance_of_white_light():
    # A constant light of radiance pi / 4 has irradiance pi^2 / 4 and its
    # first coefficient is radiance * sqrt(4 pi): the factor is 1/sqrt(4pi).
    light = torch.zeros(1, 9, 3).double()
    light[0, 0] = 2 * np.sqrt(np.pi)
    shading = sh_shading(normals_of(1), light)
    torch.testing.assert_close(shading, torch.ones_like(shading))


def test_sh_batch_items_use_their_own_light():
    normals = normals_of(3)
    light = torch.randn(3, 9, 3).double()
    together = sh_shading(normals, light)
    for item in range(3):
        torch.testing.assert_close(
            together[item:item + 1],
            sh_shading(normals[item:item + 1], light[item:item + 1]))


def test_directional_light_is_a_clamped_cosine_averaged_over_lights():
    normals = torch.tensor([[[0., 0, 1], [0, 0, -1]]])
    lights = DirectionalLights(
        torch.tensor([[[0., 0, 5], [0, 3, 4]]]),
        torch.tensor([[[1., 1, 1], [0.5, 1, 2]]]))
    shading = directional_shading(normals, lights)
    # Cosines 1 and 0.8 to the front, clamped to 0 at the back.
    torch.testing.assert_close(
        shading[0],
        torch.tensor([[(1 + 0.4) / 2, (1 + 0.8) / 2, (1 + 1.6) / 2],
                      [0, 0, 0]]))


def test_point_light_uses_the_direction_from_each_point():
    normals = torch.tensor([[[0., 0, 1], [0, 0, 1], [0, 0, -1]]])
    points = torch.tensor([[[0., 0, 0], [3, 0, 0], [0, 0, 0]]])
    lights = PointLights(torch.tensor([[[0., 0, 4]]]),
                         torch.tensor([[[1., 2, 3]]]))
    shading = point_shading(normals, points, lights)
    torch.testing.assert_close(
        shading[0], torch.tensor([[1., 2, 3], [0.8, 1.6, 2.4], [0, 0, 0]]))


def test_a_distant_point_light_is_directional():
    normals, points = normals_of(), normals_of(seed=1)
    direction = normals_of(2, 3, seed=2)
    colors = torch.rand(2, 3, 3).double()
    torch.testing.assert_close(
        point_shading(normals, points, PointLights(direction * 1e7, colors)),
        directional_shading(normals, DirectionalLights(direction, colors)),
        atol=1e-6, rtol=1e-5)


def test_gradcheck():
    normals, points = normals_of(2, 3), normals_of(2, 3, seed=1)
    # Far from the clamps: all lights in front of all normals.
    normals = F.normalize(normals * 0.3 + torch.tensor([0, 0, 1.]), dim=-1)
    lamps = normals_of(2, 2, seed=3) * 0.3 + torch.tensor([0, 0, 4.])
    colors = torch.rand(2, 2, 3).double()
    inputs = [x.requires_grad_() for x in (
        normals, points, lamps, colors, torch.rand(2, 9, 3).double())]

    def function(normals, points, lamps, colors, harmonics):
        return (sh_shading(normals, harmonics),
                directional_shading(normals,
                                    DirectionalLights(lamps, colors)),
                point_shading(normals, points, PointLights(lamps, colors)))

    assert torch.autograd.gradcheck(function, inputs)


def test_shade_dispatches_and_names_errors():
    normals = normals_of(1)
    light = torch.rand(1, 9, 3).double()
    assert torch.equal(shade(normals, light), sh_shading(normals, light))
    lights = DirectionalLights(normals[:, :2], normals[:, :2])
    assert torch.equal(
        shade(normals, lights), directional_shading(normals, lights))
    with pytest.raises(ValueError, match='need the shaded points'):
        shade(normals, PointLights(*lights))
    with pytest.raises(ValueError, match='DirectionalLights or PointLights'):
        shade(normals, 'sun')
    with pytest.raises(ValueError, match=r'light must have the shape \(1, 9'):
        shade(normals, light[:, :4])
