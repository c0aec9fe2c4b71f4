# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import functools

import numpy as np
import pytest
import torch

from mmtvface.benchmarks.synthtv.appearance import (
    Appearance,
    change_appearance,
)
from mmtvface.benchmarks.synthtv.dataset import SynthTVDataset
from mmtvface.heads import FLAME

SIZE = 64


@functools.cache
def face():
    """68 pixels of an upright face in the middle of the image."""
    layer = FLAME('procedural', num_shape=1, num_expression=1)
    zeros = torch.zeros(1, 6)
    points = layer(zeros[:, :1], zeros[:, :1], zeros).landmarks2d[0, :, :2]
    points = (points - points.mean(0)).numpy() * (1, -1)
    return points / np.abs(points).max() * .3 * SIZE + SIZE / 2


def only(name, seed=0):
    """A look with a single change."""
    look = Appearance(np.random.default_rng(seed), SIZE)
    look.on = dict.fromkeys(look.on, False) | {name: True}
    look.mix = np.eye(3)
    look.curve = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3,
                           2)
    return look


@pytest.mark.parametrize('name, there, elsewhere', [
    ('lips', 57, 27), ('brows', 19, 33), ('beard', 8, 27),
    ('glasses', 27, 57)])
def test_where_things_are_painted(name, there, elsewhere):
    gray = np.full((SIZE, SIZE, 3), 128, np.uint8)
    points = face()
    out = only(name)(gray, points)
    changed = (out != gray).any(-1)

    def near(index):
        x, y = np.rint(points[index]).astype(int)
        return changed[y - 2:y + 3, x - 2:x + 3].any()

    assert near(there) and not near(elsewhere)
    assert (gray == 128).all()


def test_hair_is_beside_the_face_and_not_in_it():
    gray = np.full((SIZE, SIZE, 3), 128, np.uint8)
    points = face()
    for seed in range(5):
        changed = (only('hair', seed)(gray, points) != gray).any(-1)
        assert changed.any()
        x, y = np.rint(points[[30, 51]]).astype(int).T
        assert not changed[y, x].any()


def test_a_clip_has_one_look():
    rng = np.random.default_rng(0)
    images = np.repeat(rng.integers(0, 256, (1, SIZE, SIZE, 3), np.uint8), 3,
                       0)
    landmarks = np.repeat((face()[None] * 2 + 1) / SIZE - 1, 3, 0)
    before = images.copy()
    looks = [change_appearance(images, landmarks, np.random.default_rng(seed))
             for seed in (1, 1, 2)]
    assert (looks[0][0] == looks[0][2]).all()
    assert (looks[0] == looks[1]).all() and (looks[0] != looks[2]).any()
    assert (images == before).all()


def test_looks_change_pictures_and_nothing_else():
    settings = dict(split='train', difficulty='easy', num_scenes=1,
                    clip_length=2, scene_length=2, image_size=32)
    plain = SynthTVDataset(**settings)[0]
    varied = SynthTVDataset(**settings, vary_appearance=1.)[0]
    assert (plain['inputs'] != varied['inputs']).any()
    for name in ('gt_landmarks', 'gt_masks'):
        a, b = (x['data_samples'].get(name) for x in (plain, varied))
        assert (a == b).all()
    with pytest.raises(ValueError, match='probability'):
        SynthTVDataset(**settings, vary_appearance=2.)
    with pytest.warns(DeprecationWarning, match='now .vary_appearance'):
        old = SynthTVDataset(**settings, vary_looks=1., reframe=True)
    assert old.vary_appearance == 1 and old.crop_jitter.roll == 12
    with pytest.raises(TypeError, match="no option 'colour'"):
        SynthTVDataset(**settings, colour=1)
