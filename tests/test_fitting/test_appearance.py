# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Albedo and light from colours."""

import numpy as np
import pytest
import torch

from mmtvface.apis import FaceReconstructor
from mmtvface.fitting import AppearanceSettings, FaceColors
from mmtvface.geometry.camera import ndc_to_pixel, project
from mmtvface.heads import FLAME, FLAMETexture, load_head_topology
from mmtvface.renderers import MeshRenderer
from mmtvface.tracking.frame_source import Frame, FrameSource

FRAMES, SIZE, SHAPE, EXPRESSION, TEX = 4, 64, 6, 5, 8


@pytest.fixture(scope='module')
def parts():
    return (FLAME('procedural', None, SHAPE, EXPRESSION),
            FLAMETexture('procedural', TEX, 64),
            MeshRenderer(load_head_topology('procedural'),
                         rasterizer='torch'))


@pytest.fixture(scope='module')
def video(parts):
    """Codes of a head that turns, and its pictures."""
    flame, texture, renderer = parts
    generator = torch.Generator().manual_seed(0)
    pose = torch.zeros(FRAMES, 6)
    pose[:, 1] = torch.linspace(-.4, .4, FRAMES)
    light = torch.zeros(FRAMES, 9, 3)
    light[:, 0] = 2.4
    light[:, 1] = torch.linspace(-.5, .5, FRAMES)[:, None]
    codes = dict(
        shape=torch.randn(1, SHAPE, generator=generator).repeat(FRAMES, 1),
        exp=.3 * torch.randn(FRAMES, EXPRESSION, generator=generator),
        pose=pose, cam=torch.tensor([8., 0, 0]).repeat(FRAMES, 1),
        tex=torch.randn(1, TEX, generator=generator).repeat(FRAMES, 1),
        light=light)
    with torch.no_grad():
        head = flame(codes['shape'], codes['exp'], codes['pose'])
        out = renderer.render(
            head.vertices, project(head.vertices, codes['cam']),
            texture(codes['tex']), light, image_size=(SIZE, SIZE))
    return codes, out.image, ndc_to_pixel(project(
        head.landmarks2d, codes['cam'])[..., :2].double().numpy(), SIZE)


def solve(colors, seen, tex, light):
    found = colors.fit(seen, tex, light)
    lit = light
    for _ in range(3):
        lit = colors.solve_light(seen, found, lit, light)
    return found, lit


def test_truth_is_found(parts, video):
    codes, images, _ = video
    colors = FaceColors(*parts)
    seen = colors.look(codes, images)
    assert .3 < seen.visible.float().mean() < .95
    # The colours of vertices are those of the renderer's pictures.
    assert colors.error(seen, codes['tex'][0], codes['light']).max() < .03
    tex = codes['tex'][0] + .7 * torch.randn(
        TEX, generator=torch.Generator().manual_seed(1))
    light = codes['light'] + .3 * torch.randn(
        FRAMES, 9, 3, generator=torch.Generator().manual_seed(2))
    before = colors.error(seen, tex, light)
    found, lit = solve(colors, seen, tex, light)
    assert (colors.error(seen, found, lit) < .3 * before).all()
    # A brighter light and a darker skin look the same: shading, not light
    shading, true = (seen.harmonics @ one for one in (lit, codes['light']))
    old = seen.harmonics @ light
    assert (shading - true)[seen.visible].abs().mean() < (
        .6 * (old - true)[seen.visible].abs().mean())


def test_what_covers_the_face_is_left_out(parts, video):
    codes, images, _ = video
    colors = FaceColors(*parts)
    clean = colors.look(codes, images)
    covered = images.clone()
    covered[:, :, 40:48] = torch.tensor([0., 1., 0.])[:, None, None]
    seen = colors.look(codes, covered)
    tex, light = codes['tex'][0], codes['light']
    found, lit = solve(colors, seen, tex, light)
    robust = (seen.harmonics @ lit - seen.harmonics @ light)[seen.visible]
    loose = FaceColors(*parts, AppearanceSettings(huber=1e6))
    found, lit = solve(loose, seen, tex, light)
    fooled = (seen.harmonics @ lit - seen.harmonics @ light)[seen.visible]
    assert robust.abs().mean() < .6 * fooled.abs().mean()
    assert colors.error(clean, tex, light).max() < .03


def test_without_colors_the_codes_stay(parts, video):
    codes, images, _ = video
    colors = FaceColors(*parts)
    hidden = {**codes, 'cam': torch.tensor([8., 3., 0]).repeat(FRAMES, 1)}
    seen = colors.look(hidden, images)
    assert not seen.visible.any()
    found, lit = solve(colors, seen, codes['tex'][0], codes['light'])
    assert torch.allclose(found, codes['tex'][0], atol=1e-4)
    assert torch.allclose(lit, codes['light'], atol=1e-4)
    assert colors.error(seen, found, lit).isnan().all()


def test_light_does_not_flicker(parts, video):
    """Thirty frames under one light, with noise of their own."""
    codes, images, _ = video
    colors = FaceColors(*parts)
    some = torch.arange(30) % 2 + 1
    still = {name: code[some] for name, code in codes.items()}
    noisy = images[some] + .1 * torch.randn(
        30, 3, 1, 1, generator=torch.Generator().manual_seed(3))
    seen = colors.look(still, noisy)
    tex, light = codes['tex'][0], codes['light'][1].expand(30, -1, -1)
    calm = colors.relight(seen, tex, light)
    each = colors.solve_light(seen, tex, light, light)
    assert calm.diff(2, dim=0).abs().mean() < (
        .1 * each.diff(2, dim=0).abs().mean())
    # The regressed light's own motion stays.
    moving = light.clone()
    moving[:, 0] += .2 * torch.linspace(0, 3, 30).sin()[:, None]
    assert (colors.relight(seen, tex, moving) - moving).diff(
        dim=0).abs().max() < .05


def test_what_is_outside_of_the_frame_is_not_seen(parts, video):
    codes, images, _ = video
    colors = FaceColors(*parts)
    cut = images.clone()
    cut[:, :, 36:] = 0
    bounds = torch.tensor([-1., -1., 1., 36 / 32 - 1]).expand(FRAMES, -1)
    seen = colors.look(codes, cut, bounds)
    blind = colors.look(codes, cut)
    assert .1 < seen.visible.float().mean() < blind.visible.float().mean()
    assert (seen.visible & ~blind.visible).sum() == 0
    tex, light = codes['tex'][0], codes['light']
    found, lit = solve(colors, seen, tex, light)
    whole = colors.look(codes, images)
    assert colors.error(whole, found, lit).max() < .04
    found, lit = solve(colors, blind, tex, light)
    assert colors.error(whole, found, lit).max() > .04


def test_a_wild_frame_spoils_itself_only(parts, video):
    codes, images, _ = video
    colors = FaceColors(*parts)
    for name, value in (('light', 1e20), ('light', 1e3), ('cam', 1e38)):
        wild = {key: code.clone() for key, code in codes.items()}
        wild[name][2] = value
        seen = colors.look(wild, images)
        found, lit = solve(colors, seen, codes['tex'][0], wild['light'])
        assert (found - codes['tex'][0]).abs().max() < .5
        calm = colors.relight(seen, found, wild['light'])
        good = torch.tensor([0, 1, 3])
        for light in (lit, calm):
            assert light[good].isfinite().all()
            if name == 'cam':
                assert light.isfinite().all()


def test_a_video_by_the_packaged_model(video):
    """Colours come nearer to the picture's, and geometry is as without."""
    _, images, landmarks = video

    class Video(FrameSource):
        name = 'a head that turns'

        def __len__(self):
            return FRAMES

        def __iter__(self):
            for index, image in enumerate(images):
                yield Frame(index, f'{index:06d}', (
                    255 * image.clamp(0, 1)).byte().permute(1, 2, 0).numpy(),
                    landmarks[index])

    reconstructor = FaceReconstructor(device='cpu', refine=1)
    found = list(reconstructor(Video()))
    report = reconstructor.report['refinement']
    # Of a light that changes faster than it is followed
    assert report['color_error_after'] < .7 * report['color_error_before']
    assert report['landmark_nme_after'] < report['landmark_nme_before']
    tex = np.stack([result.codes['tex'] for result in found])
    assert (tex == tex[0]).all()
    plain = list(FaceReconstructor(device='cpu', refine=0)(Video()))
    assert np.abs(tex[0] - plain[0].codes['tex']).max() > .01
    reconstructor.model.texture = None
    blind = list(reconstructor(Video()))
    assert 'color_error_after' not in reconstructor.report['refinement']
    for one, other in zip(found, blind, strict=True):
        np.testing.assert_allclose(one.vertices, other.vertices, atol=1e-6)
