# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.toy_meshes import toy_ellipsoid

from mmtvface.geometry.mesh import vertex_normals
from mmtvface.renderers import MeshRenderer
from mmtvface.visualization.head_texture import TextureBaker
from mmtvface.visualization.overlay import pixels_to_ndc3d

SIZE = 64
VERTICES, TOPOLOGY = toy_ellipsoid(36, 48)  # 16 x 22 x 20 cm
ZOOM, PLACE = 400., (70.25, 60.5)  # pixels per metre, the centre's pixel
FRAME = (130, 150)


@pytest.fixture(scope='module')
def renderer():
    whole = np.ones((256, 256))
    return MeshRenderer(
        replace(TOPOLOGY, uv_face_eye_mask=whole), 64, SIZE,
        rasterizer='torch')


@pytest.fixture(scope='module')
def baker(renderer):
    return TextureBaker(renderer, SIZE)


def in_frame():
    return VERTICES * [ZOOM, -ZOOM, -ZOOM] + [*PLACE, 0.]


def sample(texture, uv):
    """Colours of a texture (1, 3, T, T) at (N, 2) UV coordinates."""
    grid = torch.from_numpy(uv * [2., -2.] + [-1., 1.]).float()
    return F.grid_sample(texture, grid[None, None],
                         align_corners=False)[0, :, 0].mT.numpy()


def uv_of_vertices():
    uv = np.zeros((len(VERTICES), 2))
    uv[TOPOLOGY.faces] = TOPOLOGY.uv_coords[TOPOLOGY.uv_faces]
    return uv


def facing():
    normals = vertex_normals(torch.from_numpy(VERTICES)[None],
                             torch.from_numpy(TOPOLOGY.faces))
    return normals[0, :, 2].numpy()


def test_the_face_keeps_the_pixels_of_the_frame(baker):
    """Red is the column, green the row: no flip, no shift, no mirror."""
    rows, columns = np.mgrid[:FRAME[0], :FRAME[1]]
    image = np.stack([columns, rows, 0 * rows], -1).astype(np.uint8)
    texture = baker.bake(image, VERTICES, in_frame())
    seen = facing() > .7
    colors = sample(texture, uv_of_vertices()) * 255
    assert 100 < seen.sum() < len(seen) / 2
    np.testing.assert_allclose(
        colors[seen, :2], in_frame()[seen, :2], atol=.7)
    # Beyond what is seen, colours continue those of the border.
    assert np.abs(colors[:, :2] - in_frame()[:, :2]).max() > 5


def albedo_map():
    wave = torch.linspace(0, 6, 32)
    return (.5 + .2 * torch.stack([
        wave.sin()[:, None].expand(32, 32), wave.cos().expand(32, 32),
        (wave[:, None] + wave).sin()]))[None]


def lamp():
    light = torch.zeros(1, 9, 3)
    light[:, 0], light[:, 1], light[:, 3] = 2.5, .6, .5
    return light


def drawn_frame(renderer, albedo, light, tint):
    """The head as the model would see it, in another colour."""
    points = pixels_to_ndc3d(in_frame(), FRAME)
    out = renderer.render(
        torch.from_numpy(VERTICES)[None].float(),
        torch.from_numpy(points)[None], albedo, light, image_size=FRAME,
        background=torch.tensor([0., 1., 0.]))
    image = torch.where(out.alpha > 0, out.image * torch.tensor(tint)[
        :, None, None], out.image)
    return (image[0].movedim(0, -1).clamp(0, 1) * 255).round().byte().numpy()


@pytest.mark.parametrize('tint', [(1., 1., 1.), (1.15, .9, .6)])
def test_seen_and_unseen_parts_agree(renderer, baker, tint):
    """Where the model is right up to a tint, the whole head is right."""
    albedo, light = albedo_map(), lamp()
    image = drawn_frame(renderer, albedo, light, tint)
    texture = baker.bake(image, VERTICES, in_frame(), albedo, light)
    white = baker.bake(image, VERTICES + 10, in_frame() + [1e4, 0, 0],
                       albedo, light)  # out of the frame: the model alone
    expected = (white * torch.tensor(tint)[:, None, None]).clamp(0, 1)
    error = (texture - expected).abs()[0]
    assert error[:, baker.mapper.covered].mean() < .015
    assert error.max() < .12


def test_no_step_where_the_image_ends(renderer, baker):
    """The head is lit from one side in the frame, and flat in the model."""
    rows, columns = np.mgrid[:FRAME[0], :FRAME[1]]
    gray = 60 + columns
    image = np.stack([gray] * 3, -1).astype(np.uint8)
    texture = baker.bake(image, VERTICES, in_frame(), albedo_map() * 0 + .4)
    flat = texture[0, 0].numpy()
    step = max(np.abs(np.diff(flat, axis=0)).max(),
               np.abs(np.diff(flat, axis=1)).max())
    # The image itself changes by 0.012 per texel in the middle of the face.
    assert step < .025
    assert np.ptp(flat) > .15


def test_no_step_at_the_seam_of_the_uv_map(renderer, baker):
    """The same vertices on both sides, also if one side is seen."""
    turn = np.deg2rad(130)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0],
                         [-np.sin(turn), 0, np.cos(turn)]])
    turned = VERTICES @ rotation.T
    places = turned * [ZOOM, -ZOOM, -ZOOM] + [*PLACE, 0.]
    image = np.stack([np.full(FRAME, 180)] * 3, -1).astype(np.uint8)
    image[..., 0] = 90
    texture = baker.bake(image, turned, places, albedo_map() * 0 + .4)
    uv = TOPOLOGY.uv_coords.reshape(36, 49, 2)
    left, right = sample(texture, uv[4:-4, 0]), sample(texture, uv[4:-4, -1])
    np.testing.assert_allclose(left, right, atol=.02)
    np.testing.assert_allclose(left, np.tile([90, 180, 180], (28, 1)) / 255,
                               atol=.03)


def test_only_the_face_mask_takes_from_the_image(baker):
    """Hair and background beside the mask are not painted on the head."""
    renderer = MeshRenderer(TOPOLOGY, 64, SIZE, rasterizer='torch')
    image = np.full((*FRAME, 3), 100, np.uint8)
    image[..., 1] = (np.arange(FRAME[0]) % 2 * 200)[:, None]  # stripes
    masked = TextureBaker(renderer, SIZE).bake(image, VERTICES, in_frame())
    whole = baker.bake(image, VERTICES, in_frame())

    def stripes(texture, rows):
        return texture[0, 1, rows, 24:40].diff(dim=0).abs().mean()

    middle, above = slice(28, 36), slice(8, 14)
    assert stripes(masked, middle) > .05
    assert stripes(masked, above) < .02 < stripes(whole, above)


def test_no_empty_texels(baker):
    image = np.full((*FRAME, 3), 200, np.uint8)
    assert baker.bake(image, VERTICES, in_frame()).min() > .5
    beside = in_frame() + [1e4, 0, 0]
    alone = baker.bake(image, VERTICES, beside)
    assert alone.unique().tolist() == [pytest.approx(180 / 255)]


def test_large_frames_are_averaged_first(baker):
    """A checkerboard of pixels becomes grey instead of noise."""
    image = np.zeros((1040, 1200, 3), np.uint8)
    image[::2, ::2] = image[1::2, 1::2] = 200
    points = (in_frame() + [.5, .5, 0]) * 8 - [.5, .5, 0]
    texture = baker.bake(image, VERTICES, points)
    inner = texture[0, 0, 26:38, 26:38]
    assert inner.std() < .02
    assert inner.mean().item() == pytest.approx(100 / 255, abs=.02)


def test_wrong_light_does_not_blacken_the_fill(baker):
    light = torch.zeros(1, 9, 3)
    light[:, 0] = -2
    image = np.full((*FRAME, 3), 150, np.uint8)
    texture = baker.bake(image, VERTICES, in_frame(), albedo_map() * 0 + .4,
                         light)
    np.testing.assert_allclose(texture.numpy(), 150 / 255, atol=.02)
