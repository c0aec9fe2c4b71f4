# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from helpers.toy_meshes import toy_ellipsoid

from mmtvface.renderers import Fragments, build_rasterizer, interpolate
from mmtvface.renderers.base import index_range
from mmtvface.utils.host_sync import asynchronous


def scene(batch=2, size=(9, 12)):
    template, topology = toy_ellipsoid(5, 6, (0.83, 0.91, 0.77))
    vertices = torch.tensor(template).repeat(batch, 1, 1)
    vertices = vertices * torch.linspace(1, 0.6, batch)[:, None, None]
    faces = torch.tensor(topology.faces)
    return build_rasterizer('torch')(vertices, faces, size), vertices, faces


def test_matches_naive_loop():
    fragments, vertices, faces = scene()
    attributes = torch.randn(2, vertices.shape[1], 5).double()
    image = interpolate(fragments, faces, attributes)
    assert image.shape == (2, 5, 9, 12)
    for item, row, column in np.ndindex(2, 9, 12):
        face = fragments.face_index[item, row, column]
        expected = torch.zeros(5).double()
        if face >= 0:
            weights = fragments.barycentrics[item, row, column]
            expected = weights @ attributes[item, faces[face]]
        torch.testing.assert_close(image[item, :, row, column], expected)


def test_the_same_without_looking_at_the_device():
    fragments, vertices, faces = scene()
    results = []
    for context in (nullcontext(), asynchronous()):
        weights = fragments.barycentrics.clone().requires_grad_()
        values = torch.linspace(-1, 2, vertices.numel()).view_as(vertices)
        # Empty pixels are given a face, which must not be seen.
        values[:, faces[0]] = torch.inf
        values = values.double().requires_grad_()
        with context:
            image = interpolate(fragments._replace(barycentrics=weights),
                                faces, values)
        finite = torch.where(image.isfinite(), image, 0).square().sum()
        results.append([image, *torch.autograd.grad(finite,
                                                    [weights, values])])
    assert results[0][0].isfinite().any() and results[0][2].any()
    covered = fragments.covered
    torch.testing.assert_close(results[1][0], results[0][0], equal_nan=True)
    torch.testing.assert_close(results[1][1][covered],
                               results[0][1][covered], equal_nan=True)
    torch.testing.assert_close(results[1][2], results[0][2])


def test_no_faces_are_an_empty_image():
    vertices, faces = torch.rand(2, 4, 3), torch.empty(0, 3).long()
    fragments = build_rasterizer('torch')(vertices, faces, (5, 6))
    for context in (nullcontext(), asynchronous()):
        with context:
            image = interpolate(fragments, faces, vertices)
        assert torch.equal(image, torch.zeros(2, 3, 5, 6))


def test_faces_made_for_inference_are_checked():
    with torch.inference_mode():
        faces = torch.tensor([[0, 1, 2]])
        with asynchronous():
            assert index_range(faces) == (0, 2)
            faces[0, 0] = 7
            assert index_range(faces) == (1, 7)


def test_shared_attributes_and_other_corners():
    fragments, vertices, faces = scene()
    shared = torch.randn(vertices.shape[1], 2).double()
    image = interpolate(fragments, faces, shared)
    assert torch.equal(
        image, interpolate(fragments, faces, shared.expand(2, -1, -1)))
    # The same values under other indices, as with a UV map.
    corners = shared[faces].view(-1, 2)
    other = torch.arange(len(corners)).view(-1, 3)
    assert torch.equal(image, interpolate(fragments, other, corners))


def test_positions_interpolate_to_the_pixel():
    fragments, vertices, faces = scene()
    z = interpolate(fragments, faces, vertices)[:, 2]
    covered = fragments.covered
    torch.testing.assert_close(z[covered], fragments.depth[covered])


def test_gradcheck_in_weights_and_attributes():
    fragments, vertices, faces = scene(size=(4, 5))
    weights = fragments.barycentrics.clone().requires_grad_()
    batched = torch.randn(
        2, vertices.shape[1], 2).double().requires_grad_()
    shared = torch.randn(vertices.shape[1], 1).double().requires_grad_()

    def function(weights, batched, shared):
        changed = Fragments(fragments.face_index, weights, fragments.depth)
        return (interpolate(changed, faces, batched),
                interpolate(changed, faces, shared))

    assert torch.autograd.gradcheck(function, (weights, batched, shared))


def test_wrong_batch_is_named():
    fragments, vertices, faces = scene()
    with pytest.raises(ValueError, match=r'attributes must .* \(2, V, C\)'):
        interpolate(fragments, faces, vertices[:1])
