# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""One suite for all back-ends that are installed."""

import numpy as np
import pytest
import torch
from helpers.toy_meshes import grid_faces, toy_ellipsoid
from toy_rasterizers import installed_rasterizer

from mmtvface.geometry.camera import pixel_to_ndc
from mmtvface.renderers import build_rasterizer
from mmtvface.renderers.torch_rasterizer import TorchRasterizer


@pytest.fixture(params=['torch', 'numba', 'triton', 'pytorch3d', 'auto'])
def rasterizer(request):
    return installed_rasterizer(request.param)


@pytest.fixture(params=['torch', 'numba', 'triton', 'auto'])
def exact_rasterizer(request):
    """Those that promise equal bits (pytorch3d decides edges its way)."""
    return installed_rasterizer(request.param)


def soup(seed=0, batch=2, faces=40, dtype=torch.float32, scale=0.5):
    """Random overlapping triangles, some of them partly off-screen."""
    rng = np.random.default_rng(seed)
    center = rng.uniform(-1.1, 1.1, (batch, faces, 1, 3))
    corners = center + rng.normal(scale=scale, size=(batch, faces, 3, 3))
    return (torch.tensor(corners.reshape(batch, -1, 3), dtype=dtype),
            torch.arange(faces * 3).view(-1, 3))


def naive(vertices, faces, height, width):
    """Every pixel against every face, solving for the barycentrics."""
    index = np.full((height, width), -1)
    depth = np.full((height, width), np.inf)
    weights = np.zeros((height, width, 3))
    for face, corners in enumerate(vertices[faces].astype(np.float64)):
        system = np.concatenate([corners[:, :2].T, np.ones((1, 3))])
        for row in range(height):
            for column in range(width):
                pixel = [(2 * column + 1) / width - 1,
                         (2 * row + 1) / height - 1, 1]
                w = np.linalg.solve(system, pixel)
                z = w @ corners[:, 2]
                if w.min() >= 0 and z < depth[row, column]:
                    index[row, column], depth[row, column] = face, z
                    weights[row, column] = w
    return index, weights, depth


def test_one_triangle_by_hand(rasterizer):
    # Pixel centres of a 4 x 4 image: -0.75, -0.25, 0.25, 0.75. The corner
    # is at (-0.8, -0.8), the legs reach 1.2 further.
    vertices = torch.tensor([[[-0.8, -0.8, 1.], [0.4, -0.8, 2],
                              [-0.8, 0.4, 4]]])
    fragments = rasterizer(vertices, torch.tensor([[0, 1, 2]]), (4, 4))
    expected = torch.tensor([[0, 0, 0, -1], [0, 0, -1, -1], [0, -1, -1, -1],
                             [-1, -1, -1, -1]])
    assert torch.equal(fragments.face_index[0], expected)
    right, down = 1.05 / 1.2, 0.05 / 1.2
    weights = torch.tensor([1 - right - down, right, down])
    torch.testing.assert_close(fragments.barycentrics[0, 0, 2], weights)
    torch.testing.assert_close(
        fragments.depth[0, 0, 2],
        weights @ torch.tensor([1., 2, 4]))
    empty = expected < 0
    assert fragments.depth[0, empty].isinf().all()
    assert (fragments.barycentrics[0, empty] == 0).all()


def test_samples_at_pixel_centers_of_the_common_convention(rasterizer):
    size = 11, 7
    for row, column in [(0, 0), (10, 6), (4, 2)]:
        center = torch.tensor([
            pixel_to_ndc(column, size[1]), pixel_to_ndc(row, size[0]), 0.])
        tiny = center + torch.tensor(
            [[-0.01, -0.01, 0], [0.02, 0, 0], [-0.01, 0.01, 0]])
        hit = rasterizer(tiny[None], torch.tensor([[0, 1, 2]]), size)
        assert hit.covered.nonzero().tolist() == [[0, row, column]]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_matches_naive_loop(exact_rasterizer, dtype):
    height, width = 13, 17
    vertices, faces = soup(dtype=dtype)
    fragments = exact_rasterizer(vertices, faces, (height, width))
    assert fragments.depth.dtype == dtype
    for item in range(2):
        index, weights, depth = naive(vertices[item].numpy(), faces.numpy(),
                                      height, width)
        np.testing.assert_array_equal(fragments.face_index[item], index)
        np.testing.assert_allclose(fragments.barycentrics[item], weights,
                                   atol=1e-6)
        np.testing.assert_allclose(fragments.depth[item], depth, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('name', ['numba', 'triton'])
def test_back_ends_agree_bit_by_bit(name, dtype):
    rasterizer = installed_rasterizer(name)
    reference = TorchRasterizer(chunk_size=50000)
    # An interpreted kernel takes its time.
    batch, number, zoom = (2, 60, 3) if name == 'triton' else (3, 400, 1)
    for seed, scale in enumerate([0.02, 0.1, 1.0]):
        vertices, faces = soup(seed, batch, number, dtype, scale)
        for size in [(64 // zoom, 64 // zoom), (30 // zoom, 61 // zoom)]:
            ours = rasterizer(vertices, faces, size)
            for a, b in zip(ours, reference(vertices, faces, size),
                            strict=True):
                assert torch.equal(a, b)


def test_chunks_do_not_change_the_result():
    vertices, faces = soup(faces=60)
    whole = TorchRasterizer()(vertices, faces, (20, 20))
    for chunk_size in (1, 77, 1000):
        parts = TorchRasterizer(chunk_size)(vertices, faces, (20, 20))
        assert all(map(torch.equal, whole, parts))


def test_both_orientations_hit_and_the_nearest_wins(rasterizer):
    square = torch.tensor([[-2., -2, 0], [2, -2, 0], [0, 3, 0]])
    vertices = torch.cat([square + torch.tensor([0, 0, z])
                          for z in (3., -20., 5.)])[None]
    faces = torch.tensor([[0, 1, 2], [3, 5, 4], [6, 7, 8]])
    fragments = rasterizer(vertices, faces, (6, 6))
    assert (fragments.face_index == 1).all()
    torch.testing.assert_close(fragments.depth,
                               torch.full((1, 6, 6), -20.))


def test_ties_go_to_the_lowest_index(exact_rasterizer):
    vertices, faces = soup(faces=30)
    once = exact_rasterizer(vertices, faces, (24, 24))
    twice = exact_rasterizer(vertices, faces.repeat(3, 1), (24, 24))
    assert torch.equal(once.face_index, twice.face_index)


def test_zero_and_minus_zero_are_the_same_depth(exact_rasterizer):
    square = torch.tensor([[-2., -2, 0.], [2, -2, 0.], [0, 3, 0.]])
    vertices = torch.cat([square, -square])[None]
    vertices[0, 3:, :2] *= -1
    for dtype in (torch.float32, torch.float64):
        fragments = exact_rasterizer(
            vertices.to(dtype), torch.arange(6).view(2, 3), (4, 4))
        assert (fragments.face_index == 0).all()


def test_bad_faces_are_skipped_and_off_screen_faces_clipped(rasterizer):
    good = [[-0.9, -0.9, 0.5], [0.9, -0.9, 0.5], [0., 0.9, 0.5]]
    bad = [
        [[torch.nan, 0, 0], [1, 0, 0], [0, 1, 0]],
        [[-1, -1, 0], [1, -1, torch.inf], [0, 1, 0]],
        [[-torch.inf, 0, 0], [1, 0, 0], [0, 1, 0]],
        [[-1, -1, 0], [1, 1, 0], [0.5, 0.5, 0]],
        [[0.5, 0.5, 0]] * 3,
        [[5, 5, 0], [6, 5, 0], [5, 6, 0]],
        [[-1e30, -1e30, 0], [-2e30, -1e30, 0], [-1e30, -2e30, 0]],
    ]
    alone = rasterizer(torch.tensor([good]), torch.tensor([[0, 1, 2]]),
                       (9, 8))
    vertices = torch.tensor([sum(bad, []) + good])
    faces = torch.arange(3 * len(bad) + 3).view(-1, 3)
    together = rasterizer(vertices, faces, (9, 8))
    assert alone.covered.any()
    assert torch.equal(together.face_index[together.covered].unique(),
                       torch.tensor([len(bad)]))
    assert torch.equal(alone.covered, together.covered)
    assert torch.equal(alone.barycentrics, together.barycentrics)


def test_huge_face_covers_everything(exact_rasterizer):
    vertices = torch.tensor([[[-1e4, -1e4, 1.], [1e4, -1e4, 1],
                              [0, 1e4, 1]]])
    fragments = exact_rasterizer(vertices, torch.tensor([[0, 2, 1]]), (5, 9))
    assert (fragments.face_index == 0).all()
    torch.testing.assert_close(fragments.barycentrics.sum(-1),
                               torch.ones(1, 5, 9))


@pytest.mark.parametrize('jitter', [0., 0.04])
def test_shared_edges_leave_no_crack(exact_rasterizer, jitter):
    # Without jitter all pixel centres lie on vertices and edges.
    size = 32
    line = pixel_to_ndc(torch.arange(-1, size + 1, dtype=torch.float32), size)
    y, x = torch.meshgrid(line, line, indexing='ij')
    generator = torch.Generator().manual_seed(0)
    plane = torch.stack([x, y, torch.zeros_like(x)], -1).view(1, -1, 3)
    plane = plane + jitter / 2 * torch.randn(plane.shape,
                                             generator=generator)
    faces = torch.tensor(grid_faces(size + 2, size + 2))
    for angle in (0., 0.3):
        rotation = torch.tensor(
            [[np.cos(angle), -np.sin(angle), 0],
             [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]).float()
        hit = exact_rasterizer(plane @ rotation, faces, (size, size)).covered
        inner = hit[:, 8:-8, 8:-8] if jitter or angle else hit
        assert inner.all()


def test_barycentrics_and_depth_reproduce_the_pixel(rasterizer):
    template, topology = toy_ellipsoid()
    vertices = torch.tensor(template * 8)[None].float()
    faces = torch.tensor(topology.faces)
    fragments = rasterizer(vertices, faces, (40, 50))
    row, column = fragments.covered[0].nonzero().T
    corners = vertices[0, faces[fragments.face_index[0, row, column]]]
    weights = fragments.barycentrics[0, row, column]
    assert (weights >= 0).all()
    point = (weights[..., None] * corners).sum(1)
    torch.testing.assert_close(point[:, 0], pixel_to_ndc(column, 50),
                               atol=1e-6, rtol=0)
    torch.testing.assert_close(point[:, 1], pixel_to_ndc(row, 40),
                               atol=1e-6, rtol=0)
    torch.testing.assert_close(point[:, 2], fragments.depth[0, row, column],
                               atol=1e-6, rtol=0)
    # Without culling, the near (negative z) half wins.
    assert (fragments.depth[fragments.covered] < 0.01).all()


def test_empty_inputs(exact_rasterizer):
    vertices, faces = soup()
    none = exact_rasterizer(vertices, faces[:0], (4, 5))
    assert none.face_index.shape == (2, 4, 5) and not none.covered.any()
    assert exact_rasterizer(vertices[:0], faces, (4, 5)).depth.shape == (
        0, 4, 5)


def test_low_precision_is_rasterized_in_float32(exact_rasterizer):
    vertices, faces = soup()
    half = exact_rasterizer(vertices.half(), faces, (8, 8))
    full = exact_rasterizer(vertices.half().float(), faces, (8, 8))
    assert half.depth.dtype == torch.float32
    assert torch.equal(half.face_index, full.face_index)


def test_errors_name_the_argument(exact_rasterizer):
    vertices, faces = soup()
    with pytest.raises(ValueError, match=r'vertices_ndc must have the shape'):
        exact_rasterizer(vertices[0], faces, (4, 4))
    with pytest.raises(ValueError, match=r'span 1\.\.120'):
        exact_rasterizer(vertices, faces + 1, (4, 4))
    with pytest.raises(ValueError, match='positive height'):
        exact_rasterizer(vertices, faces, (4, 0))
    with pytest.raises(ValueError, match='There is no rasterizer'):
        build_rasterizer('opengl')
