# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Finds a Python that can carry the environment, and makes .venv."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from .errors import SetupError
from .progress import say

SUPPORTED = ((3, 10), (3, 11), (3, 12))
# 3.11 first: it is the version that every release was tested with.
NAMES = ('python3.11', 'python3.12', 'python3.10', 'python3', 'python')
PROBE = """
import importlib.util as u, json, os, platform, sys, sysconfig
print(json.dumps(dict(
    executable=sys.executable, version=list(sys.version_info[:3]),
    headers=os.path.isfile(
        os.path.join(sysconfig.get_paths()['include'], 'Python.h')),
    ensurepip=bool(u.find_spec('ensurepip') and u.find_spec('venv')),
    pip=bool(u.find_spec('pip')), machine=platform.machine(),
    purelib=sysconfig.get_paths()['purelib'])))
"""


class Interpreter(NamedTuple):
    """What is known of one Python.

    Attributes:
        executable: Path of the program.
        version: Its version, three numbers.
        headers: Whether Python.h is there (needed to compile).
        ensurepip: Whether it can make virtual environments with pip.
        pip: Whether pip is installed in it.
        machine: Processor, for example ``x86_64``.
        purelib: Its site-packages folder.
    """

    executable: str
    version: tuple
    headers: bool
    ensurepip: bool
    pip: bool
    machine: str
    purelib: str

    @property
    def name(self) -> str:
        """Version as text, for example ``3.11.7``."""
        return '.'.join(map(str, self.version))

    @property
    def supported(self) -> bool:
        """Whether mmtvface runs on this version."""
        return tuple(self.version[:2]) in SUPPORTED


def probe(python: str) -> Interpreter | None:
    """Ask a Python about itself; None if it does not run.

    A name on PATH is no proof: pyenv and Windows put placeholders there
    that only print an error.
    """
    try:
        done = subprocess.run(
            [str(python), '-I', '-c', PROBE], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, timeout=60)
        return Interpreter(**json.loads(done.stdout))
    except (OSError, ValueError, TypeError, subprocess.TimeoutExpired):
        return None


def find_interpreter(environ: dict) -> Interpreter:
    """Pick the Python that .venv is made with.

    Args:
        environ: Environment variables; ``PYTHON`` overrules the search.

    Raises:
        SetupError: If no usable Python is found.
    """
    versions = ', '.join('.'.join(map(str, v)) for v in SUPPORTED)
    if environ.get('PYTHON'):
        found = probe(environ['PYTHON'])
        if found is None:
            raise SetupError(
                f'PYTHON={environ["PYTHON"]} does not run: set PYTHON to a '
                f'working Python ({versions}) or unset it.')
        if not found.supported:
            raise SetupError(
                f'PYTHON={environ["PYTHON"]} is Python {found.name}, but '
                f'mmtvface needs one of {versions}: set PYTHON to such a '
                'Python.')
        return found
    home = environ.get('PYENV_ROOT') or os.path.expanduser('~/.pyenv')
    pyenv = sorted(
        str(p) for v in SUPPORTED for p in Path(home, 'versions').glob(
            f'{v[0]}.{v[1]}.*/bin/python'))
    path = environ.get('PATH', os.defpath).split(os.pathsep)
    # Every folder, not only the first: a placeholder may hide the real one.
    places = [os.path.join(folder, name) for name in NAMES for folder in path]
    usable, others = [], []
    for place in places + pyenv:
        if not os.access(place, os.X_OK):
            continue
        found = probe(place)
        if found is None:
            continue
        if not found.supported:
            others.append(found.name)
        elif found.ensurepip and found.headers:
            return found
        else:
            usable.append(found)
    if usable:
        return max(usable, key=lambda p: p.ensurepip)
    have = f' (found only {", ".join(sorted(set(others)))})' if others else ''
    raise SetupError(
        f'No usable Python among {versions} is on PATH{have}: install one, '
        'for example "apt install python3.11 python3.11-venv '
        'python3.11-dev", or name one with PYTHON=/path/to/python3.11.')


def _make(venv: Path, base: Interpreter) -> None:
    if not base.ensurepip:
        short = '.'.join(map(str, base.version[:2]))
        raise SetupError(
            f'{base.executable} cannot make virtual environments: install '
            f'them with "apt install python{short}-venv", or name another '
            'Python with PYTHON=/path/to/python3.11.')
    done = subprocess.run(
        [base.executable, '-m', 'venv', str(venv)], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ['no message'])[-1]
        raise SetupError(
            f'{base.executable} could not make {venv} ({last}): make the '
            'folder writable or name another Python with PYTHON=...')


def _repair_moved(venv: Path) -> None:
    """Write the present location into scripts of a moved environment."""
    config = venv / 'pyvenv.cfg'
    state = venv / '.mmtvface' / 'location'
    old = state.read_text().strip() if state.is_file() else ''
    if not old or old == str(venv):
        return
    say(f'      the checkout moved from {Path(old).parent}: mending .venv')
    for script in [config, *(venv / 'bin').iterdir()]:
        if script.is_symlink() or not script.is_file():
            continue
        data = script.read_bytes()
        new = data.replace(old.encode() + b'/', str(venv).encode() + b'/')
        new = new.replace(b'"' + old.encode() + b'"',
                          b'"' + str(venv).encode() + b'"')
        # Programs (ruff, ninja) hold no such path; scripts begin with #!
        # and the activation files are text.
        if new != data and b'\0' not in data[:1024]:
            script.write_bytes(new)


def prepare_venv(venv: Path, environ: dict) -> Interpreter:
    """Make, mend or adopt the virtual environment.

    Args:
        venv: Absolute path of the environment.
        environ: Environment variables, see :func:`find_interpreter`.

    Returns:
        The environment's own Python.

    Raises:
        SetupError: If it cannot be made, or if the folder is something
            that this script must not replace.
    """
    python = venv / 'bin' / 'python'
    if venv.exists() and not venv.is_dir():
        raise SetupError(f'{venv} is not a folder: move it away.')
    entries = set(os.listdir(venv)) if venv.is_dir() else set()
    ours = not entries - {
        '.mmtvface', 'bin', 'include', 'lib', 'lib64', 'pyvenv.cfg',
        'share', 'etc', '.gitignore', 'man'}
    found = probe(str(python)) if entries else None
    if found is not None and not found.supported:
        raise SetupError(
            f'{venv} uses Python {found.name}, which mmtvface does not run '
            f'on: remove it with "rm -r {venv}" and run again.')
    if found is not None and not found.pip:
        subprocess.run([str(python), '-m', 'ensurepip', '--upgrade'],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = probe(str(python))
        if not found.pip and list(Path(found.purelib).glob('*.dist-info')):
            raise SetupError(
                f'{venv} has packages but no pip: install pip in it, or '
                f'remove it with "rm -r {venv}", and run again.')
    if found is None or not found.pip:
        if entries and not ours:
            raise SetupError(
                f'{venv} is not a working virtual environment: move it away '
                'and run again.')
        base = find_interpreter(environ)
        if entries:
            say('      .venv is incomplete: making it anew')
            shutil.rmtree(venv)
        say(f'      making .venv with {base.executable} ({base.name})')
        _make(venv, base)
        found = probe(str(python))
        if found is None or not found.pip:
            raise SetupError(
                f'{venv} was made with {base.executable} but does not run: '
                'name another Python with PYTHON=/path/to/python3.11.')
    _repair_moved(venv)
    state = venv / '.mmtvface'
    state.mkdir(exist_ok=True)
    (state / 'location').write_text(str(venv) + '\n')
    return found
