# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import bootstrap
import pytest
from setup_steps import steps, torch_build
from setup_steps.errors import NoMatchError, SetupError
from setup_steps.interpreter import Interpreter

REPO = Path(__file__).resolve().parents[2]
STEPS = [step.name for step in bootstrap.STEPS]
CORE = ['build', 'torch', 'core', 'mediapipe', 'project']


class Checkout:
    """A copy of what the set-up reads, with a pip that only pretends."""

    def __init__(self, root, monkeypatch):
        self.root, self.calls, self.fail_at = root, [], None
        shutil.copytree(REPO / 'requirements', root / 'requirements')
        shutil.copy(REPO / 'setup.py', root)
        (root / 'mmtvface').mkdir()
        shutil.copy(REPO / 'mmtvface' / 'version.py', root / 'mmtvface')
        (root / '.venv' / '.mmtvface').mkdir(parents=True)
        self.site = root / 'site'
        self.site.mkdir()
        self.python = Interpreter(sys.executable, (3, 11, 7), True, True,
                                  True, 'x86_64', str(self.site))
        monkeypatch.setattr(bootstrap, 'pip_install', self.pip)
        monkeypatch.setattr(bootstrap, 'install_mmcv', self.mmcv)
        monkeypatch.setattr(bootstrap, 'install_torch', self.torch)
        self.torch_version = '2.11.0'
        monkeypatch.setattr(bootstrap, 'verify', lambda *_: None)
        monkeypatch.setattr(bootstrap, 'check_space', lambda *_: None)

    def add(self, name, version='1.0'):
        entry = self.site / f'{name.replace("-", "_")}-{version}.dist-info'
        entry.mkdir(exist_ok=True)
        (entry / 'INSTALLER').write_text('pip\n')

    def pip(self, python, title, arguments, root, log, lock):
        step = next(s for s in bootstrap.STEPS if s.title == title)
        self.calls.append(step.name)
        if step.name == self.fail_at:
            raise SetupError('stopped')
        for name in bootstrap.packages_of(step, root):
            self.add(name)

    def mmcv(self, python, root, log, lock):
        self.calls.append('mmcv')
        self.add('mmcv', '2.1.0')

    def torch(self, python, temporal, root, log, lock):
        self.calls.append('torch')
        self.add('torch', self.torch_version)
        self.add('numpy', '1.26.4')

    def install(self, group='tests'):
        self.calls.clear()
        ran = bootstrap.install(self.python, self.root, 0, group)
        # A step may find that there is nothing to do.
        assert ran >= len(self.calls)
        return list(self.calls)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    return Checkout(tmp_path, monkeypatch)


def test_every_step_runs_once(checkout):
    assert checkout.install() == STEPS
    assert checkout.install() == []


def test_the_core_leaves_the_rest_out(checkout):
    assert checkout.install('core') == CORE
    assert checkout.install('core') == []
    assert checkout.install('temporal') == [
        'torchvision', 'temporal', 'mmcv', 'mmagic']
    assert checkout.install('tests') == ['tests']
    assert checkout.install('core') == []


def test_the_groups_say_what_the_core_does_without():
    names = {group: {
        name for step in bootstrap.STEPS if step.group == group
        for file in step.files if not file.endswith('constraints.txt')
        and file.startswith('requirements/')
        for name in steps.required(REPO / file)} for group in steps.GROUPS}
    assert {'mediapipe', 'torch', 'numba', 'av'} <= names['core']
    assert {'mmcv', 'mmagic', 'diffusers', 'transformers', 'lpips', 'einops',
            'pandas', 'torchvision'} <= names['temporal']
    assert not names['core'] & names['temporal']


def test_the_torch_of_the_temporal_models_serves_the_core(checkout):
    checkout.torch_version = '2.13.0+cpu'
    assert checkout.install('core') == CORE
    shutil.rmtree(checkout.site / 'torch-2.13.0+cpu.dist-info')
    checkout.add('torch', '2.11.0')
    assert checkout.install('core') == []


def test_a_torch_that_was_tested_stays(checkout):
    checkout.add('torch', '2.11.0')
    assert 'torch' not in checkout.install()


def test_an_interrupted_set_up_continues(checkout):
    checkout.fail_at = 'core'
    with pytest.raises(SetupError):
        checkout.install()
    half = checkout.site / 'scipy-1.13.1.dist-info'
    half.mkdir()
    checkout.fail_at = None
    assert checkout.install() == STEPS[STEPS.index('core'):]
    assert not half.exists()


def test_an_edited_file_repeats_its_step_only(checkout):
    checkout.install()
    with open(checkout.root / 'requirements' / 'tests.txt', 'a') as stream:
        stream.write('pytest-cov\n')
    assert checkout.install() == ['tests']


def test_another_torch_asks_for_another_mmcv(checkout):
    checkout.install()
    shutil.rmtree(checkout.site / 'torch-2.11.0.dist-info')
    checkout.add('torch', '9.9')
    assert checkout.install() == ['torch', 'mmcv']


def test_a_moved_checkout_installs_the_project_again(
        checkout, tmp_path, monkeypatch):
    checkout.install()
    moved = tmp_path / 'elsewhere'
    moved.mkdir()
    for name in ('requirements', 'setup.py', 'mmtvface', '.venv'):
        shutil.move(str(checkout.root / name), str(moved / name))
    checkout.root = moved
    assert checkout.install() == ['project']


def test_a_stack_of_the_users_own_is_kept(checkout, monkeypatch):
    for name, version in (('torch', '2.1.2'), ('torchvision', '0.16.2'),
                          ('mmcv', '2.1.0')):
        checkout.add(name, version)
    monkeypatch.setattr(bootstrap.mmcv_wheel, 'works', lambda *_: True)
    assert checkout.install() == [
        s for s in STEPS if s not in ('torch', 'torchvision', 'mmcv')]
    assert checkout.install() == []


def test_a_broken_stack_is_not_kept(checkout, monkeypatch):
    for name in ('torch', 'torchvision', 'mmcv'):
        checkout.add(name, '2.1.0')
    monkeypatch.setattr(bootstrap.mmcv_wheel, 'works', lambda *_: False)
    assert checkout.install() == STEPS


def test_requirements_are_read_without_comments(tmp_path):
    file = tmp_path / 'r.txt'
    file.write_text('# a comment\nPyYAML>=6  # why\n\nlmdb\nopen_cv-x==1\n')
    assert steps.required(file) == ['pyyaml', 'lmdb', 'open-cv-x']


def test_every_pin_has_a_reason():
    for file in (REPO / 'requirements').glob('*.txt'):
        for line in file.read_text().splitlines():
            if '==' in line and not line.startswith('#'):
                explained = '#' in line or 'python_version' in line or \
                    'repeated next year' in file.read_text()
                assert explained, f'{file.name}: {line}'


def test_low_disk_space_shows_both_amounts(monkeypatch, tmp_path):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(bootstrap.shutil, 'disk_usage',
                        lambda _: usage(0, 0, 3 << 30))
    bootstrap.check_space(tmp_path, 2 << 30)
    with pytest.raises(SetupError, match=r'Only 3\.0 GB .* needs 12 GB'):
        bootstrap.check_space(tmp_path, 12 << 30)


def test_a_machine_without_a_gpu_gets_the_cpu_build(monkeypatch, tmp_path):
    monkeypatch.setattr(torch_build, 'DEVICES', (str(tmp_path / 'gpu'), ))
    monkeypatch.setattr(torch_build, '_is_reachable', lambda: True)
    monkeypatch.setattr(torch_build.platform, 'machine', lambda: 'x86_64')
    nowhere = {'PATH': str(tmp_path)}
    first, *others = torch_build.candidates(REPO, environ=nowhere)
    assert first == ('torch==2.11.0+cpu', 'numpy==1.26.4',
                     '--extra-index-url', torch_build.CPU_INDEX)
    assert others[-1] == torch_build.CUDA
    assert len(others) == 2
    # mmcv and torchvision fit one release.
    assert len(torch_build.candidates(REPO, True, nowhere)) == 2
    monkeypatch.setattr(torch_build, '_is_reachable', lambda: False)
    assert torch_build.candidates(REPO, environ=nowhere)[0] == first[:2]
    (tmp_path / 'gpu').write_text('')
    assert torch_build.candidates(REPO, environ=nowhere) == [torch_build.CUDA]
    nowhere['MMTVFACE_TORCH'] = 'cpu'
    assert torch_build.candidates(REPO, environ=nowhere)[0] == first[:2]
    nowhere['MMTVFACE_TORCH'] = 'rocm'
    with pytest.raises(SetupError, match='MMTVFACE_TORCH=rocm'):
        torch_build.candidates(REPO, environ=nowhere)


def test_every_torch_that_is_installed_is_known():
    for name in ('torch', 'torch_cpu'):
        for line in torch_build._lines(REPO, name):
            if line.startswith('torch=='):
                assert line.removeprefix('torch==') in torch_build.TESTED


def test_the_next_build_of_torch_is_tried(monkeypatch):
    asked = []

    def pip(python, title, arguments, *_):
        asked.append(arguments)
        if arguments != torch_build.CUDA:
            raise NoMatchError('no such release')

    monkeypatch.setattr(torch_build, 'candidates',
                        lambda *_: [('torch==1+cpu', ), torch_build.CUDA])
    monkeypatch.setattr(bootstrap, 'pip_install', pip)
    monkeypatch.setattr(bootstrap, 'check_space', lambda *_: None)
    bootstrap.install_torch(None, False, REPO, None, 0)
    assert asked == [('torch==1+cpu', ), torch_build.CUDA]


def test_pip_of_the_environment_is_not_misled(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', '/elsewhere')
    monkeypatch.setenv('PIP_INDEX_URL', 'kept')
    env = bootstrap.pip_environment()
    assert 'PYTHONPATH' not in env and env['PIP_INDEX_URL'] == 'kept'


def copy_tools(root):
    for name in ('tools', 'requirements'):
        shutil.copytree(REPO / name, root / name,
                        ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(REPO / 'setup.py', root)
    (root / 'mmtvface').mkdir()
    shutil.copy(REPO / 'mmtvface' / 'version.py', root / 'mmtvface')


def run_bootstrap(root, **environ):
    return subprocess.run(
        [sys.executable, str(root / 'tools' / 'bootstrap.py')], text=True,
        capture_output=True, env={
            **os.environ, 'MMTVFACE_CACHE': str(root / 'cache'), **environ})


def test_errors_are_one_line_without_traceback(tmp_path):
    copy_tools(tmp_path)
    done = run_bootstrap(tmp_path, PYTHON='/nonexistent/python')
    assert done.returncode == 1
    assert done.stderr == (
        'set-up stopped: PYTHON=/nonexistent/python does not run: set PYTHON '
        'to a working Python (3.10, 3.11, 3.12) or unset it.\n')


def test_unwritable_cache_is_said(tmp_path):
    copy_tools(tmp_path)
    (tmp_path / 'file').write_text('')
    done = run_bootstrap(tmp_path, MMTVFACE_CACHE=str(tmp_path / 'file'))
    assert done.returncode == 1
    assert 'set MMTVFACE_CACHE to a folder' in done.stderr


def test_no_network_is_said_and_the_next_run_continues(tmp_path):
    copy_tools(tmp_path)
    offline = dict(
        PYTHON=sys.executable, PIP_CONFIG_FILE=os.devnull, PIP_RETRIES='1',
        PIP_INDEX_URL='http://127.0.0.1:9/simple', PIP_EXTRA_INDEX_URL='',
        PIP_FIND_LINKS='', PIP_NO_CACHE_DIR='1')
    for _ in range(2):
        done = run_bootstrap(tmp_path, **offline)
        assert done.returncode == 1
        assert done.stderr.count('\n') == 1
        assert 'cannot reach its package index' in done.stderr
    assert 'making .venv' not in done.stdout
    log = tmp_path / '.venv' / '.mmtvface' / 'install.log'
    assert '-r requirements/build.txt' in log.read_text()
