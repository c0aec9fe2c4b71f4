# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import importlib.util
import re
import subprocess
import sys
import tokenize
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


#: What is not written, and the word for it (docs/glossary.md).
SPELLING = {
    r'\bfilms?\b': 'video, frames',
    r'\b(head|face|mesh|skeleton|pose|identity)s? at rest\b':
    'neutral head, rest pose',
    r'\b(cured?|cures|remarks?)\b': 'remedy, warning',
    r'\bgo_on\b': 'check_cancelled',
    r'\b[a-z_]*journals?\b': 'checkpoint, resume file',
    r'\bmovements?\b': 'motion',
    r'(?<!eye)\blids?\b': 'eyelids',
    r'\bgrowing\b': 'increasing',
    r'\batlas(es)?\b': 'UV map',
    r'\bside[_ ]videos?\b': 'comparison video',
    r'\breframe\w*\b': 'crop jitter',
    r'\bblind kinds\b': 'requires_image',
    r'\b(tidings|fortunes?|news)\b': 'report, events',
    r'\blicences?\b': 'license',
    r'\bunsound\b|\bsound (?:values|numbers|codes|frames|rows)\b':
    'finite, valid',
}
#: Where a word means what the field means by it, or is somebody's name.
ALLOWED = {
    'tests/test_package/test_style.py': '.',
    'docs/glossary.md': '.',
    'docs/changelog.md': '.',
    # Former names, which are still read.
    'mmtvface/export/writer.py': 'side_video',
    'tests/test_export/test_writers.py': 'side_video',
    'mmtvface/apis/face_reconstructor.py': 'journal',
    'tests/test_reconstruction/test_inferencer.py': 'journal',
    'tests/test_reconstruction/test_whole_tracks.py': 'journal',
    'mmtvface/benchmarks/synthtv/dataset.py': 'reframe',
    'tests/test_benchmarks/test_synth_tv_appearance.py': 'reframe',
}
#: Identifiers are American.
BRITISH = re.compile(
    r'colour|centre|grey|licence|neighbour|'
    r'(normal|recogn|initial|organ|optim|quant|regular|minim|raster)is(e|ed|'
    r'es|er|ing|ation)(?![a-z])', re.I)


def written_files():
    """What people write and read: code, pages, configs, scripts."""
    for folder in (*FOLDERS, 'configs', 'docs', 'data'):
        for path in (REPO / folder).rglob('*'):
            if path.suffix in ('.py', '.md', '.sh', '.yml', '.js', '.html',
                               '.css') and not {
                    'node_modules', 'face_clips'} & set(path.parts) and (
                    'three.' not in path.name):
                yield path
    yield from REPO.glob('*.md')


@pytest.mark.parametrize('pattern', SPELLING)
def test_words(pattern):
    found = []
    for path in written_files():
        name = path.relative_to(REPO).as_posix()
        allowed = ALLOWED.get(name)
        for number, line in enumerate(path.read_text(
                encoding='utf-8').splitlines(), 1):
            match = re.search(pattern, line, re.I)
            if match and not (allowed and re.search(allowed, match.group())):
                found.append(f'{name}:{number}: {line.strip()}')
    assert not found, (f'write: {SPELLING[pattern]}', found)


def test_identifiers_are_american():
    found = set()
    for folder in ('mmtvface', 'tools'):
        for path in (REPO / folder).rglob('*.py'):
            with tokenize.open(path) as file:
                found |= {
                    f'{path.relative_to(REPO)}:{token.start[0]}: '
                    f'{token.string}'
                    for token in tokenize.generate_tokens(file.readline)
                    if token.type == tokenize.NAME
                    and BRITISH.search(token.string)}
    assert not found
