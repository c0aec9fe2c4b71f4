# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json

import numpy as np
import pytest
import torch

from mmtvface.benchmarks.speed import loading
from mmtvface.datasets import FaceClipDataset


@pytest.fixture(autouse=True)
def threads():
    """The benchmark sets them for its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_both_loaders_load_the_same(tmp_path, monkeypatch):
    loading.write_clips(tmp_path, 1, 5, 95)
    dataset = FaceClipDataset(str(tmp_path / 'train'), test_mode=True)
    item = dataset[0]
    naive = loading.NaiveClips(dataset)

    class Middle:
        def uniform(self, low, high):
            return (low + high) / 2

    monkeypatch.setattr(np.random, 'default_rng', lambda seed: Middle())
    other = naive[0]
    sample = item['data_samples']
    np.testing.assert_allclose(other['landmarks'],
                               sample.gt_landmarks[..., :2], atol=1e-4)
    assert (other['masks'] != sample.gt_masks[:, 0]).float().mean() < 1e-3
    error = (other['inputs'] * 255 - item['inputs'].float()).abs()
    assert error.max() < 2


def test_report(tmp_path, capsys):
    path = tmp_path / 'out.json'
    assert loading.main([
        '--clips', '2', '--frames', '6', '--rounds', '1', '--batches', '1',
        '--workers', '0', '--json', str(path)]) == 0
    found = json.loads(path.read_text())['loaders']
    assert set(found) == {'folders', 'packed', 'naive'}
    assert all(row['frames_per_second'] > 0 and row['cpu_ms'] > 0
               for row in found.values())
    assert 'packed' in capsys.readouterr().out
