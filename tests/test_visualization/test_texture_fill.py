# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
from helpers.toy_meshes import grid_faces

from mmtvface.visualization.texture_fill import (
    apply_gain,
    color_gain,
    extend_over_mesh,
    mesh_adjacency,
    nearest_covered,
    soften,
)


def test_nearest_covered_agrees_with_brute_force():
    rng = np.random.default_rng(0)
    covered = rng.random((13, 13)) < .08
    index = nearest_covered(covered)
    places = np.argwhere(covered)
    for texel, found in enumerate(index):
        place = np.array(divmod(texel, 13))
        distance = np.linalg.norm(places - place, axis=1).min()
        assert covered.flat[found]
        assert np.linalg.norm(
            np.array(divmod(found, 13)) - place) == pytest.approx(distance)
    flat = np.flatnonzero(covered)
    np.testing.assert_array_equal(index[flat], flat)


def test_adjacency_of_two_triangles():
    matrix = mesh_adjacency(np.array([[0, 1, 2], [2, 1, 3]]), 5).toarray()
    expected = np.zeros((5, 5))
    for a, b in ((0, 1), (0, 2), (1, 2), (1, 3), (2, 3)):
        expected[a, b] = expected[b, a] = 1
    np.testing.assert_array_equal(matrix, expected)


def test_soften_falls_off_towards_zero():
    adjacency = mesh_adjacency(grid_faces(1 + 1, 6), 12)
    weights = np.tile([1., 1, 1, 1, 0, 0], 2)
    soft = soften(weights, adjacency).reshape(2, 6)
    assert (soft[:, :3] == 1).all() and (soft[:, 4:] == 0).all()
    assert ((soft[:, 3] > 0) & (soft[:, 3] < 1)).all()


def test_extension_minimises_what_it_says():
    """Against a dense least-squares solution of the same energy."""
    rng = np.random.default_rng(0)
    count, faces = 12, grid_faces(3, 4)
    adjacency = mesh_adjacency(faces, count)
    values = rng.normal(size=(count, 2))
    weights = np.where(rng.random(count) < .5, rng.random(count), 0)
    stiffness, recall = 3., .02
    found = extend_over_mesh(values, weights, adjacency, stiffness, recall)
    rows, right = [], []
    mean = weights @ values / weights.sum()
    for i in range(count):
        unit = np.eye(count)[i]
        rows += [np.sqrt(weights[i]) * unit,
                 np.sqrt(stiffness * recall) * unit]
        right += [np.sqrt(weights[i]) * values[i],
                  np.sqrt(stiffness * recall) * mean]
    for i, j in np.argwhere(np.triu(adjacency.toarray())):
        rows.append(np.sqrt(stiffness) * (np.eye(count)[i]
                                          - np.eye(count)[j]))
        right.append(np.zeros(2))
    expected = np.linalg.lstsq(np.array(rows), np.array(right),
                               rcond=None)[0]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_constants_are_kept_on_loose_parts_too():
    faces = np.concatenate([grid_faces(3, 3), grid_faces(3, 3) + 9])
    adjacency = mesh_adjacency(faces, 19)  # the last vertex has no face
    weights = np.zeros(19)
    weights[:4] = 1
    found = extend_over_mesh(np.full((19, 3), .7), weights, adjacency)
    np.testing.assert_allclose(found, .7)
    assert not extend_over_mesh(np.ones((19, 3)), 0 * weights,
                                adjacency).any()


def test_gain_of_a_tint():
    adjacency = mesh_adjacency(grid_faces(4, 4), 16)
    rng = np.random.default_rng(0)
    source = rng.uniform(.3, .6, (16, 3))
    tint = np.array([1.5, 1., .5])
    target = apply_gain(source, tint)
    np.testing.assert_allclose(target / source, np.tile(tint, (16, 1)),
                               atol=.05)
    weights = (np.arange(16) < 6).astype(float)
    known = np.where(weights[:, None] > 0, target, 0)
    gain = color_gain(known, source, weights, adjacency)
    np.testing.assert_allclose(apply_gain(source, gain), target, rtol=1e-9)
    huge = color_gain(np.full((16, 3), 9.), np.zeros((16, 3)), weights,
                      adjacency)
    assert huge.max() == pytest.approx(np.exp(3))
