# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Clips that are rendered where the model is trained."""

import pytest
import torch
from no_questions import NoQuestions

from mmtvface.datasets import SyntheticFaceClipDataset
from mmtvface.registry import MODELS
from mmtvface.utils import host_sync

CONFIG = dict(
    type='ClipRenderer', image_size=40,
    texture=dict(type='FLAMETexture', size=64),
    renderer=dict(type='MeshRenderer', uv_size=64))


@pytest.fixture(scope='module')
def renderer():
    return MODELS.build(CONFIG)


def samples(**options):
    data = SyntheticFaceClipDataset(3, 2, 40, degradations=False,
                                    occluder_prob=0, **options)
    return [data[index] for index in range(3)]


def test_codes_are_those_of_the_pictures():
    for with_pictures, without in zip(
            samples(), samples(render=False), strict=True):
        assert 'inputs' not in without
        ours, theirs = without['data_samples'], with_pictures['data_samples']
        assert 'gt_masks' not in ours and 'gt_masks' in theirs
        for name, code in theirs.gt_codes.items():
            assert torch.equal(ours.gt_codes[name], code), name
        assert torch.equal(ours.gt_landmarks, theirs.gt_landmarks)
        assert torch.equal(ours.gt_vertices, theirs.gt_vertices)


def test_wrinkles_need_pictures():
    with pytest.raises(ValueError, match='render=True'):
        samples(render=False, wrinkles=True)


def test_a_batch_looks_as_the_data_set_renders_it(renderer):
    expected = samples(hair=False, torso=False)
    batch = dict(data_samples=[item['data_samples']
                               for item in samples(render=False)])
    torch.manual_seed(0)
    with torch.autocast('cpu', torch.bfloat16):
        out = renderer(batch)
    images = out['inputs']
    assert images.shape == (3, 2, 3, 40, 40)
    assert images.dtype == torch.float32
    assert 0 <= images.min() and images.max() <= 1
    for clip, sample, item in zip(
            images, out['data_samples'], expected, strict=True):
        mask = sample.gt_masks
        assert mask.shape == (2, 1, 40, 40) and mask.max() == 1
        assert sample.metainfo['image_size'] == (40, 40)
        truth = item['data_samples'].gt_masks
        assert (mask - truth).abs().mean() < .05
        skin = (truth[:, 0] > .9) & (mask[:, 0] > .9)
        found, wanted = (x.movedim(1, -1)[skin] for x in (
            clip, item['inputs'] / 255))
        # Gain, cast and noise differ; light and shadow are the same.
        assert torch.corrcoef(torch.stack(
            [found.flatten(), wanted.flatten()]))[0, 1] > .8


def test_backgrounds_and_cameras_differ_between_clips(renderer):
    batch = dict(data_samples=2 * [samples(render=False)[0]['data_samples']])
    first, second = renderer(batch)['inputs']
    assert (first - second).abs().mean() > .05


def test_other_batches(renderer):
    items = samples()
    batch = dict(inputs=[item['inputs'] for item in items],
                 data_samples=[item['data_samples'] for item in items])
    assert torch.equal(renderer(batch)['inputs'][0],
                       items[0]['inputs'].float() / 255)
    with pytest.raises(ValueError, match="a dict with 'inputs'"):
        renderer({})
    with pytest.raises(ValueError, match='draws squares'):
        MODELS.build(CONFIG | dict(renderer=dict(
            type='MeshRenderer', image_size=(40, 30))))


def test_nothing_waits(renderer):
    codes = [item['data_samples'] for item in samples(render=False)]
    batch = dict(data_samples=codes)
    with host_sync.asynchronous():
        renderer(batch)  # constants, and the check of the faces
        with NoQuestions():
            renderer(batch)
