# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmtvface.head_models.head_topology import HeadTopology
from mmtvface.renderers import DetailSurface
from mmtvface.renderers.dense_template import (
    DenseTemplate,
    border_edges,
    cut_cells,
    dense_faces,
)
from mmtvface.testing.toy_meshes import toy_ellipsoid
from mmtvface.testing.toy_reconstructor import GRID, toy_topology

SIZE = 32


def template_of(topology, size=SIZE):
    surface = DetailSurface(topology, size, rasterizer='torch')
    return DenseTemplate(surface, torch.from_numpy(topology.uv_coords),
                         torch.from_numpy(topology.uv_faces))


def flat_patch():
    """20 cm, facing +z."""
    y, x = torch.meshgrid(
        torch.linspace(.1, -.1, GRID), torch.linspace(-.1, .1, GRID),
        indexing='ij')
    return torch.stack([x, y, torch.zeros_like(x)], -1).view(1, -1, 3)


def split_square(gap):
    """Two strips above one another that nearly touch in the atlas.

    Their 3D places are 1 m apart.
    """
    low, high = .5 - gap / 2, .5 + gap / 2
    uv = np.array([[0, 0], [1, 0], [1, low], [0, low],
                   [0, high], [1, high], [1, 1], [0, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    vertices = np.concatenate([uv, np.repeat([[0.], [1.]], 4, 0)], 1)
    blank = np.zeros((256, 256))
    return vertices, HeadTopology(faces, uv, faces, blank, blank, blank)


def test_a_full_atlas_gives_the_whole_grid():
    template = template_of(toy_topology())
    assert len(template.texels) == SIZE**2
    assert len(template.faces) == 2 * (SIZE - 1)**2
    points = template.vertices(flat_patch())[0].numpy()
    # Texel centres, row 0 at the top.
    np.testing.assert_allclose(
        points[0], [-.1 + .1 / SIZE, .1 - .1 / SIZE, 0], atol=1e-6)
    corners = points[template.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0],
                       corners[:, 2] - corners[:, 0])
    assert (normals[:, 2] > 0).all()  # counter-clockwise from outside


def test_vertices_move_along_unit_normals_inside_the_mask():
    fixed = np.full((256, 256), .002)
    topology = replace(toy_topology(), fixed_displacement=fixed)
    template = template_of(topology)
    patch = flat_patch().clone()
    patch[..., 2] = .1 - 4 * patch[..., :2].square().sum(-1)
    plain = template.vertices(patch)
    moved = template.vertices(patch, torch.full((1, 1, SIZE, SIZE), .003))
    step = (moved - plain)[0].norm(dim=1).view(SIZE, SIZE)
    torch.testing.assert_close(step[16, 16], torch.tensor(.003))
    assert step[:3].max() == 0  # outside of the mask
    # The fixed displacement counts everywhere, along the renormalised normal.
    surface = template.surface
    maps = surface.maps(patch)
    lift = plain[0] - maps.positions[0].flatten(1).mT
    torch.testing.assert_close(
        lift.norm(dim=1), torch.full((SIZE**2, ), .002), atol=1e-6, rtol=0)
    assert maps.normals.norm(dim=1).min() < .999


@pytest.mark.parametrize('gap', [0., 1e-4, .02])
def test_charts_that_touch_are_not_joined(gap):
    vertices, topology = split_square(gap)
    template = template_of(topology)
    points = template.vertices(torch.from_numpy(vertices).float()[None])[0]
    height = points[:, 2].numpy()
    assert set(np.unique(height.round(6))) == {0., 1.}
    assert np.ptp(height[template.faces], axis=1).max() < 1e-5
    # Nothing else is lost: two strips of SIZE x SIZE / 2 texels.
    if gap < .02:
        assert len(template.faces) == 2 * 2 * (SIZE - 1) * (SIZE // 2 - 1)


def test_a_slit_inside_of_a_chart_stays_open():
    """Like closed lips: no texel is empty, but the surface is cut."""
    topology = toy_topology()
    row, cut = 5, slice(3, 9)
    below = np.arange(GRID * GRID).reshape(GRID, GRID)[row, cut]
    uv_faces = topology.uv_faces.copy()
    centre = topology.uv_coords[uv_faces][..., 1].mean(1)
    lower = centre < topology.uv_coords[below[0], 1]
    for number, vertex in enumerate(below[1:-1]):
        touched = lower[:, None] & (uv_faces == vertex)
        uv_faces[touched] = GRID * GRID + number
    topology = replace(
        topology, uv_faces=uv_faces, uv_coords=np.concatenate(
            [topology.uv_coords, topology.uv_coords[below[1:-1]]]))
    template = template_of(topology)
    assert len(template.texels) == SIZE**2
    line = (1 - topology.uv_coords[below[0], 1]) * SIZE - .5
    rows, columns = np.divmod(template.texels[template.faces], SIZE)
    left, right = topology.uv_coords[below[[0, -1]], 0] * SIZE - .5
    across = (rows.min(1) < line) & (rows.max(1) > line)
    inside = (columns.min(1) > left) & (columns.max(1) < right)
    assert not (across & inside).any()
    outside = (columns.max(1) < left) | (columns.min(1) > right)
    assert (across & outside).sum() == 2 * (
        int(np.floor(left)) + SIZE - 1 - int(np.ceil(right)))


def crossing(p, q, a, b):
    """Independent test of two segments by solving for the parameters."""
    matrix = np.stack([q - p, a - b], 1)
    if abs(np.linalg.det(matrix)) < 1e-12:
        return False
    s, t = np.linalg.solve(matrix, a - p)
    return 1e-9 < s < 1 - 1e-9 and 1e-9 < t < 1 - 1e-9


def test_cut_cells_agree_with_brute_force():
    _, topology = toy_ellipsoid(8, 9)
    size = 16
    keep = np.random.default_rng(0).random(len(topology.faces)) < .8
    uv_faces = topology.uv_faces[keep]
    cut = cut_cells(topology.uv_coords, uv_faces, size)
    edges = border_edges(uv_faces)
    points = np.stack([topology.uv_coords[:, 0] * size - .5,
                       (1 - topology.uv_coords[:, 1]) * size - .5], 1)
    sides = {0: [((0, 0), (0, 1)), ((0, 0), (1, 0)), ((1, 0), (0, 1))],
             1: [((1, 1), (0, 1)), ((1, 1), (1, 0)), ((1, 0), (0, 1))]}
    for row, column in np.ndindex(size - 1, size - 1):
        for half, pairs in sides.items():
            expected = any(
                crossing(np.array([column + p[1], row + p[0]], float),
                         np.array([column + q[1], row + q[0]], float),
                         points[a], points[b])
                for p, q in pairs for a, b in edges)
            assert cut[row, column, half] == expected
    assert 0 < cut.sum() < cut.size / 2


def test_border_edges_of_two_triangles():
    edges = border_edges(np.array([[0, 1, 2], [2, 1, 3]]))
    assert edges.tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]


def test_only_covered_corners_are_joined():
    covered = np.ones((6, 6), bool)
    covered[2, 3] = False
    faces = dense_faces(covered, np.zeros((3, 2)), np.zeros((0, 3), int))
    assert len(faces) == 2 * 25 - 6
    assert not (faces == 2 * 6 + 3).any()


def test_colors_follow_the_texture():
    template = template_of(toy_topology())
    ramp = torch.linspace(0, 1, SIZE).expand(1, 3, SIZE, SIZE)
    colors = template.colors(ramp)[0]
    torch.testing.assert_close(
        colors[:SIZE, 0], torch.linspace(0, 1, SIZE))
    large = torch.nn.functional.interpolate(
        ramp, scale_factor=4, mode='nearest')
    torch.testing.assert_close(
        template.colors(large)[0], colors, atol=.02, rtol=0)


def test_wrong_displacement():
    with pytest.raises(ValueError, match='displacement'):
        template_of(toy_topology()).vertices(
            flat_patch(), torch.zeros(1, 1, 8, 8))
