# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The command that trains SPyNet."""
import importlib.util
import re
from pathlib import Path

import pytest
import torch

from mmtvface.benchmarks.synthtv import scenes

TOOL = Path(__file__).resolve().parents[2] / 'tools/synthtv_flow.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('synthtv_flow', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_command_trains_saves_and_compares(tool, tmp_path, capsys,
                                           monkeypatch):
    for split, length in (('train', 3), ('val', 5)):
        monkeypatch.setitem(scenes.SCENE_LENGTH, split, length)
    out = tmp_path / 'new' / 'spynet.pth'
    code = tool.main(['--out', str(out), '--iters', '1', '--shared-iters',
                      '1', '--settle-iters', '1', '--clips', '1',
                      '--val-clips', '1'])
    told = capsys.readouterr().out
    assert code == 0
    state = torch.load(out, weights_only=True)['state_dict']
    assert sum(value.numel() for value in state.values()) == 6 * 240050 + 6
    assert state['basic_module.5.basic_module.4.conv.weight'].any()
    rows = re.findall(
        r'(\w+) +zero flow (\S+)  trained (\S+)  ratio (\S+)', told)
    assert [row[0] for row in rows] == ['easy', 'medium', 'hard']
    for _, zero, trained, ratio in rows:
        assert .01 < float(zero) < 1
        assert float(trained) / float(zero) == pytest.approx(
            float(ratio), abs=.005)


def test_a_missing_folder_is_told_before_the_training(tool, tmp_path,
                                                      capsys):
    code = tool.main(['--data', str(tmp_path / 'none'), '--out',
                      str(tmp_path / 'spynet.pth')])
    error = capsys.readouterr().err
    assert code == 2
    assert 'none/val_64' in error
    assert 'synthtv.py generate' in error


def test_bad_settings_are_named(tool, tmp_path, capsys):
    code = tool.main(['--out', str(tmp_path / 'spynet.pth'), '--lr', '-1'])
    assert code == 2
    assert 'lr must be positive' in capsys.readouterr().err
