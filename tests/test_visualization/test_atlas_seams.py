# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch
from helpers.toy_meshes import toy_ellipsoid
from helpers.toy_reconstructor import toy_topology

from mmtvface.renderers import UVMapper
from mmtvface.visualization.uv_seams import (
    SeamCloser,
    seam_pairs,
    texel_corners,
)

RINGS, SEGMENTS = 20, 30


@pytest.fixture(scope='module')
def closer():
    _, topology = toy_ellipsoid(RINGS, SEGMENTS)
    return SeamCloser(UVMapper(topology, 64, 'torch'),
                      torch.from_numpy(topology.uv_faces))


def test_pairs_of_a_seam():
    _, topology = toy_ellipsoid(RINGS, SEGMENTS)
    pairs = seam_pairs(topology.faces, topology.uv_faces)
    # First and last column of the grid in the UV map
    first = np.arange(RINGS) * (SEGMENTS + 1)
    np.testing.assert_array_equal(np.sort(pairs, 1),
                                  np.stack([first, first + SEGMENTS], 1))
    plain = toy_topology()
    assert len(seam_pairs(plain.faces, plain.uv_faces)) == 0
    three = seam_pairs(np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4]]),
                       np.arange(9).reshape(3, 3))
    assert len(three) == 2 + 1 + 1


def test_corners_lie_around_their_texels(closer):
    _, topology = toy_ellipsoid(RINGS, SEGMENTS)
    corners = texel_corners(closer.mapper, topology.uv_faces)
    weights = closer.mapper.texel_weights.numpy()
    uv = (topology.uv_coords[corners] * weights[..., None]).sum(1)
    row, column = np.divmod(closer.mapper.texels.numpy(), 64)
    np.testing.assert_allclose(uv[:, 0], (column + .5) / 64, atol=1e-5)
    np.testing.assert_allclose(uv[:, 1], 1 - (row + .5) / 64, atol=1e-5)


def test_a_step_is_closed_smoothly(closer):
    """Brightness grows by a half around the head."""
    ramp = torch.linspace(.4, .6, 64).expand(1, 3, 64, 64)
    closed = closer.close(ramp)
    inner = closed[0, 0, 20:44, 2:62]
    assert (inner[:, 0] - inner[:, -1]).abs().max() < .01
    assert (ramp[0, 0, 0, 2] - ramp[0, 0, 0, 61]).abs() > .18
    # No new step, and little change far from the seam.
    assert inner.diff(dim=1).abs().max() < .03
    assert (closed - ramp)[0, :, 20:44, 30:34].abs().max() < .02


def test_what_has_no_step_is_kept(closer):
    even = torch.full((1, 3, 64, 64), .4)
    torch.testing.assert_close(closer.close(even), even)
    wave = torch.linspace(0, 6, 64).sin()[:, None] * .2 + .5
    wave = wave.expand(1, 3, 64, 64)
    torch.testing.assert_close(closer.close(wave), wave, atol=.01, rtol=0)


def test_without_seams_nothing_happens():
    topology = toy_topology()
    closer = SeamCloser(UVMapper(topology, 16, 'torch'),
                        torch.from_numpy(topology.uv_faces))
    noise = torch.rand(1, 3, 16, 16)
    assert torch.equal(closer.close(noise), noise)


def test_gains_minimise_what_they_say(closer):
    """The gradient of the energy vanishes."""
    rng = np.random.default_rng(0)
    count = RINGS * (SEGMENTS + 1)
    colors = rng.uniform(.2, .8, (count, 3))
    found = torch.from_numpy(np.log(closer.gains(colors))).requires_grad_()
    level = torch.from_numpy(np.log(colors + .02))
    a, b = torch.from_numpy(closer.pairs).T
    _, topology = toy_ellipsoid(RINGS, SEGMENTS)
    faces = torch.from_numpy(topology.uv_faces)
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    i, j = torch.unique(edges.sort(1).values, dim=0).T

    def energy(c):
        return (1e3 * (c[a] + level[a] - c[b] - level[b]).square().sum()
                + (c[i] - c[j]).square().sum() + 1e-2 * c.square().sum())

    gradient, = torch.autograd.grad(energy(found), found)
    zero = torch.zeros_like(found).requires_grad_()
    start, = torch.autograd.grad(energy(zero), zero)
    assert gradient.norm() < 1e-8 * start.norm()
