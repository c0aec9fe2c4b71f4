# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch
from helpers.toy_meshes import toy_ellipsoid

from mmtvface.geometry.camera import project
from mmtvface.geometry.mesh import (
    face_normals,
    facing_camera,
    vertex_normals,
)


def naive_vertex_normals(vertices, faces):
    normals = np.zeros_like(vertices)
    for a, b, c in faces:
        cross = np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
        for corner in (a, b, c):
            normals[corner] += cross
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals / np.maximum(length, 1e-6)


def test_normals_are_weighted_by_area():
    # Around vertex 0: a face of area 2 facing z and one of area 1 facing x.
    vertices = torch.tensor(
        [[[0., 0, 0], [2, 0, 0], [0, 2, 0], [0, 1, 0], [0, 0, 2]]])
    faces = torch.tensor([[0, 1, 2], [0, 3, 4]])
    normals = vertex_normals(vertices, faces)
    expected = torch.tensor([1., 0, 2]) / 5**0.5
    torch.testing.assert_close(normals[0, 0], expected)
    torch.testing.assert_close(normals[0, 1], torch.tensor([0., 0, 1]))
    torch.testing.assert_close(
        face_normals(vertices, faces)[0], torch.tensor([[0., 0, 1],
                                                        [1, 0, 0]]))


def test_matches_naive_loop_per_item():
    template, topology = toy_ellipsoid(6, 7)
    vertices = template + np.random.default_rng(0).normal(
        scale=0.02, size=(3, *template.shape))
    ours = vertex_normals(
        torch.tensor(vertices), torch.tensor(topology.faces))
    for item in range(3):
        np.testing.assert_allclose(
            ours[item], naive_vertex_normals(vertices[item], topology.faces),
            atol=1e-12)


def test_ellipsoid_normals_point_outwards():
    template, topology = toy_ellipsoid()
    normals = vertex_normals(
        torch.tensor(template)[None], torch.tensor(topology.faces))[0]
    assert ((normals.numpy() * template).sum(-1) > 0).all()


def test_degenerate_faces_and_lonely_vertices_get_finite_normals():
    vertices = torch.zeros(1, 4, 3, requires_grad=True)
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2]]))
    assert (normals == 0).all()
    normals.sum().backward()
    assert vertices.grad.isfinite().all()
    assert face_normals(vertices, torch.tensor([[0, 1, 2]])).eq(0).all()


def test_gradcheck():
    template, topology = toy_ellipsoid(4, 4, (1, 1, 1))
    vertices = torch.tensor(template)[None].repeat(2, 1, 1)
    vertices.requires_grad_()
    faces = torch.tensor(topology.faces)
    assert torch.autograd.gradcheck(
        lambda v: (vertex_normals(v, faces), face_normals(v, faces)),
        vertices)


def test_facing_camera_sees_the_front():
    template, topology = toy_ellipsoid()
    vertices = torch.tensor(template)[None]
    ndc = project(vertices, torch.tensor([[8., 0, 0]]).double())
    normals = vertex_normals(ndc, torch.tensor(topology.faces))
    facing = facing_camera(normals)[0]
    z = vertices[0, :, 2]
    assert facing[z > 0.02].all() and not facing[z < 0].any()
    # Looser thresholds see more.
    assert facing.sum() < facing_camera(normals, 0.15).sum()


def test_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r'vertices must have the shape'):
        vertex_normals(torch.zeros(5, 3), torch.zeros(1, 3).long())
    with pytest.raises(ValueError, match=r'faces must have the shape'):
        vertex_normals(torch.zeros(1, 5, 3), torch.zeros(3).long())
