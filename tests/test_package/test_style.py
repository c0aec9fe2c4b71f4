# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
HEADER = ('# Copyright (c) mmtvface contributors. '
          'Licensed under the Apache License 2.0.')
FOLDERS = ('mmtvface', 'tools', 'tests')


def python_files():
    return [f for folder in FOLDERS for f in (REPO / folder).rglob('*.py')]


@pytest.mark.skipif(importlib.util.find_spec('ruff') is None,
                    reason='ruff is not installed')
def test_ruff_is_content():
    done = subprocess.run(
        [sys.executable, '-m', 'ruff', 'check', '--quiet', '--no-cache',
         '--output-format', 'concise', *FOLDERS, 'setup.py', 'configs'],
        cwd=REPO, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_begins_with_the_license():
    missing = [str(f.relative_to(REPO)) for f in python_files()
               if not f.read_text(encoding='utf-8').startswith(HEADER)]
    assert not missing


def test_files_stay_readable():
    long = [str(f.relative_to(REPO)) for f in python_files()
            if len(f.read_text(encoding='utf-8').splitlines()) > 400]
    assert not long


def test_messages_name_commands_that_are_installed():
    """The tools of the checkout are no part of the package."""
    replaced = re.compile(
        r'\b(reconstruct|animate|view|video_to_clips)\.py\b')
    assert not [str(f.relative_to(REPO)) for f in (REPO / 'mmtvface').rglob(
        '*.py') if replaced.search(f.read_text(encoding='utf-8'))]


def test_names_of_test_files_are_unique():
    # The folders of the tests are no packages.
    names = [f.name for f in (REPO / 'tests').rglob('test_*.py')]
    assert sorted(names) == sorted(set(names))


def test_shell_scripts_are_valid_and_executable():
    scripts = [*(REPO / 'tools').rglob('*.sh'), REPO / '.ci' / 'run']
    assert len(scripts) >= 7
    for script in scripts:
        assert script.stat().st_mode & 0o111, script
        subprocess.run(['bash', '-n', str(script)], check=True)
