# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import os
import pickle
import random
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from helpers.toy_reconstructor import toy_config, toy_rendering
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner

import mmtvface.evaluation  # noqa: F401  registers the metrics
from mmtvface.engine.hooks.rng_state_hook import rng_state, set_rng_state
from mmtvface.engine.safe_resume import strip_callables
from mmtvface.registry import HOOKS
from mmtvface.structures import FaceClipSample
from mmtvface.utils.safe_torch import allow_safe_globals


def runner_config(work_dir, loop, steps, resume=False, hooks=None, **changes):
    """Six clips in batches of two: an epoch has three iterations."""
    loader = dict(
        batch_size=2,
        num_workers=0,
        dataset=dict(type='mmtvface.ToyClips', jitter=0.05),
        collate_fn=dict(type='pseudo_collate'))
    by_epoch = loop == 'epoch'
    train_cfg = dict(
        type='EpochBasedTrainLoop', max_epochs=steps // 3,
        val_interval=1) if by_epoch else dict(
            type='IterBasedTrainLoop', max_iters=steps, val_interval=2)
    if hooks is None:
        hooks = [
            dict(type='mmtvface.SafeCheckpointHook'),
            dict(type='mmtvface.RNGStateHook')
        ]
    config = dict(
        model=toy_config(
            type='mmtvface.TemporalDECA',
            encoder=dict(type='ToyEncoder', dropout=0.3),
            losses=dict(
                landmark=dict(type='LandmarkLoss'),
                prior=dict(type='CodePriorLoss', name='shape')),
            shape_consistency=True),
        work_dir=str(work_dir),
        train_dataloader=loader | dict(
            sampler=dict(
                type='DefaultSampler' if by_epoch else 'InfiniteSampler',
                shuffle=True)),
        # Shuffled on purpose, and jittered: validation draws numbers.
        val_dataloader=loader | dict(
            sampler=dict(type='DefaultSampler', shuffle=True)),
        val_cfg=dict(),
        val_evaluator=[dict(type='mmtvface.LandmarkNME')],
        train_cfg=train_cfg,
        optim_wrapper=dict(
            optimizer=dict(type='Adam', lr=1e-3), clip_grad=dict(max_norm=5)),
        # Only OneCycleLR has a method in its state.
        param_scheduler=[
            dict(
                type='OneCycleLR',
                eta_max=1e-2,
                total_steps=6,
                by_epoch=False)
        ],
        default_hooks=dict(
            checkpoint=dict(
                type='CheckpointHook',
                by_epoch=by_epoch,
                interval=1 if by_epoch else 3),
            logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=hooks,
        randomness=dict(seed=7),
        resume=resume,
        log_level='ERROR',
        default_scope='mmtvface',
        experiment_name=f'{work_dir}_{steps}_{resume}'.replace('/', '_'))
    return config | changes


def train(*args, **kwargs):
    runner = Runner(**runner_config(*args, **kwargs))
    runner.train()
    return runner


def assert_same(first, second):
    for (name, a), (_, b) in zip(
            first.model.state_dict().items(),
            second.model.state_dict().items(),
            strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-6), name
    states = [
        runner.optim_wrapper.optimizer.state_dict()
        for runner in (first, second)
    ]
    assert states[0]['param_groups'] == states[1]['param_groups']
    for index, state in states[0]['state'].items():
        for key, value in state.items():
            other = states[1]['state'][index][key]
            assert torch.allclose(value, other, rtol=0, atol=1e-6), key


@pytest.fixture(params=['epoch', 'iter'])
def loop(request):
    return request.param


class PowerCut(Exception):
    pass


class PowerCutHook(Hook):
    priority = 'LOWEST'

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter == 3:  # in the fourth iteration
            raise PowerCut


def interrupted(work_dir, loop, **kwargs):
    """Three iterations, the power is cut in the fourth; three more."""
    runner = Runner(**runner_config(work_dir, loop, 6, **kwargs))
    runner.register_hook(PowerCutHook())
    with pytest.raises(PowerCut):
        runner.train()
    # What a new process would not remember.
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    return train(work_dir, loop, 6, resume=True, **kwargs)


@pytest.mark.gpu
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, loop):
    whole = train(tmp_path / 'whole', loop, 6)
    resumed = interrupted(tmp_path / 'parts', loop)
    assert resumed.iter == 6
    assert_same(whole, resumed)


def test_without_the_states_it_differs(tmp_path):
    # Otherwise the test above would prove nothing.
    whole = train(tmp_path / 'whole', 'epoch', 6)
    hooks = [dict(type='mmtvface.SafeCheckpointHook')]
    resumed = interrupted(tmp_path / 'parts', 'epoch', hooks=hooks)
    with pytest.raises(AssertionError):
        assert_same(whole, resumed)


def test_validation_does_not_change_training(tmp_path, loop):
    whole = train(tmp_path / 'whole', loop, 6)
    no_validation = dict(
        val_dataloader=None, val_cfg=None, val_evaluator=None)
    silent = train(tmp_path / 'silent', loop, 6, **no_validation)
    assert_same(whole, silent)


def test_checkpoints_load_safely(tmp_path):
    train(tmp_path, 'iter', 3)
    path = tmp_path / 'iter_3.pth'
    checkpoint = torch.load(path, weights_only=True)
    scheduler = checkpoint['param_schedulers'][0]
    assert scheduler['_global_step'] == 3 and 'anneal_func' not in scheduler
    assert checkpoint['rng_state']['numpy'][0] == 'MT19937'


def test_logged_history_continues(tmp_path, loop):
    whole = train(tmp_path / 'whole', loop, 6)
    resumed = interrupted(tmp_path / 'parts', loop)
    values = [
        runner.message_hub.get_scalar('train/loss').data
        for runner in (whole, resumed)
    ]
    assert len(values[0][0]) == 6
    assert np.allclose(values[0], values[1], rtol=0, atol=1e-6)


def test_weights_alone_start_a_new_training(tmp_path):
    train(tmp_path / 'first', 'epoch', 3)
    weights = str(tmp_path / 'first' / 'epoch_1.pth')
    runs = [
        train(tmp_path / name, 'epoch', 3, load_from=weights)
        for name in ('a', 'b')
    ]
    assert_same(*runs)
    state = torch.load(weights, weights_only=True)['rng_state']
    hook = HOOKS.build(dict(type='RNGStateHook'))
    hook.after_load_checkpoint(runs[0], dict(rng_state=state))
    before = torch.get_rng_state()
    runs[0].train_loop._iter = 0
    hook.before_train_epoch(runs[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_rng_state_round_trip(tmp_path):
    np.random.standard_normal()  # leaves half a pair behind
    torch.save(rng_state(), tmp_path / 'state.pth')
    draws = [torch.rand(3), np.random.standard_normal(3), random.random()]
    set_rng_state(torch.load(tmp_path / 'state.pth', weights_only=True))
    assert torch.equal(draws[0], torch.rand(3))
    assert np.array_equal(draws[1], np.random.standard_normal(3))
    assert draws[2] == random.random()


class _Evil:

    def __reduce__(self):
        return os.getcwd, ()


def test_code_in_checkpoints_stays_refused(tmp_path):
    assert allow_safe_globals()
    path = tmp_path / 'evil.pth'
    torch.save(dict(state_dict={}, hook=_Evil()), path)
    with pytest.raises(pickle.UnpicklingError, match='getcwd'):
        torch.load(path)


def test_old_torch_has_no_list(monkeypatch):
    monkeypatch.delattr(torch.serialization, 'add_safe_globals')
    assert allow_safe_globals() is False


@pytest.mark.parametrize('config', [
    dict(type='LinearLR'),
    dict(type='CosineAnnealingLR', T_max=5),
    dict(type='OneCycleLR', eta_max=1., total_steps=9),
    dict(type='ReduceOnPlateauLR'),
])
def test_every_scheduler_continues_from_its_stripped_state(config, tmp_path):

    def build():
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = OptimWrapper(torch.optim.SGD([weight], 0.1, momentum=0.5))
        return PARAM_SCHEDULERS.build(config | dict(optimizer=optimizer))

    def step(scheduler, loss):
        scheduler.optimizer.optimizer.step()
        if config['type'] == 'ReduceOnPlateauLR':
            scheduler.step(dict(loss=loss))
        else:
            scheduler.step()

    first = build()
    step(first, 1.)
    torch.save(strip_callables(first.state_dict()), tmp_path / 'state.pth')
    second = build()
    second.load_state_dict(torch.load(tmp_path / 'state.pth'))
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert second.last_step == first.last_step
    step(first, 2.), step(second, 2.)
    assert first._last_value == second._last_value


def test_visualization_hook_writes_grids(tmp_path):
    hook = dict(
        type='mmtvface.FaceVisualizationHook',
        interval=2,
        max_clips=3,
        max_frames=2)
    model = toy_config(type='mmtvface.TemporalDECA', **toy_rendering())
    runner = Runner(**runner_config(
        tmp_path, 'iter', 3, hooks=[hook], model=model))
    runner.val()
    files = sorted((tmp_path / 'visualization' / 'val').glob('*.png'))
    # Batches 0 and 2 of three, two clips each, at most three.
    assert len(files) == 3
    picture = cv2.imread(str(files[0]))
    # Input, landmarks, mesh, render of 32 x 32; two of the three frames.
    assert picture.shape == (4 * 32 + 3 * 2, 2 * 32 + 2, 3)
    rows = np.split(picture[:, :32], np.cumsum([32, 2, 32, 2, 32, 2]))[::2]
    for row in rows[1:]:
        assert not np.array_equal(row, rows[0])
    index = int(files[0].stem[-1])
    from helpers.toy_reconstructor import toy_clip
    clip = toy_clip(index)['inputs'][0].permute(1, 2, 0).numpy()
    assert np.array_equal(rows[0][..., ::-1], clip)


def test_windows_of_one_clip_get_files_of_their_own(tmp_path, monkeypatch):
    hook = HOOKS.build(dict(type='FaceVisualizationHook'))
    monkeypatch.setattr(hook, 'draw', lambda model, clip, sample: clip)
    runner = SimpleNamespace(model=torch.nn.Identity(), work_dir=tmp_path,
                             iter=7)
    clips = [np.full((2, 2, 3), gray, np.uint8) for gray in (10, 20)]
    samples = [FaceClipSample(metainfo=dict(clip_id='video 1'))] * 2
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, dict(inputs=clips), samples)
    files = sorted((tmp_path / 'visualization' / 'val').iterdir())
    assert [file.name for file in files] == [
        '0000007_0_video_1.png', '0000007_1_video_1.png']
    assert [cv2.imread(str(file)).mean() for file in files] == [10, 20]


def test_visualization_without_rendering_parts(tmp_path):
    hook = dict(type='mmtvface.FaceVisualizationHook', record=True)
    runner = Runner(**runner_config(
        tmp_path, 'iter', 3, hooks=[hook],
        visualizer=dict(
            type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])))
    runner.val()
    files = sorted((tmp_path / 'visualization' / 'val').glob('*.png'))
    assert len(files) == 2  # only the first batch of three
    assert cv2.imread(str(files[0])).shape == (2 * 32 + 2, 3 * 32 + 2 * 2, 3)
    assert len(list(tmp_path.glob('*/vis_data/vis_image/*.png'))) == 2
    with pytest.raises(ValueError, match='interval'):
        HOOKS.build(dict(type='FaceVisualizationHook', interval=0))
