# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Synthetic clips of the built-in head, whose landmarks mean something."""

import cv2
import numpy as np
import pytest
import torch

from mmtvface.datasets import SyntheticFaceClipDataset
from mmtvface.datasets.synthetic.performance import plan_expressions
from mmtvface.geometry.camera import ndc_to_pixel
from mmtvface.heads import load_head

SIZE = 80


@pytest.fixture(scope='module')
def dataset():
    return SyntheticFaceClipDataset(
        4, clip_length=12, image_size=SIZE, occluder_prob=0.,
        degradations=False, hair=False,
        performance=dict(talking=1., blink_rate=2.))


def test_the_plan_knows_the_head():
    names = load_head('procedural').expression_names
    plan = plan_expressions(names, 50)
    assert {names[i] for i in plan.eyelids} == {'eyeBlink_L', 'eyeBlink_R'}
    smile = (names.index('smile_L'), names.index('smile_R'))
    assert smile in plan.groups
    assert not any(names[i].startswith('residual')
                   for group in plan.groups for i in group)


def test_mask_and_landmarks_coincide(dataset):
    for index in range(4):
        sample = dataset[index]['data_samples']
        pixels = ndc_to_pixel(sample.gt_landmarks[..., :2], SIZE).numpy()
        for frame in (0, 11):
            hull = np.zeros((SIZE, SIZE), np.uint8)
            cv2.fillConvexPoly(hull, cv2.convexHull(
                np.rint(pixels[frame]).astype(np.int32)), 1)
            mask = sample.gt_masks[frame, 0].numpy() > .5
            # The mouth's inside is no skin; the forehead has no landmarks.
            assert mask[hull > 0].mean() > .87
            below_brows = np.zeros_like(mask)
            below_brows[int(pixels[frame, 17:27, 1].max()):] = True
            assert (hull > 0)[mask & below_brows].mean() > .85


def test_blinks_close_the_eyelids_and_speech_the_lips(dataset):
    for index in range(4):
        sample = dataset[index]['data_samples']
        points, codes = sample.gt_landmarks[..., :2], sample.gt_codes
        size = (points[:, 8] - points[:, 27]).norm(dim=-1)
        eyelids = (points[:, 43] - points[:, 47]).norm(dim=-1) / size
        blink = codes['exp'][:, 2]
        assert eyelids[blink.argmax()] <= eyelids[blink.argmin()] + .01
        lips = (points[:, 62] - points[:, 66]).norm(dim=-1) / size
        jaw = codes['pose'][:, 3]
        if jaw.max() - jaw.min() > .05:
            assert torch.corrcoef(torch.stack([lips, jaw]))[0, 1] > .7
