# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest

from mmtvface.utils.command_line import TRACEBACK_ENV, run_command


def fail(error):
    def work():
        raise error
    return work


def test_exit_codes(capsys, monkeypatch):
    monkeypatch.delenv(TRACEBACK_ENV, raising=False)
    assert run_command(lambda: None) == 0
    assert run_command(lambda: 1) == 1
    assert capsys.readouterr().err == ''
    assert run_command(fail(ValueError('no\n  face'))) == 2
    assert capsys.readouterr().err == 'error: no face\n'
    assert run_command(fail(KeyboardInterrupt()), 'All is kept.') == 130
    assert capsys.readouterr().err == 'All is kept.\n'


def test_faults_of_the_program_and_asked_for_tracebacks_are_raised(
        monkeypatch):
    with pytest.raises(KeyError):
        run_command(fail(KeyError('x')))
    monkeypatch.setenv(TRACEBACK_ENV, '1')
    with pytest.raises(OSError, match='disk'):
        run_command(fail(OSError('disk')))
