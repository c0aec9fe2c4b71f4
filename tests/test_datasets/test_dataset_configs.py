# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The configs of the public data sets, on tiny fakes of these."""

from itertools import islice
from pathlib import Path

import pytest
from helpers.fake_datasets import (
    write_bupt,
    write_clip_set,
    write_vggface2,
    write_voxceleb2,
)
from mmengine.config import Config
from mmengine.runner import Runner

from mmtvface.utils.setup_env import register_all_modules

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder ``data`` with all sets at their default places."""
    register_all_modules()
    monkeypatch.chdir(tmp_path)
    write_clip_set(tmp_path / 'data/face_clips', {
        'train': [('a', 'ann', 6)], 'val': [('c', 'cy', 3)]})
    write_voxceleb2(tmp_path / 'data/voxceleb2/dev')
    write_vggface2(tmp_path / 'data/vggface2')
    write_bupt(tmp_path / 'data/bupt_balancedface')
    return tmp_path / 'data'


def load(name, **options):
    cfg = Config.fromfile(CONFIGS / name)
    cfg.merge_from_dict({'train_dataloader.num_workers': 0,
                         'train_dataloader.persistent_workers': False,
                         **options})
    return cfg


def first_batches(cfg, count=1):
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    return [sample for batch in islice(iter(loader), count)
            for sample in batch['data_samples']], loader


@pytest.mark.parametrize(('name', 'people'), [
    ('face_clips', {'ann'}),
    ('voxceleb2', {'id00012', 'id00061'}),
    ('vggface2', {'n000002', 'n000010'}),
    ('bupt_balancedface', {'African/m.0abc1d', 'African/m.0zz',
                           'Asian/m.01x_y', 'Indian/m.0k'})])
def test_each_set(data, name, people):
    cfg = load(f'_base_/datasets/{name}.py')
    samples, loader = first_batches(cfg, 2)
    assert len(samples) == 4 and samples[0].gt_masks.shape == (5, 1, 224, 224)
    # Two batches of two show as many people as there are.
    assert {sample.identity for sample in samples} == people
    assert len(loader.dataset) == {
        'face_clips': 2, 'voxceleb2': 5, 'vggface2': 2,
        'bupt_balancedface': 4}[name]
    assert cfg.val_dataloader.dataset.data_root == 'data/face_clips/val'


def test_another_root(data):
    (data / 'face_clips').rename(data / 'mine')
    cfg = load('_base_/datasets/face_clips.py', **{
        'train_dataloader.dataset.data_root': 'data/mine',
        'train_dataloader.dataset.split': 'train'})
    assert first_batches(cfg)[0][0].identity == 'ann'


def test_mixture(data):
    cfg = load('deca/deca_r50_1xb2-pretrain_mixed-faces.py', **{
        'train_dataloader.dataset.weights': [1, 1, 1, 1],
        'train_dataloader.dataset.datasets.3.races': ['Asian']})
    for part in cfg.train_dataloader.dataset.datasets:
        part.image_size = 16
    samples, loader = first_batches(cfg, 12)
    people = {sample.identity for sample in samples}
    assert {'ann', 'n000002', 'Asian/m.01x_y'} < people
    assert any(name.startswith('id0') for name in people)
    assert all('gt_masks' in sample for sample in samples)
    assert loader.dataset.shares().tolist() == [.25] * 4
