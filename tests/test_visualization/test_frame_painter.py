# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
import torch
from helpers.toy_reconstructor import GRID, ToyTexture, toy_topology

from mmtvface.geometry.encodings import decode_depth, decode_normals
from mmtvface.geometry.lighting import SH_FACTORS
from mmtvface.renderers import DetailSurface, MeshRenderer
from mmtvface.visualization import PICTURES, FramePainter

SIZE = 64
SIDE = np.linspace(-.1, .1, GRID)
# A plane of 20 cm, 5 cm before the origin, facing the camera.
PLANE = np.stack([*np.meshgrid(SIDE, -SIDE), np.full((GRID, GRID), .05)],
                 -1).reshape(-1, 3)
ZOOM = 320.  # 64 pixels wide, as many as texels


def in_frame(x=70.5, y=50.5, vertices=PLANE):
    return vertices * [ZOOM, -ZOOM, -ZOOM] + [x, y, 0.]


@pytest.fixture(scope='module')
def painter():
    renderer = MeshRenderer(toy_topology(), 32, SIZE, rasterizer='torch')
    return FramePainter(
        renderer, ToyTexture(SIZE),
        DetailSurface(toy_topology(), SIZE, rasterizer='torch'), SIZE)


def ramp():
    """A height that grows by a texel's width per texel, to the right."""
    return np.tile((np.arange(SIZE) - 32.) * .2 / SIZE, (SIZE, 1))


def light(first=2., x=0.):
    values = np.zeros((9, 3))
    values[0] = first / SH_FACTORS[0]
    values[1] = x / SH_FACTORS[1]
    return values


FRAME = np.full((110, 150, 3), 10, np.uint8)
TEX = np.array([1., -1., 2.])


def test_pictures_by_hand(painter):
    face = painter.pose(PLANE, in_frame(), TEX, light(1.5))
    out = painter.paint(face, FRAME, ('albedo', 'rendered', 'normals',
                                      'depth'))
    # The plane covers the pixels 39 .. 102 and 19 .. 82, one per texel.
    texels = painter.texture(torch.tensor([TEX]).float())[0].movedim(0, -1)
    expected = (texels * 255).numpy()
    box = slice(19, 83), slice(39, 103)
    np.testing.assert_allclose(out['albedo'][box], expected, atol=.6)
    np.testing.assert_allclose(
        out['rendered'][box], np.clip(expected * 1.5, 0, 255), atol=1)
    for kind, beside in (('albedo', 0), ('rendered', 10), ('normals', 0)):
        picture = out[kind].copy()
        picture[box] = beside
        assert (picture == beside).all()
    assert (out['normals'][box] == [128, 128, 255]).all()
    depth = decode_depth(out['depth'])
    np.testing.assert_allclose(depth[box], .05, atol=1e-5)
    assert np.isfinite(depth).sum() == 64 * 64


def test_detail_tilts_normals_and_light(painter):
    face = painter.pose(PLANE, in_frame(), TEX, light(1., -.5), ramp())
    out = painter.paint(face, FRAME, PICTURES)
    assert set(out) == set(PICTURES)
    normal = decode_normals(out['normals'])[50, 70]
    np.testing.assert_allclose(normal, [-.5**.5, 0, .5**.5], atol=.02)
    # The mask of the toy head ends 8 texels inside.
    assert out['normals'][50, 42].tolist() == [128, 128, 255]
    ratio = out['rendered'][50, 70] / out['albedo'][50, 70]
    np.testing.assert_allclose(ratio, 1 + .5 * .5**.5, atol=.03)
    assert (out['overlay'][50, 42] == out['detail_overlay'][50, 42]).all()
    assert (out['overlay'][50, 70] != out['detail_overlay'][50, 70]).all()
    assert (out['overlay'][50, 30] == 10).all()


def test_depth_of_a_slope_and_of_a_head_that_leaves_the_frame(painter):
    slope = PLANE.copy()
    slope[:, 2] = .3 * PLANE[:, 0]
    face = painter.pose(slope, in_frame(5.5, 50.5, slope))
    depth = decode_depth(painter.paint(face, FRAME, ['depth'])['depth'])
    columns = np.arange(36)  # up to pixel 37
    np.testing.assert_allclose(
        depth[50, :36], .3 * (columns - 5.5) / ZOOM, atol=2e-5)
    gone = painter.pose(slope, in_frame(-900, 50, slope), TEX, light())
    out = painter.paint(gone, FRAME, ['depth', 'rendered', 'overlay'])
    assert not out['depth'].any() and (out['rendered'] == 10).all()
    assert (out['overlay'] == 10).all()


def test_a_crop_shows_the_same_head(painter):
    face = painter.pose(PLANE, in_frame(), TEX, light(), ramp())
    whole = painter.paint(face, FRAME, PICTURES)
    shift = np.array([[1., 0, -20], [0, 1, -10], [0, 0, 1]])
    part = painter.paint(face.moved(shift), FRAME[10:100, 20:120], PICTURES)
    for kind, picture in part.items():
        np.testing.assert_array_equal(picture, whole[kind][10:100, 20:120])
    half = np.diag([.5, .5, 1.])
    small = face.moved(half)
    depth = decode_depth(painter.paint(
        small, FRAME[::2, ::2], ['depth'])['depth'])
    np.testing.assert_allclose(depth[np.isfinite(depth)], .05, atol=1e-5)
    assert np.isfinite(depth).sum() == 32 * 32
    np.testing.assert_allclose(face.vertices_image, in_frame())


def test_normal_map_and_dense_mesh(painter):
    face = painter.pose(PLANE, in_frame(), displacement=ramp())
    assert painter.normal_map(face)[32, 32].tolist() == [37, 128, 218]
    assert painter.normal_map(painter.pose(PLANE, in_frame())) is None
    image = np.zeros_like(FRAME)
    image[..., 0] = np.arange(150)
    mesh = painter.dense_mesh(face, painter.bake_texture(face, image))
    assert mesh.vertices.shape == (SIZE**2, 3)
    grid = mesh.vertices.reshape(SIZE, SIZE, 3)
    np.testing.assert_allclose(grid[30, 12:52, 2], .05 + ramp()[30, 12:52],
                               atol=1e-6)
    colors = mesh.colors.reshape(SIZE, SIZE, 3) * 255
    np.testing.assert_allclose(colors[30, 24:40, 0], 39 + np.arange(24, 40),
                               atol=.7)
    assert painter.dense_mesh(face).colors is None


def test_maps_are_made_once(painter, monkeypatch):
    calls = []
    texture = painter.texture
    monkeypatch.setattr(painter, 'texture',
                        lambda code: calls.append(1) or texture(code))
    face = painter.pose(PLANE, in_frame(), TEX, light())
    painter.paint(face, FRAME, ['depth', 'normals', 'overlay'])
    assert not calls  # nothing asked for colours
    painter.paint(face, FRAME, ['albedo'])
    painter.paint(face.moved(np.eye(3)), FRAME, ['rendered'])
    assert len(calls) == 1


def test_what_is_missing_is_named(painter):
    bare = FramePainter(painter.renderer)
    assert bare.missing_part('normals') == bare.missing_part('overlay') == ''
    face = bare.pose(PLANE, in_frame(), TEX, light(), ramp())
    for kind, part in (('rendered', 'FLAMETexture'),
                       ('detail_overlay', 'DetailBranch')):
        with pytest.raises(ValueError, match=f"'{kind}' needs .*{part}"):
            bare.paint(face, FRAME, [kind])
    with pytest.raises(ValueError, match='DetailBranch'):
        bare.dense_mesh(face)
    with pytest.raises(ValueError, match="no picture 'gltf'"):
        bare.paint(face, FRAME, ['gltf'])
    plain = painter.pose(PLANE, in_frame())
    with pytest.raises(ValueError, match='no albedo code'):
        painter.paint(plain, FRAME, ['albedo'])
    with pytest.raises(ValueError, match='no displacement map'):
        painter.paint(plain, FRAME, ['detail_overlay'])
    with pytest.raises(ValueError, match='vertices_image'):
        painter.pose(PLANE, in_frame()[:5])
