# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys

import pytest
from setup_steps.errors import explain
from setup_steps.progress import run_logged, status_of


@pytest.mark.parametrize(('output', 'words'), [
    ('WARNING: Retrying ... NewConnectionError(...)\n'
     'ERROR: No matching distribution found for torch==2.11.0',
     ('cannot reach', 'network')),
    ('ERROR: No matching distribution found for torch==2.11.0',
     ('has no torch==2.11.0', 'index')),
    ('ERROR: Could not find a version that satisfies the requirement wheel '
     '(from versions: none)\nERROR: No matching distribution found for wheel',
     ('has no wheel', 'check the network')),
    ('ERROR: Cannot install torch==2.11.0+cpu because these package versions '
     'have conflicting dependencies.\n\nERROR: ResolutionImpossible: ...',
     ('has no torch==2.11.0+cpu', 'index')),
    ("OSError: [Errno 28] No space left on device: '/x'",
     ('disk is full', 'free some space')),
    ('g++: fatal error: Killed signal terminated program cc1plus',
     ('out of memory', 'MAX_JOBS=1')),
    ('noise\nERROR: Could not install packages due to an odd thing\n',
     ('Could not install packages due to an odd thing', 'read LOG')),
    ('', ('no error line was found', 'LOG')),
])
def test_failures_become_one_sentence_with_a_remedy(output, words):
    message = str(explain('PyTorch', output, 'LOG'))
    assert '\n' not in message
    assert 'PyTorch' in message and 'LOG' in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(('output', 'status'), [
    ('', ''),
    ('Collecting torch==2.11.0 (from -r x.txt)\n', 'collecting torch==2.11.0'),
    ('Collecting a\n  [3/77] c++ -MMD\n  [4/77] c++ -c\n',
     'compiled 4 of 77 files'),
    ('Collecting a\nInstalling collected packages: a, b\n', 'installing'),
])
def test_status_is_the_last_thing_reported(output, status):
    assert status_of(output) == status


def test_run_logged_returns_the_output_of_this_run_only(tmp_path):
    log = tmp_path / 'logs' / 'install.log'
    first = run_logged([sys.executable, '-c', 'print("one")'], log, 'label')
    second = run_logged(
        [sys.executable, '-c', 'import sys; print("two"); sys.exit(3)'],
        log, 'label')
    assert first == (0, 'one\n')
    assert second == (3, 'two\n')
    assert 'one' in log.read_text() and 'two' in log.read_text()
