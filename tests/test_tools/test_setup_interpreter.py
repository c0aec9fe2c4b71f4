# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
import os
import subprocess
import sys

import pytest
from setup_steps.errors import SetupError
from setup_steps.interpreter import (
    Interpreter,
    _repair_moved,
    find_interpreter,
    prepare_venv,
    probe,
)


def fake_python(folder, name, version=None, headers=True, ensurepip=True):
    """A program that answers the probe; without a version it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / name
    answer = json.dumps(Interpreter(
        str(script), version, headers, ensurepip, True, 'x86_64',
        str(folder))._asdict())
    body = f"echo '{answer}'" if version else 'exit 127'
    script.write_text(f'#!/bin/sh\n{body}\n')
    script.chmod(0o755)
    return script


def environment(*folders, **extra):
    return {'PATH': os.pathsep.join(map(str, folders)),
            'PYENV_ROOT': '/nonexistent', **extra}


def test_probe_tells_the_truth_about_this_python():
    found = probe(sys.executable)
    assert tuple(found.version) == tuple(sys.version_info[:3])
    assert found.pip
    assert found.supported == ((3, 10) <= sys.version_info[:2] <= (3, 12))


def test_placeholders_are_passed_over(tmp_path):
    fake_python(tmp_path / 'a', 'python3.11')
    good = fake_python(tmp_path / 'b', 'python3.11', (3, 11, 9))
    found = find_interpreter(environment(tmp_path / 'a', tmp_path / 'b'))
    assert found.executable == str(good)


def test_a_python_with_headers_and_venv_is_preferred(tmp_path):
    fake_python(tmp_path, 'python3.11', (3, 11, 2), headers=False)
    good = fake_python(tmp_path, 'python3.12', (3, 12, 1))
    assert find_interpreter(environment(tmp_path)).executable == str(good)


def test_python_variable_overrules_the_search(tmp_path):
    fake_python(tmp_path, 'python3.11', (3, 11, 2))
    own = fake_python(tmp_path / 'own', 'python', (3, 10, 1))
    found = find_interpreter(environment(tmp_path, PYTHON=str(own)))
    assert found.executable == str(own)


@pytest.mark.parametrize(('version', 'words'), [
    ((3, 13, 0), ('is Python 3.13.0', '3.10, 3.11, 3.12')),
    (None, ('does not run',)),
])
def test_wrong_python_variable_is_named(tmp_path, version, words):
    own = fake_python(tmp_path, 'python', version)
    with pytest.raises(SetupError) as error:
        find_interpreter(environment(tmp_path, PYTHON=str(own)))
    for word in (*words, f'PYTHON={own}'):
        assert word in str(error.value)


def test_no_usable_python_says_what_was_found(tmp_path):
    fake_python(tmp_path, 'python3', (3, 9, 18))
    with pytest.raises(SetupError, match=r'found only 3\.9\.18.*install'):
        find_interpreter(environment(tmp_path))


def test_python_without_venv_names_the_package(tmp_path):
    fake_python(tmp_path / 'bin', 'python3.11', (3, 11, 2), ensurepip=False)
    with pytest.raises(SetupError, match='apt install python3.11-venv'):
        prepare_venv(tmp_path / '.venv', environment(tmp_path / 'bin'))


def test_foreign_folder_is_not_replaced(tmp_path):
    venv = tmp_path / '.venv'
    venv.mkdir()
    (venv / 'thesis.txt').write_text('precious')
    with pytest.raises(SetupError, match='move it away'):
        prepare_venv(venv, dict(os.environ))
    assert (venv / 'thesis.txt').read_text() == 'precious'


def test_environment_of_an_unsupported_python_is_kept(tmp_path):
    venv = tmp_path / '.venv'
    fake_python(venv / 'bin', 'python', (3, 9, 1))
    (venv / 'pyvenv.cfg').write_text('')
    with pytest.raises(SetupError, match=r'uses Python 3\.9\.1.*rm -r'):
        prepare_venv(venv, dict(os.environ))
    assert (venv / 'bin' / 'python').exists()


def test_half_made_environment_is_made_anew_and_then_reused(tmp_path):
    base = probe(sys.executable)
    assert base.ensurepip
    venv = tmp_path / '.venv'
    (venv / 'bin').mkdir(parents=True)
    (venv / 'pyvenv.cfg').write_text('home = /nowhere\n')
    (venv / 'bin' / 'python').symlink_to('/nowhere/python')
    environ = dict(os.environ, PYTHON=sys.executable)
    made = prepare_venv(venv, environ)
    assert made.executable == str(venv / 'bin' / 'python')
    assert made.pip and made.purelib.startswith(str(venv))
    marker = venv / 'lib' / 'kept'
    marker.write_text('')
    # Reuse needs no other Python at all.
    assert prepare_venv(venv, {'PATH': ''}) == made
    assert marker.exists()


def test_moved_environment_gets_its_new_paths(tmp_path):
    old, new = tmp_path / 'old' / '.venv', tmp_path / 'new' / '.venv'
    (new / 'bin').mkdir(parents=True)
    (new / '.mmtvface').mkdir()
    (new / '.mmtvface' / 'location').write_text(f'{old}\n')
    (new / 'pyvenv.cfg').write_text(f'command = python -m venv {old}/x\n')
    script = new / 'bin' / 'tool'
    script.write_text(f'#!{old}/bin/python\nprint()\n')
    (new / 'bin' / 'activate').write_text(f'VIRTUAL_ENV="{old}"\n')
    program = b'\x7fELF\0' + f'{old}/lib'.encode()
    (new / 'bin' / 'ninja').write_bytes(program)
    _repair_moved(new)
    assert script.read_text() == f'#!{new}/bin/python\nprint()\n'
    assert (new / 'bin' / 'activate').read_text() == f'VIRTUAL_ENV="{new}"\n'
    assert (new / 'bin' / 'ninja').read_bytes() == program


def test_shell_wrapper_finds_no_python(tmp_path):
    tool = os.path.join(os.path.dirname(__file__), '..', '..', 'tools',
                        'bootstrap.sh')
    folder = tmp_path / 'tools'
    folder.mkdir()
    with open(tool, encoding='utf-8') as stream:
        (folder / 'bootstrap.sh').write_text(stream.read())
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'dirname').symlink_to('/usr/bin/dirname')
    done = subprocess.run(
        ['/bin/bash', str(folder / 'bootstrap.sh')], text=True,
        capture_output=True, env={'PATH': str(tmp_path / 'bin')})
    assert done.returncode == 1
    assert done.stderr.count('\n') == 1
    assert 'no Python 3.10-3.12' in done.stderr
