# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import os

import pytest
from setup_steps import mmcv_wheel
from setup_steps.errors import SetupError
from setup_steps.interpreter import Interpreter

from mmtvface.utils import cache_dir

PYTHON = Interpreter('/usr/bin/python3.11', (3, 11, 7), True, True, True,
                     'x86_64', '/nowhere')


def test_key_names_python_torch_platform_and_kind():
    environ = {'MMTVFACE_CACHE': '/cache'}
    cpu = mmcv_wheel.wheel_folder(environ, PYTHON, '2.11.0+cu130')
    assert str(cpu) == '/cache/wheels/cp311-torch2.11.0-linux_x86_64-cpu'
    cuda = mmcv_wheel.wheel_folder(
        {**environ, 'MMTVFACE_MMCV_CUDA': '1'}, PYTHON, '2.11.0')
    assert cuda.name.endswith('-cuda')


def test_cache_is_the_one_of_the_package(monkeypatch, tmp_path):
    for value in (str(tmp_path), None):
        if value:
            monkeypatch.setenv('MMTVFACE_CACHE', value)
        else:
            monkeypatch.delenv('MMTVFACE_CACHE')
        assert mmcv_wheel.cache_root(dict(os.environ)) == cache_dir()


def test_only_the_wanted_release_is_found(tmp_path):
    assert mmcv_wheel.find_wheel(tmp_path, '2.1.0') is None
    (tmp_path / 'mmcv-2.0.1-cp311-cp311-linux_x86_64.whl').write_text('')
    assert mmcv_wheel.find_wheel(tmp_path, '2.1.0') is None
    wheel = tmp_path / 'mmcv-2.1.0-cp311-cp311-linux_x86_64.whl'
    wheel.write_text('')
    assert mmcv_wheel.find_wheel(tmp_path, '2.1.0') == wheel


def test_missing_compiler_is_said_with_its_remedy():
    with pytest.raises(SetupError, match=r'No C\+\+ compiler.*apt install'):
        mmcv_wheel.check_compiler(PYTHON, {'PATH': '/nonexistent'})


def test_broken_compiler_is_named(tmp_path):
    broken = tmp_path / 'g++'
    broken.write_text('#!/bin/sh\nexit 1\n')
    broken.chmod(0o755)
    with pytest.raises(SetupError, match=r'"g\+\+" cannot compile C\+\+17'):
        mmcv_wheel.check_compiler(PYTHON, {'PATH': str(tmp_path)})


def test_missing_headers_are_said(tmp_path):
    compiler = tmp_path / 'g++'
    compiler.write_text('#!/bin/sh\nexit 0\n')
    compiler.chmod(0o755)
    environ = {'PATH': str(tmp_path)}
    assert mmcv_wheel.check_compiler(PYTHON, environ) == 'g++'
    with pytest.raises(SetupError, match='apt install python3.11-dev'):
        mmcv_wheel.check_compiler(PYTHON._replace(headers=False), environ)


def test_jobs_follow_the_user_or_the_machine():
    assert mmcv_wheel.jobs({'MAX_JOBS': '3'}) == 3
    assert 1 <= mmcv_wheel.jobs({}) <= len(os.sched_getaffinity(0))


def test_build_keeps_finished_parts_and_appears_at_once(
        tmp_path, monkeypatch):
    environ = {'MMTVFACE_CACHE': str(tmp_path)}
    folder = mmcv_wheel.wheel_folder(environ, PYTHON, '2.11.0')
    tree = folder / 'build' / 'mmcv-2.1.0'
    tree.mkdir(parents=True)
    (tree / 'setup.py').write_text('')
    (tree / 'ops.o').write_text('compiled before the interruption')
    seen = {}

    def compile_it(command, log, label, env, keep_open):
        seen.update(env=env, tree=command[-1])
        assert (tree / 'ops.o').is_file()
        out = folder / 'build' / 'out'
        out.mkdir()
        (out / 'mmcv-2.1.0-cp311-cp311-linux_x86_64.whl').write_text('wheel')
        return 0, ''

    monkeypatch.setattr(mmcv_wheel, 'run_logged', compile_it)
    monkeypatch.setattr(mmcv_wheel, 'check_compiler', lambda *_: 'g++')
    wheel = mmcv_wheel.build_wheel(
        PYTHON, '2.11.0', 'mmcv==2.1.0', tmp_path / 'log', environ)
    assert seen['tree'] == str(tree)
    assert seen['env']['MMCV_WITH_OPS'] == '1'
    assert seen['env']['CUDA_VISIBLE_DEVICES'] == ''
    assert wheel.read_text() == 'wheel'
    assert mmcv_wheel.find_wheel(folder, '2.1.0') == wheel
    assert not (folder / 'build').exists()


def test_failed_build_keeps_the_tree(tmp_path, monkeypatch):
    environ = {'MMTVFACE_CACHE': str(tmp_path)}
    folder = mmcv_wheel.wheel_folder(environ, PYTHON, '2.11.0')
    tree = folder / 'build' / 'mmcv-2.1.0'
    tree.mkdir(parents=True)
    (tree / 'setup.py').write_text('')
    monkeypatch.setattr(mmcv_wheel, 'run_logged',
                        lambda *_: (1, 'x.cpp:1: error: no such thing\n'))
    monkeypatch.setattr(mmcv_wheel, 'check_compiler', lambda *_: 'g++')
    with pytest.raises(SetupError, match='error: no such thing'):
        mmcv_wheel.build_wheel(PYTHON, '2.11.0', 'mmcv==2.1.0',
                               tmp_path / 'log', environ)
    assert tree.is_dir()
    assert mmcv_wheel.find_wheel(folder, '2.1.0') is None
