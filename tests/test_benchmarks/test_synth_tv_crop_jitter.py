# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import cv2
import numpy as np
import pytest
import torch

from mmtvface.benchmarks.synthtv.crop_jitter import (
    CropJitter,
    crop_jitter_codes,
    move_images,
    move_points,
    turn_light,
)
from mmtvface.benchmarks.synthtv.dataset import SynthTVDataset
from mmtvface.geometry.camera import ndc_to_pixel, project
from mmtvface.geometry.lighting import sh_shading
from mmtvface.heads import FLAME


def moves():
    rng = np.random.default_rng(0)
    drawn = CropJitter(roll=30., zoom=.2, shift=.2, shake=.05).draw(rng, 3)
    assert drawn.shape == (3, 4) and np.ptp(drawn[:, 0]) == 0
    assert abs(drawn[0, 0]) > .02 and np.ptp(drawn[:, 2]) > 0
    return drawn


def test_codes_follow_the_picture():
    """All vertices of the new codes are where the old ones were moved to."""
    flame = FLAME('procedural', num_shape=5, num_expression=4)
    rng = torch.Generator().manual_seed(0)
    codes = {name: .5 * torch.randn(3, size, generator=rng)
             for name, size in dict(shape=5, exp=4, pose=6).items()}
    codes['cam'] = torch.tensor([[8., .01, -.02]]).repeat(3, 1)
    codes['light'] = torch.randn(3, 9, 3, generator=rng)
    before = {name: value.clone() for name, value in codes.items()}
    changed = crop_jitter_codes(flame, codes, torch.from_numpy(moves()))

    def seen(c):
        vertices = flame(c['shape'], c['exp'], c['pose']).vertices
        return project(vertices, c['cam'])[..., :2].double().numpy()

    expected = move_points(seen(codes), moves())
    assert np.abs(seen(changed) - expected).max() < 1e-4
    for name in codes:
        assert torch.equal(codes[name], before[name])
        assert changed[name].dtype == codes[name].dtype
    assert torch.equal(changed['exp'], codes['exp'])


def test_light_turns_with_the_head():
    rng = torch.Generator().manual_seed(1)
    normals = torch.nn.functional.normalize(
        torch.randn(2, 50, 3, generator=rng, dtype=torch.float64), dim=-1)
    light = torch.randn(2, 9, 3, generator=rng, dtype=torch.float64)
    angle = torch.tensor([.4, -2.], dtype=torch.float64)
    cos, sin = angle.cos(), angle.sin()
    x, y, z = normals.unbind(-1)
    turned = torch.stack([cos[:, None] * x - sin[:, None] * y,
                          sin[:, None] * x + cos[:, None] * y, z], -1)
    torch.testing.assert_close(
        sh_shading(turned, turn_light(light, angle)),
        sh_shading(normals, light))


def test_pictures_and_points_move_alike():
    size = 65
    points = np.array([[[-.4, .3]], [[.2, -.5]], [[.1, .1]]])
    images = np.zeros((3, size, size), np.uint8)
    for image, (x, y) in zip(images, ndc_to_pixel(points[:, 0], size),
                             strict=True):
        cv2.circle(image, (round(8 * x), round(8 * y)), 24, 255, -1,
                   cv2.LINE_AA, 3)
    out = move_images(images, moves(), cv2.BORDER_CONSTANT).astype(float)
    grid = np.arange(size)
    found = np.stack([(out.sum(1) * grid).sum(1), (out.sum(2) * grid).sum(1)],
                     1) / out.sum((1, 2))[:, None]
    expected = ndc_to_pixel(move_points(points, moves())[:, 0], size)
    assert np.abs(found - expected).max() < .3


def test_dataset_crop_jitters():
    settings = dict(split='train', difficulty='easy', num_scenes=1,
                    clip_length=2, scene_length=2, image_size=32)
    plain = SynthTVDataset(**settings)[0]
    dataset = SynthTVDataset(**settings, crop_jitter=dict(roll=40., shake=0.))
    one, two = dataset[0], dataset[0]
    assert torch.equal(one['inputs'], two['inputs'])
    assert (one['inputs'] != plain['inputs']).any()
    sample = one['data_samples']
    codes = sample.gt_codes
    landmarks = project(dataset.flame(
        codes['shape'], codes['exp'], codes['pose']).landmarks2d,
        codes['cam'])[..., :2]
    # those of the contour may slide along it
    error = (landmarks - sample.gt_landmarks[..., :2])[:, 17:].abs().max()
    assert error < 1e-3
    with pytest.raises(TypeError, match='tilt'):
        SynthTVDataset(**settings, crop_jitter=dict(tilt=1.))
