# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.toy_meshes import toy_ellipsoid
from helpers.toy_reconstructor import GRID, toy_topology

from mmtvface.geometry.mesh import vertex_normals
from mmtvface.renderers import DetailSurface, MeshRenderer
from mmtvface.visualization.normal_map import (
    NormalMapper,
    decode_normal_map,
)


def mapper_of(topology, size=32, mirror=False):
    uv = torch.from_numpy(topology.uv_coords).float()
    if mirror:
        uv = uv * torch.tensor([-1., 1.]) + torch.tensor([1., 0.])
    return NormalMapper(torch.from_numpy(topology.faces), uv,
                        torch.from_numpy(topology.uv_faces), size)


def flat_patch():
    y, x = torch.meshgrid(
        torch.linspace(.1, -.1, GRID), torch.linspace(-.1, .1, GRID),
        indexing='ij')
    return torch.stack([x, y, torch.zeros_like(x)], -1).view(1, -1, 3)


def encode(mapper, detail, vertices):
    size = mapper.texels.face_index.shape[-1]
    detail = torch.tensor(detail).view(1, 3, 1, 1).expand(1, 3, size, size)
    return mapper.encode(detail, vertices,
                         vertex_normals(vertices, mapper.faces))


@pytest.mark.parametrize('detail, expected', [
    ((0., 0., 1.), (.5, .5, 1.)),
    # The patch's u runs along +x and its v along +y.
    ((.6, 0., .8), (.8, .5, .9)),
    ((0., .6, .8), (.5, .8, .9)),
    ((0., -3., 4.), (.5, .2, .9)),
    # What looks away from the surface is left flat.
    ((0., 0., -1.), (.5, .5, 1.)),
])
def test_colors_by_hand(detail, expected):
    colors = encode(mapper_of(toy_topology()), detail, flat_patch())
    torch.testing.assert_close(
        colors, torch.tensor(expected).view(1, 3, 1, 1).expand_as(colors),
        atol=1e-6, rtol=0)


def test_mirrored_charts_flip_red_and_decode_to_the_same():
    vertices = flat_patch()
    normals = vertex_normals(vertices, torch.from_numpy(
        toy_topology().faces))
    for mirror, red in ((False, .8), (True, .2)):
        mapper = mapper_of(toy_topology(), mirror=mirror)
        colors = encode(mapper, (.6, 0., .8), vertices)
        assert colors[0, 0, 16, 16].item() == pytest.approx(red)
        decoded = decode_normal_map(colors, mapper.frame(vertices, normals))
        torch.testing.assert_close(
            decoded[0, :, 16, 16], torch.tensor([.6, 0., .8]))


def naive_tangents(vertices, normals, faces, uv_coords, uv_faces):
    """Tangent of each (vertex, UV vertex) by a loop over the corners."""
    total = {}
    for face, uv_face in zip(faces, uv_faces, strict=True):
        edge = vertices[face[1:]] - vertices[face[0]]
        step = uv_coords[uv_face[1:]] - uv_coords[uv_face[0]]
        along, _ = np.linalg.inv(step) @ edge  # rows: d/du, d/dv
        for i in range(3):
            normal = normals[face[i]]

            def flatten(vector, normal=normal):
                vector = vector - normal * (normal @ vector)
                return vector / np.linalg.norm(vector)

            first, second = (
                flatten(vertices[face[(i + k) % 3]] - vertices[face[i]])
                for k in (1, 2))
            angle = math.acos(np.clip(first @ second, -1, 1))
            key = face[i], uv_face[i]
            total[key] = total.get(key, 0) + angle * flatten(along)
    return {key: value / np.linalg.norm(value)
            for key, value in total.items()}


def test_tangents_agree_with_a_naive_loop():
    points, topology = toy_ellipsoid(7, 9)
    vertices = torch.from_numpy(points)[None]
    mapper = mapper_of(topology)
    normals = vertex_normals(vertices, mapper.faces)
    found = mapper.vertex_tangents(vertices, normals)[0].numpy()
    expected = naive_tangents(points, normals[0].numpy(), topology.faces,
                              mapper.corner_uv.new_tensor(
                                  topology.uv_coords).double().numpy(),
                              topology.uv_faces)
    # On the seam at the back a vertex has a tangent on either side.
    assert len(found) == len(expected) == 7 * 10
    for face, uv_face, index in zip(
            topology.faces, topology.uv_faces, mapper.tangent_faces.tolist(),
            strict=True):
        for corner in range(3):
            np.testing.assert_allclose(
                found[index[corner], :3],
                expected[face[corner], uv_face[corner]], atol=1e-5)
    assert (found[:, 3] == 1).all()


def degrees(a, b):
    cosine = (F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(1)
    return torch.rad2deg(cosine.clamp(-1, 1).acos())


def test_eight_bits_on_the_coarse_mesh_reproduce_the_detail():
    """What a program shades is what the renderer shades."""
    size = 64
    points, topology = toy_ellipsoid()
    vertices = torch.from_numpy(points).float()[None]
    surface = DetailSurface(topology, size, rasterizer='torch')
    generator = torch.Generator().manual_seed(0)
    waves = F.interpolate(torch.randn(1, 1, 16, 16, generator=generator),
                          size=(size, size), mode='bicubic') * 1.5e-3
    maps = surface.maps(vertices)
    offsets = surface.normal_offsets(waves, maps)
    mapper = mapper_of(topology, size)
    normals = vertex_normals(vertices, mapper.faces)
    colors = mapper.encode(maps.normals + offsets, vertices, normals)
    stored = (colors * 255).round() / 255
    renderer = MeshRenderer(topology, 96, rasterizer='torch')
    ndc = vertices * torch.tensor([8., -8., -8.])
    drawn = renderer.render(vertices, ndc, normal_offsets=offsets)
    coarse = renderer.render(vertices, ndc).normals
    decoded = decode_normal_map(
        F.grid_sample(stored, drawn.uv_grid, align_corners=False),
        mapper.frame(vertices, normals, drawn.fragments))
    inside = drawn.face_mask[:, 0] > 0
    changed = degrees(drawn.normals, coarse)[inside].mean()
    assert changed > 4
    error = degrees(decoded, drawn.normals)
    assert error[inside].mean() < .5
    assert error[drawn.alpha[:, 0] > 0].median() < .4


def test_texels_beyond_the_charts_continue_them():
    _, topology = toy_ellipsoid()
    points, _ = toy_ellipsoid()
    mapper = mapper_of(topology, 64)
    colors = encode(mapper, (.6, 0., -.8),
                    torch.from_numpy(points).float()[None])
    # The charts end 2 % away from the border.
    torch.testing.assert_close(colors[0, :, 30, 0], colors[0, :, 30, 1])
    assert (colors[0, :, 30, 0] - torch.tensor([.5, .5, 1.])).abs().max() > .1


def test_wrong_size():
    with pytest.raises(ValueError, match='detail'):
        mapper_of(toy_topology()).encode(
            torch.zeros(1, 3, 8, 8), flat_patch(), flat_patch())
