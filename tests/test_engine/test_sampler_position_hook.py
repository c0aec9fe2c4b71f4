# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.runner import Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from test_hooks import PowerCut, PowerCutHook, assert_same, runner_config
from torch.utils.data import DataLoader

from mmtvface.datasets import BalancedClipSampler
from mmtvface.engine import RNGStateHook, SamplerPositionHook
from mmtvface.engine.hooks.rng_state_hook import rng_state


class Recorded(torch.utils.data.Dataset):
    """Remembers what was loaded."""

    def __init__(self):
        self.loaded = []

    def __len__(self):
        return 30

    def __getitem__(self, index):
        self.loaded.append(int(index))
        return int(index), index.draw if hasattr(index, 'draw') else -1


def runner_at(iteration, sampler=BalancedClipSampler, **kwargs):
    data = Recorded()
    loader = DataLoader(data, 2, sampler=sampler(data, seed=1, **kwargs))
    loop = SimpleNamespace(
        dataloader=loader,
        dataloader_iterator=_InfiniteDataloaderIterator(loader))
    return data, SimpleNamespace(
        train_loop=loop, iter=iteration, cfg={},
        logger=logging.getLogger('test'))


def batches(runner, count):
    return [[part.tolist() for part in next(
        runner.train_loop.dataloader_iterator)] for _ in range(count)]


def test_resumes_without_loading():
    data, unbroken = runner_at(0)
    SamplerPositionHook().before_train_epoch(unbroken)
    expected = batches(unbroken, 9)
    assert len(data.loaded) == 18
    data, resumed = runner_at(6)
    SamplerPositionHook().before_train_epoch(resumed)
    iterator = resumed.train_loop.dataloader_iterator
    # mmengine skips what was used before
    assert [next(iterator) for _ in range(6)] == [None] * 6
    assert data.loaded == []
    assert batches(resumed, 3) == expected[6:]
    assert expected[6][1] == [12, 13]  # draws


def test_works_with_the_random_states():
    """The states return after the loader drew its seed, before a batch."""
    hook = RNGStateHook()
    torch.manual_seed(3)
    state = rng_state()
    expected = torch.rand(2)
    hook.after_load_checkpoint(None, dict(rng_state=state))
    torch.manual_seed(4)
    _, resumed = runner_at(2)
    assert SamplerPositionHook.priority == 'HIGHEST'
    SamplerPositionHook().before_train_epoch(resumed)
    hook.before_train_epoch(resumed)
    iterator = resumed.train_loop.dataloader_iterator
    assert [next(iterator), next(iterator)] == [None, None]
    next(iterator)
    assert torch.equal(torch.rand(2), expected)


def test_leaves_other_samplers_alone():
    for kwargs in (dict(sampler=InfiniteSampler), dict(epoch_length=20)):
        data, resumed = runner_at(3, **kwargs)
        before = resumed.train_loop.dataloader_iterator
        SamplerPositionHook().before_train_epoch(resumed)
        assert resumed.train_loop.dataloader_iterator is before
    epoch_based = SimpleNamespace(train_loop=SimpleNamespace(), iter=3)
    SamplerPositionHook().before_train_epoch(epoch_based)
    assert vars(epoch_based.train_loop) == {}


def test_resumed_training_equals_an_unbroken_one(tmp_path, monkeypatch):
    """The whole runner: weights after 6 steps, and what was loaded."""
    from helpers.toy_reconstructor import ToyClips
    loaded = []
    get = ToyClips.__getitem__
    monkeypatch.setattr(ToyClips, '__getitem__', lambda self, index: (
        loaded.append(getattr(index, 'draw', None)), get(self, index))[1])
    hooks = [dict(type=f'mmtvface.{name}') for name in (
        'SafeCheckpointHook', 'RNGStateHook', 'SamplerPositionHook')]

    def config(*args, **kwargs):
        config = runner_config(*args, loop='iter', hooks=hooks, **kwargs)
        config['train_dataloader']['sampler'] = dict(
            type='BalancedClipSampler')
        return config

    whole = Runner(**config(tmp_path / 'whole', steps=6))
    whole.train()
    assert [draw for draw in loaded if draw is not None] == list(range(12))
    broken = Runner(**config(tmp_path / 'parts', steps=6))
    broken.register_hook(PowerCutHook())
    with pytest.raises(PowerCut):
        broken.train()
    torch.manual_seed(99)
    loaded.clear()
    resumed = Runner(**config(tmp_path / 'parts', steps=6, resume=True))
    resumed.train()
    assert [draw for draw in loaded if draw is not None] == [
        6, 7, 8, 9, 10, 11]
    assert_same(whole, resumed)
