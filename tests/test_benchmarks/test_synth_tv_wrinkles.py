# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
from types import SimpleNamespace

import pytest
import torch

from mmtvface.benchmarks.synthtv.evaluate import score_normals
from mmtvface.heads import FLAME
from mmtvface.structures import FaceClipSample


class Clips:
    """Two clips of the neutral head with a bump of another height each."""

    def __init__(self, size=32):
        flame = FLAME('procedural', None, 2, 2)
        self.vertices = flame(torch.zeros(2, 2), torch.zeros(2, 2),
                              torch.zeros(2, 6)).vertices
        y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2,
                              indexing='ij')
        self.bump = .004 * (20 * x).sin() * (20 * y).sin()

    def __len__(self):
        return 2

    def __getitem__(self, index):
        sample = FaceClipSample()
        sample.gt_vertices = self.vertices
        sample.gt_displacement = (index + 1) * self.bump.expand(2, 1, -1, -1)
        return dict(inputs=torch.zeros(2, 3, 4, 4), data_samples=sample)


class Model:
    """Predicts half of the true displacement, times a factor."""

    detail = True

    def __init__(self, factor):
        self.factor = factor

    def data_preprocessor(self, data):
        return data

    def __call__(self, inputs, samples, mode):
        assert mode == 'predict'
        sample = samples[0].new()
        sample.pred_vertices = sample.gt_vertices + .01  # a shift is no error
        sample.pred_displacement = self.factor * sample.gt_displacement
        return [sample]


def test_normals_of_clips():
    clips, told = Clips(), []
    perfect = score_normals(Model(1.), clips, tell=told.append)
    none = score_normals(Model(0.), clips)
    assert told == [1, 2]
    name = 'normal_detail_deg'
    assert perfect['means'][name] < .05
    assert none['means'][name] == none['means']['normal_coarse_deg'] > 2
    # The second bump is twice as high.
    low, high = none['clips'][name]
    assert 1.5 * low < high < 2.1 * low
    assert none['means'][name] == pytest.approx((low + high) / 2)
    with pytest.raises(ValueError, match='no detail branch'):
        score_normals(SimpleNamespace(detail=None), clips)
