# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
from pathlib import Path

import pytest
import torch
from helpers.toy_reconstructor import toy_config
from mmengine.runner import Runner

from mmtvface.registry import HOOKS

LOOPS = dict(
    epoch=dict(type='EpochBasedTrainLoop', max_epochs=4),
    iter=dict(type='IterBasedTrainLoop', max_iters=12))


def train(work_dir, loop, minutes, resume=False):
    """Six clips in batches of two: an epoch has three iterations."""
    runner = Runner(
        model=toy_config(type='mmtvface.TemporalDECA'),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            dataset=dict(type='mmtvface.ToyClips'),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate')),
        train_cfg=LOOPS[loop],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3)),
        default_hooks=dict(checkpoint=None),
        custom_hooks=[
            dict(type='mmtvface.SafeCheckpointHook'),
            dict(type='mmtvface.TimeLimitHook', minutes=minutes)
        ],
        resume=resume,
        log_level='ERROR',
        default_scope='mmtvface',
        experiment_name=f'{work_dir}_{minutes}'.replace('/', '_'))
    runner.train()
    return runner


@pytest.mark.parametrize('loop, name, iterations', [
    ('iter', 'iter_1.pth', 1),
    ('epoch', 'epoch_1.pth', 3),
])
def test_stops_saves_once_and_can_be_resumed(tmp_path, loop, name,
                                             iterations):
    runner = train(tmp_path, loop, 1e-9)
    assert runner.iter == iterations
    assert [path.name for path in tmp_path.glob('*.pth')] == [name]
    assert Path((tmp_path / 'last_checkpoint').read_text()).name == name
    meta = torch.load(tmp_path / name, weights_only=True)['meta']
    assert meta['iter'] == iterations
    assert meta['epoch'] == (1 if loop == 'epoch' else 0)
    assert train(tmp_path, loop, 60., resume=True).iter == 12


def test_enough_time_changes_nothing(tmp_path):
    assert train(tmp_path, 'epoch', 60.).iter == 12
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize('limits', [dict(minutes=0.),
                                    dict(minutes=1., interval=0)])
def test_limits_are_positive(limits):
    with pytest.raises(ValueError, match='must be positive'):
        HOOKS.build(dict(type='TimeLimitHook', **limits))
