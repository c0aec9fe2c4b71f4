# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Real runs of the tools, in one process and in two."""
import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parents[1] / 'tools'
CONFIG = HERE / 'toy_distributed.py'


def environment():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    return {**os.environ, 'PORT': str(port), 'PYTHON': sys.executable,
            'PYTHONPATH': os.pathsep.join((str(HERE), str(HERE.parent))),
            'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}


def run(command):
    done = subprocess.run(
        [str(part) for part in command], env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def weights(folder, iteration=6):
    file = torch.load(folder / f'iter_{iteration}.pth', weights_only=False)
    return {k: v for k, v in file['state_dict'].items()
            if v.is_floating_point()}


def largest_difference(first, second):
    assert first.keys() == second.keys()
    return max((first[k] - second[k]).abs().max().item() for k in first)


def train(folder, *options):
    return run([sys.executable, TOOLS / 'train.py', CONFIG, '--work-dir',
                folder, *options])


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """Work dir of the training in one process."""
    folder = tmp_path_factory.mktemp('alone')
    train(folder)
    return folder


def test_two_processes_train_like_one(alone, tmp_path):
    output = run(['bash', TOOLS / 'dist_train.sh', CONFIG, 2, '--work-dir',
                  tmp_path, '--cfg-options',
                  'train_dataloader.batch_size=2'])
    assert 'GPU number: 2' in output
    one, two = weights(alone), weights(tmp_path)
    assert largest_difference(one, two) < 1e-5
    # The comparison means something: the training moves the weights.
    assert largest_difference(one, weights(alone, 5)) > 1e-3


def test_two_processes_measure_like_one(alone, tmp_path):
    checkpoint = alone / 'iter_6.pth'
    one, two = tmp_path / 'one.json', tmp_path / 'two.json'
    run([sys.executable, TOOLS / 'test.py', CONFIG, checkpoint, '--work-dir',
         tmp_path / 'a', '--out', one])
    run(['bash', TOOLS / 'dist_test.sh', CONFIG, checkpoint, 2, '--work-dir',
         tmp_path / 'b', '--out', two])
    one, two = json.loads(one.read_text()), json.loads(two.read_text())
    assert one and one == pytest.approx(two, rel=1e-5)


def test_a_time_limit_and_a_resume_change_nothing(alone, tmp_path):
    output = train(tmp_path, '--max-minutes', '1e-9')
    assert 'Stopped after iteration 1:' in output
    assert not (tmp_path / 'iter_6.pth').exists()
    train(tmp_path, '--resume')
    assert largest_difference(weights(alone), weights(tmp_path)) == 0


def load_tool(name):
    spec = importlib.util.spec_from_file_location(
        f'tool_{name}', TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(('tool', 'arguments', 'words'), [
    ('train', ['missing.py'], 'no config file missing.py'),
    ('train', [CONFIG, '--resume', 'x.pth'], 'no checkpoint x.pth'),
    ('test', [CONFIG, 'x.pth'], 'no checkpoint x.pth'),
    ('test', [CONFIG, CONFIG, '--out', 'x.txt'], 'must end with .json'),
])
def test_wrong_arguments_are_named(tool, arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        load_tool(tool).main([str(a) for a in arguments])
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_a_config_without_a_test_part_is_explained():
    with pytest.raises(ValueError, match='x.py has no test_dataloader'):
        load_tool('test').needs_test_part(Config(), 'x.py')


def test_mixed_precision_asks_for_a_gpu(monkeypatch):
    tool = load_tool('train')
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.))))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='--amp needs a GPU'):
        tool.use_amp(cfg)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    tool.use_amp(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    cfg.optim_wrapper.type = 'ApexOptimWrapper'
    with pytest.raises(ValueError, match='config has ApexOptimWrapper'):
        tool.use_amp(cfg)


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_tools_work_without_an_installation(tool, tmp_path):
    code = f'''
import importlib.util, runpy, sys
root, tools = {str(TOOLS.parent)!r}, {str(TOOLS)!r}
sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f)]
sys.path = [tools, *(p for p in sys.path if p != root)]
sys.argv = ['tool', '--help']
assert importlib.util.find_spec('mmtvface') is None
try:
    runpy.run_path(tools + '/{tool}.py', run_name='__main__')
except SystemExit as stop:
    assert not stop.code
import mmtvface
assert mmtvface.__file__.startswith(root)
'''
    done = subprocess.run([sys.executable, '-c', code], cwd=tmp_path,
                          text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('script', ['dist_train', 'dist_test', 'slurm_train',
                                    'slurm_test'])
def test_shell_tools_show_their_usage(script):
    done = subprocess.run(['bash', TOOLS / f'{script}.sh'], text=True,
                          capture_output=True)
    assert done.returncode == 2
    assert f'usage: bash tools/{script}.sh' in done.stderr
