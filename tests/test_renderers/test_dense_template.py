# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.toy_meshes import toy_ellipsoid
from helpers.toy_reconstructor import GRID, toy_topology

from mmtvface.heads.head_topology import HeadTopology
from mmtvface.renderers import DetailSurface
from mmtvface.renderers.dense_template import DenseTemplate, dense_faces
from mmtvface.renderers.uv_outline import (
    Outline,
    cut_triangles,
    find_outline,
    nearest_on_outline,
    segments_cross,
    uv_to_texels,
)

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
    """Two strips above one another that nearly touch in the UV map.

    Their 3D places are 1 m apart.
    """
    low, high = .5 - gap / 2, .5 + gap / 2
    uv = np.array([[0, 0], [1, 0], [1, low], [0, low],
                   [0, high], [1, high], [1, 1], [0, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    vertices = np.concatenate([uv, np.repeat([[0.], [1.]], 4, 0)], 1)
    blank = np.zeros((256, 256))
    return vertices, HeadTopology(faces, uv, faces, blank, blank, blank)


def test_a_full_uv_map_gives_the_whole_grid():
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


@pytest.mark.parametrize('gap', [0., 1e-4, .02, .05, .1, .2])
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
    if gap > .02:  # both reach the gap
        for level, edge in ((0, .5 - gap / 2), (1, .5 + gap / 2)):
            v = points[height.round() == level, 1].numpy()
            assert np.abs(v - edge).min() < 1e-6


def test_a_slit_inside_of_a_chart_stays_open():
    """Like closed lips: no texel is empty, but the surface is cut."""
    topology = toy_topology()
    row, cut = 5, slice(3, 9)
    below = np.arange(GRID * GRID).reshape(GRID, GRID)[row, cut]
    uv_faces = topology.uv_faces.copy()
    center = topology.uv_coords[uv_faces][..., 1].mean(1)
    lower = center < topology.uv_coords[below[0], 1]
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


def grid_places(size):
    rows, columns = np.mgrid[:size, :size]
    return np.stack([columns, rows], -1).astype(float)


def test_cut_triangles_agree_with_brute_force():
    _, topology = toy_ellipsoid(8, 9)
    size = 16
    rng = np.random.default_rng(0)
    keep = rng.random(len(topology.faces)) < .8
    outline = find_outline(topology.faces[keep], topology.uv_coords,
                           topology.uv_faces[keep], size)
    places = grid_places(size)
    moved = rng.random((size, size)) < .1  # as beside charts
    places[moved] += rng.uniform(-1, 1, (moved.sum(), 2))
    cut = cut_triangles(places, outline)
    sides = {0: [((0, 0), (0, 1)), ((0, 0), (1, 0)), ((1, 0), (0, 1))],
             1: [((1, 1), (0, 1)), ((1, 1), (1, 0)), ((1, 0), (0, 1))]}
    for row, column in np.ndindex(size - 1, size - 1):
        for half, pairs in sides.items():
            expected = any(
                crossing(places[row + p[0], column + p[1]],
                         places[row + q[0], column + q[1]], a, b)
                for p, q in pairs
                for a, b in zip(outline.start, outline.stop, strict=True))
            assert cut[row, column, half] == expected
    assert 50 < cut.sum() < cut.size * .7


def test_touching_is_not_crossing():
    a, b = np.array([[0., 0]]), np.array([[2., 0]])
    for p, q, expected in (((1, -1), (1, 1), True), ((1, 0), (1, 1), False),
                           ((1, -1e-9), (1, 1), False),
                           ((2, -1), (2, 1), False), ((3, -1), (3, 1), False),
                           ((0, 0), (2, 0), False)):
        found = segments_cross(a, b, np.array([p], float),
                               np.array([q], float))
        assert found.tolist() == [expected]


def test_outline_of_two_triangles():
    uv = np.array([[0, 0], [1, 0], [0, 1], [1, 1.]])
    outline = find_outline(np.array([[5, 6, 7], [7, 6, 8]]), uv,
                           np.array([[0, 1, 2], [2, 1, 3]]), 10)
    edges = {frozenset(pair) for pair in outline.vertices.tolist()}
    assert edges == {frozenset(pair) for pair in (
        (5, 6), (5, 7), (6, 8), (7, 8))}
    places = dict(zip((5, 6, 7, 8), uv_to_texels(uv, 10).tolist(),
                      strict=True))
    assert places[7] == [-.5, -.5] and places[6] == [9.5, 9.5]
    for start, stop, (a, b) in zip(*outline, strict=True):
        assert start.tolist() == places[a] and stop.tolist() == places[b]


def test_nearest_points_of_an_outline():
    outline = Outline(np.array([[0., 0], [4, 0]]), np.array([[4., 0], [4, 4]]),
                      np.array([[1, 2], [2, 3]]))
    found = nearest_on_outline(np.array([[1., 3], [7, 1], [-2, -2]]), outline)
    np.testing.assert_allclose(found.places, [[1, 0], [4, 1], [0, 0]])
    assert found.vertices.tolist() == [[1, 2], [2, 3], [1, 2]]
    np.testing.assert_allclose(found.along, [.25, .25, 0])


def test_the_mesh_reaches_the_border_and_closes_over_seams():
    points, topology = toy_ellipsoid(30, 40)
    template = template_of(topology, 48)
    dense = template.vertices(torch.from_numpy(points).float()[None])[0]
    corners = dense.numpy()[template.faces]
    area = np.linalg.norm(np.cross(
        corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]),
        axis=1).sum() / 2
    coarse = points[topology.faces]
    whole = np.linalg.norm(np.cross(
        coarse[:, 1] - coarse[:, 0], coarse[:, 2] - coarse[:, 0]),
        axis=1).sum() / 2
    assert .985 < area / whole < 1
    # Both sides of the seam at the back come close to x = 0.
    back = dense[(dense[:, 2] < 0) & (dense[:, 1].abs() < .08)].numpy()
    height = back[:, 1]
    for low in np.arange(-.08, .07, .01):
        band = back[(height >= low) & (height < low + .01), 0]
        assert np.abs(band).min() < 1e-4
    # All triangles look outwards.
    normal = np.cross(corners[:, 1] - corners[:, 0],
                      corners[:, 2] - corners[:, 0])
    assert ((normal * corners.mean(1)).sum(1) > 0).all()


def test_only_known_corners_are_joined():
    known = np.ones((6, 6), bool)
    known[2, 3] = False
    nothing = Outline(np.zeros((0, 2)), np.zeros((0, 2)),
                      np.zeros((0, 2), int))
    faces = dense_faces(known, ~known & False, grid_places(6), nothing)
    assert len(faces) == 2 * 25 - 6
    assert not (faces == 2 * 6 + 3).any()
    folded = grid_places(6)
    folded[3, 3] = 2.5, 1.5  # beyond its neighbours
    every = np.ones((6, 6), bool)
    assert len(dense_faces(every, ~every, folded, nothing)) < 2 * 25
    # What is beside charts only is no surface.
    assert len(dense_faces(known, ~known, grid_places(6), nothing)) == 50
    assert not len(dense_faces(~every, every, grid_places(6), nothing))


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
