# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The pages "Add a ...", followed to the letter in a copy of the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.pages import REPO, code_blocks

GUIDES = ('loss', 'encoder', 'head', 'detector', 'output')


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose files may be added to: what is there is linked."""
    for folder in ('mmtvface', 'configs'):
        shutil.copytree(REPO / folder, tmp_path / folder,
                        copy_function=os.symlink,
                        ignore=shutil.ignore_patterns('__pycache__'))
    # Tools put the folder above their own on the path: not a link's.
    shutil.copytree(REPO / 'tools', tmp_path / 'tools',
                    ignore=shutil.ignore_patterns('node_modules'))
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/astronaut.jpg').symlink_to(REPO / 'data/astronaut.jpg')
    return tmp_path


def run(script, folder):
    """Run the commands of a page; ``python`` is that of the tests."""
    programs = folder / 'bin'
    programs.mkdir(exist_ok=True)
    python = programs / 'python'
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    command = programs / 'mmtvface'
    command.write_text(
        f'#!/bin/sh\nexec {sys.executable} -m mmtvface "$@"\n')
    for program in (python, command):
        program.chmod(0o755)
    environment = dict(
        os.environ, PATH=f'{programs}{os.pathsep}{os.environ["PATH"]}',
        PYTHONPATH=str(folder), OMP_NUM_THREADS='1')
    # What a page puts before a command is put before the copy, too.
    script = script.replace('PYTHONPATH=my_project',
                            f'PYTHONPATH=my_project:{folder}')
    return subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', script], cwd=folder, text=True,
        env=environment, capture_output=True, timeout=600)


@pytest.mark.parametrize('guide', GUIDES)
def test_guide(guide, checkout):
    blocks = code_blocks(Path(REPO / f'docs/extend/{guide}.md'))
    files = [block for block in blocks if block[1]]
    commands = [code for language, title, code in blocks
                if language == 'bash' and not title]
    assert files and commands
    for _, title, code in files:
        path = checkout / title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    for command in commands:
        done = run(command, checkout)
        assert done.returncode == 0, (command, done.stdout[-3000:],
                                      done.stderr[-3000:])
