# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The command lines of the converters, on small models."""
import importlib.util
import json
import pickle
import subprocess
import sys
from pathlib import Path

import helpers.toy_reconstructor  # noqa: F401 (registers types)
import pytest
import torch
from mmengine.config import Config

from mmtvface.registry import MODELS
from mmtvface.utils.setup_env import register_all_modules

TOOLS = Path(__file__).resolve().parents[2] / 'tools' / 'model_converters'
CONFIG = """
model = dict(
    type='TemporalDECA',
    encoder=dict(type='ResNetEncoder', depth=18, base_channels=4),
    regressor=dict(type='FLAMEHead', layout=dict(shape=4, tex=3, exp=3),
              hidden_channels=8),
    flame=dict(type='ToyFlame'),
    losses=dict(landmark=dict(type='LandmarkLoss')))
"""


def tool(name):
    spec = importlib.util.spec_from_file_location(
        f'{name}_to_mmtvface', TOOLS / f'{name}_to_mmtvface.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def small(tmp_path):
    """A config, and weights of its model under DECA's names."""
    register_all_modules()
    path = tmp_path / 'small.py'
    path.write_text(CONFIG)
    torch.manual_seed(3)
    model = MODELS.build(Config.fromfile(path).model)
    names = {key: key.removeprefix('regressor.') for key in model.state_dict()}
    torch.save(dict(E_flame={names[key]: value for key, value
                             in model.state_dict().items()},
                    opt=dict(state={0: dict(step=torch.tensor(3.))}),
                    global_step=12), tmp_path / 'seed.tar')
    return path, tmp_path / 'seed.tar', model.state_dict()


def run(capsys, name, *arguments):
    code = tool(name)([str(word) for word in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_deca(small, tmp_path, capsys):
    config, source, expected = small
    target, report = tmp_path / 'new' / 'deca.pth', tmp_path / 'report.json'
    code, out, err = run(
        capsys, 'deca', source, target, '--config', config, '--report',
        report, '--config-out', tmp_path / 'new' / 'deca.py',
        '--cfg-options', 'model.skip_nonfinite=True')
    assert code == 0, err
    checkpoint = torch.load(target, weights_only=True)
    assert checkpoint['state_dict'].keys() == expected.keys()
    assert all(torch.equal(checkpoint['state_dict'][key], expected[key])
               for key in expected)
    origin = checkpoint['meta']['converted_from']
    assert origin['file'] == 'seed.tar' and origin['global_step'] == 12
    assert len(origin['sha256']) == 64
    plain = json.loads(report.read_text())
    assert plain['counts'] == dict(mapped=len(expected), unused=1, missing=0)
    assert len(plain['tensors']) == len(expected) + 1
    # The written config is the one of the weights.
    written = Config.fromfile(tmp_path / 'new' / 'deca.py').model
    assert written.skip_nonfinite and 'losses' in written
    MODELS.build(written).load_state_dict(checkpoint['state_dict'])
    for part in ('E_flame.encoder.layer1', 'encoder.layer1', 'mapped',
                 'state of the optimizer', 'no E_detail', f'wrote {target}'):
        assert part in out


def test_nothing_is_written_in_a_dry_run_or_over_older_files(
        small, tmp_path, capsys):
    config, source, _ = small
    target = tmp_path / 'deca.pth'
    words = (source, target, '--config', config)
    code, out, _ = run(capsys, 'deca', *words, '--dry-run')
    assert code == 0 and 'was not written' in out and not target.exists()
    target.write_text('older')
    code, _, err = run(capsys, 'deca', *words)
    assert code == 2 and '--force replaces it' in err
    assert target.read_text() == 'older'
    assert run(capsys, 'deca', *words, '--force')[0] == 0
    assert torch.load(target, weights_only=True)['state_dict']


@pytest.mark.parametrize('extra', [
    ('{source}', '--force'), ('{link}', '--force'),
    ('{new}', '--report', '{source}'), ('{new}', '--config-out', '{link}')])
def test_the_source_is_never_replaced(small, tmp_path, capsys, extra):
    config, source, _ = small
    before = source.read_bytes()
    link = tmp_path / 'link.pth'
    link.symlink_to(source)
    new = tmp_path / 'new.pth'
    words = [word.format(source=source, link=link, new=new)
             for word in extra]
    code, _, err = run(capsys, 'deca', source, *words, '--config', config)
    assert code == 2 and 'is both the file to convert' in err
    assert source.read_bytes() == before and link.is_symlink()
    assert not new.exists()


def test_errors_are_one_line_and_leave_no_file(small, tmp_path, capsys):
    config, source, _ = small
    target = tmp_path / 'deca.pth'
    content = torch.load(source, weights_only=True)
    content['E_flame']['encoder.odd'] = torch.zeros(1)
    torch.save(content, source)
    code, out, err = run(capsys, 'deca', source, target, '--config', config)
    assert code == 2 and not out
    assert err.startswith('error: seed.tar does not fit the model')
    assert 'E_flame.encoder.odd' in err and err.count('\n') == 1
    code, _, err = run(capsys, 'deca', tmp_path / 'none.tar', target,
                       '--config', config)
    assert code == 2 and 'none.tar' in err and 'yfeng95/DECA' in err
    code, _, err = run(capsys, 'deca', source, target, '--config', config,
                       '--flame', tmp_path / 'flame')
    assert code == 2 and 'There is no folder' in err
    assert not list(tmp_path.glob('*.pth'))


def test_spynet(tmp_path, capsys):
    from mmtvface.converters.spynet import spynet_tensors
    state = {key: torch.rand(value.shape)
             for key, value in spynet_tensors().items()}
    torch.save(dict(state_dict={f'generator.spynet.{key}': value
                                for key, value in state.items()}),
               tmp_path / 'vsr.pth')
    target = tmp_path / 'spynet.pth'
    code, out, err = run(capsys, 'spynet', tmp_path / 'vsr.pth', target)
    assert code == 0, err
    written = torch.load(target, weights_only=True)
    assert all(torch.equal(written['state_dict'][key], value)
               for key, value in state.items())
    assert written['meta']['converted_from']['kind'] == 'SPyNet'
    code, _, err = run(capsys, 'spynet', tmp_path / 'vsr.pth', target,
                       '--force', '--prefix', 'x')
    assert code == 2 and 'state_dict.generator.spynet' in err


@pytest.mark.parametrize('name, file', [('vggface2', 'weights.pkl'),
                                        ('basicvsrpp', 'vsr.pth')])
def test_other_files_are_refused(name, file, tmp_path, capsys):
    (tmp_path / file).write_bytes(b'<html>')
    code, _, err = run(capsys, name, tmp_path / file, tmp_path / 'out.pth')
    assert code == 2 and file in err and 'web page' in err
    assert not (tmp_path / 'out.pth').exists()


class Payload:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


@pytest.mark.parametrize('name', ['deca', 'basicvsrpp', 'spynet', 'vggface2'])
def test_code_in_a_file_is_refused_and_not_run(name, tmp_path, capsys):
    content = dict(E_flame={'layers.0.bias': torch.zeros(1)},
                   extra=Payload(tmp_path / 'trace'))
    torch.save(content, tmp_path / 'bad.tar')
    if name == 'vggface2':
        (tmp_path / 'bad.tar').write_bytes(pickle.dumps(content))
    code, _, err = run(capsys, name, tmp_path / 'bad.tar',
                       tmp_path / 'out.pth')
    assert code == 2 and 'bad.tar was refused' in err
    assert not list(tmp_path.glob('[!b]*'))


def test_help(tmp_path, capsys):
    # One from another folder, in a process of its own.
    path = TOOLS / 'spynet_to_mmtvface.py'
    done = subprocess.run([sys.executable, path, '--help'], text=True,
                          capture_output=True, cwd=tmp_path, check=True)
    assert '--prefix' in done.stdout
    for name in ('deca', 'basicvsrpp', 'spynet', 'vggface2'):
        with pytest.raises(SystemExit) as end:
            run(capsys, name, '--help')
        assert end.value.code == 0
        text = capsys.readouterr().out
        assert '--dry-run' in text and '--report' in text
