# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Optical flow of moving vertices."""
import pytest
import torch
import torch.nn.functional as F

from mmtvface.benchmarks.synthtv.flow_pairs import true_flow
from mmtvface.renderers import build_rasterizer, interpolate

SQUARE = torch.tensor([[0, 1, 2], [2, 1, 3]])


def square(left, top, right, bottom, z=0.):
    """Four corners in pixels of an 8 x 8 image, as NDC."""
    corners = torch.tensor([[left, top, 0], [right, top, 0],
                            [left, bottom, 0], [right, bottom, 0]])
    ndc = corners / 4. - 1
    ndc[:, 2] = z
    return ndc


def flow_of(*frames, faces=SQUARE):
    return true_flow(torch.stack(frames), faces, build_rasterizer('torch'),
                     (8, 8))


def test_a_square_moves_two_right_and_one_up():
    out = flow_of(square(1, 3, 4, 6), square(3, 2, 6, 5))
    before = torch.zeros(8, 8, dtype=torch.bool)
    before[3:6, 1:4] = True
    after = torch.zeros(8, 8, dtype=torch.bool)
    after[2:5, 3:6] = True
    assert torch.equal(out.backward_valid[0], before)
    assert torch.equal(out.forward_valid[0], after)
    torch.testing.assert_close(
        out.backward[0, :, before], torch.tensor([[2.], [-1.]]).expand(2, 9))
    torch.testing.assert_close(
        out.forward[0, :, after], torch.tensor([[-2.], [1.]]).expand(2, 9))
    assert not out.backward[0, :, ~before].any()


def test_growth_moves_each_pixel_by_its_distance():
    """Twice as large about the centre: p -> 2 p, so the flow is p."""
    out = flow_of(square(2, 2, 6, 6), square(0, 0, 8, 8))
    column = torch.tensor([-1.5, -.5, .5, 1.5])
    torch.testing.assert_close(out.backward[0, 0, 2:6, 2:6],
                               column.expand(4, 4))
    torch.testing.assert_close(out.forward[0, 1, :, 0],
                               (3.5 - torch.arange(8.)) / 2)


def test_points_that_leave_the_image_are_not_valid():
    out = flow_of(square(5, 0, 8, 8), square(7, 0, 10, 8))
    assert out.backward_valid[0].any(0).tolist() == [False] * 5 + [
        True, False, False]
    assert out.forward_valid[0].any(0).tolist() == [False] * 7 + [True]


def test_what_is_hidden_in_the_other_frame_is_not_valid():
    """A near square slides in front of the left half of a far one."""
    faces = torch.cat([SQUARE, SQUARE + 4])
    far = square(0, 0, 8, 8, z=1.)
    out = flow_of(torch.cat([far, square(-4, 0, 0, 8, z=0.)]),
                  torch.cat([far, square(0, 0, 4, 8, z=0.)]), faces=faces)
    assert out.backward_valid[0].all(0).tolist() == [False] * 4 + [True] * 4
    # the near square came from outside of the image, the far one stood
    assert out.forward_valid[0].all(0).tolist() == [False] * 4 + [True] * 4
    assert not out.forward[0, :, :, 4:].any()
    assert (out.forward[0, 0, :, :4] == -4).all()


def test_warping_the_next_picture_gives_the_first():
    """A turning bump with colours on it, against a sampler of its own."""
    axis = torch.linspace(-.8, .8, 17)
    y, x = torch.meshgrid(axis, axis, indexing='ij')
    index = torch.arange(17 * 17).view(17, 17)
    a, b, c, d = (index[:-1, :-1], index[:-1, 1:], index[1:, :-1],
                  index[1:, 1:])
    faces = torch.cat([torch.stack(triangle, -1).view(-1, 3)
                       for triangle in ((a, b, c), (c, b, d))])
    bump = torch.stack([x, y, x.square() + y.square()], -1).view(-1, 3)
    angle = torch.tensor(.1)
    turn = torch.tensor([[angle.cos(), 0, -angle.sin()], [0, 1, 0],
                         [angle.sin(), 0, angle.cos()]])
    frames = torch.stack([bump, bump @ turn + torch.tensor([.02, .06, 0])])
    colors = torch.stack([torch.sin(5 * x), torch.cos(4 * y)], -1).view(-1, 2)
    rasterizer = build_rasterizer()
    images = interpolate(rasterizer(frames, faces, (48, 48)), faces, colors)
    out = true_flow(frames, faces, rasterizer, (48, 48))

    pixels = torch.stack(torch.meshgrid(
        torch.arange(48.), torch.arange(48.), indexing='xy'), -1)
    for flow, valid, source, target in (
            (out.backward, out.backward_valid, images[1], images[0]),
            (out.forward, out.forward_valid, images[0], images[1])):
        grid = (pixels + flow[0].movedim(0, -1)) / 47 * 2 - 1
        warped = F.grid_sample(source[None], grid[None],
                               align_corners=True)[0]
        # away from the outline, where empty pixels are mixed in
        inner = F.avg_pool2d(valid.float(), 7, 1, 3)[0] > .999
        assert inner.sum() > 500
        error = (warped - target)[:, inner].abs()
        still = (source - target)[:, inner].abs()
        # bends of the colours at edges of the mesh, lost by sampling
        assert error.max() < .03
        assert still.mean() > 10 * error.mean()


def test_bad_input_is_named():
    rasterizer = build_rasterizer('torch')
    with pytest.raises(ValueError, match='at least 2 frames.*holds 1'):
        true_flow(torch.zeros(1, 4, 3), SQUARE, rasterizer, (8, 8))
    with pytest.raises(ValueError, match='vertices_ndc'):
        true_flow(torch.zeros(2, 4, 2), SQUARE, rasterizer, (8, 8))
