# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest
import torch
from helpers.toy_reconstructor import toy_config, toy_detail
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from test_hooks import runner_config
from torch import nn

from mmtvface.engine import TrainableParametersConstructor


class Net(nn.Module):

    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.mixed = nn.Linear(2, 2)
        self.mixed.bias.requires_grad_(False)
        self.free = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


def construct(net, optimizer=None, paramwise=None,
              kind=TrainableParametersConstructor):
    cfg = dict(optimizer=optimizer or dict(type='Adam', lr=.1))
    return kind(cfg, paramwise)(net).optimizer


def given(optimizer):
    return [p for group in optimizer.param_groups for p in group['params']]


def identities(parameters):
    return [id(p) for p in parameters]


def test_frozen_parameters_are_left_out():
    net = Net()
    optimizer = construct(net)
    assert identities(given(optimizer)) == identities(
        [net.mixed.weight, *net.free.parameters()])
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize('wrapped', [False, True])
def test_options_for_parts_of_the_model_still_work(wrapped):
    net = Net()
    model = nn.DataParallel(net) if wrapped else net
    optimizer = construct(
        model, dict(type='AdamW', lr=.1, weight_decay=.5),
        dict(norm_decay_mult=0., custom_keys={
            'frozen': dict(lr_mult=3.), 'mixed': dict(lr_mult=.1)}))
    options = {id(group['params'][0]): (group['lr'], group['weight_decay'])
               for group in optimizer.param_groups}
    expected = {net.mixed.weight: (.01, .5), net.free[0].weight: (.1, .5),
                net.free[0].bias: (.1, .5), net.free[1].weight: (.1, 0.),
                net.free[1].bias: (.1, 0.)}
    assert options == {id(p): pytest.approx(v) for p, v in expected.items()}


def test_states_made_at_construction_go_too():
    net = Net()
    optimizer = construct(net, dict(type='Adagrad', lr=.1))
    assert len(optimizer.state) == 5
    state = optimizer.state_dict()
    assert len(state['state']) == 5
    optimizer.load_state_dict(state)
    net.free(torch.rand(4, 2)).sum().backward()
    optimizer.step()


def test_all_trainable_is_the_default_constructor():
    # Old checkpoints can be resumed then.
    net = Net().requires_grad_(True)
    ours = construct(net).state_dict()
    wrapper = build_optim_wrapper(
        net, dict(optimizer=dict(type='Adam', lr=.1)))
    assert ours == wrapper.optimizer.state_dict()


def test_nothing_to_train():
    with pytest.raises(ValueError, match='all parameters.*frozen'):
        construct(Net().requires_grad_(False))


# ------------------------------------------------- from stage to stage
def runner(work_dir, steps, model, **changes):
    config = runner_config(
        work_dir, 'iter', steps, model=model, param_scheduler=None,
        val_dataloader=None, val_cfg=None, val_evaluator=None)
    return Runner(**config | changes)


def weights(runner, detail):
    return {name: value.clone()
            for name, value in runner.model.state_dict().items()
            if name.startswith('detail.') == detail}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


class Start(Hook):
    """Remembers the weights with which the training begins."""

    def before_train(self, runner):
        self.coarse, self.detail = (
            weights(runner, detail) for detail in (False, True))


def test_weights_go_from_the_coarse_to_the_detail_stage(tmp_path):
    kind = 'mmtvface.TemporalDECA'
    coarse = runner(tmp_path / 'coarse', 3, toy_config(type=kind))
    coarse.train()
    source = weights(coarse, False)
    model = toy_config(type=kind, **toy_detail(detail_consistency=True))
    adam = dict(
        constructor='mmtvface.TrainableParametersConstructor',
        optimizer=dict(type='Adam', lr=1e-3), clip_grad=dict(max_norm=5))
    settings = dict(load_from=str(tmp_path / 'coarse' / 'iter_3.pth'),
                    optim_wrapper=adam)
    detail = runner(tmp_path / 'detail', 3, model, **settings)
    start = Start()
    detail.register_hook(start)
    detail.train()
    assert_equal(start.coarse, source)
    fresh = start.detail
    # Bit by bit, running statistics included.
    assert any('running_var' in name for name in source)
    assert_equal(weights(detail, False), source)
    trained = weights(detail, True)
    assert not any(torch.equal(trained[name], value)
                   for name, value in fresh.items() if 'weight' in name)
    saved = torch.load(tmp_path / 'detail' / 'iter_3.pth')['optimizer']
    names = [name for name, _ in detail.model.named_parameters()
             if name.startswith('detail.')]
    assert len(saved['param_groups'][0]['params']) == len(names)
    assert len(saved['state']) == len(names)
    # The stage itself can be resumed.
    more = runner(tmp_path / 'detail', 6, model, optim_wrapper=adam,
                  resume=True)
    more.train()
    assert more.iter == 6
    assert_equal(weights(more, False), source)
