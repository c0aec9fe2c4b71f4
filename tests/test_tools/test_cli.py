# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The command ``mmtvface``."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from mmtvface.cli import info
from mmtvface.cli.main import COMMANDS, main
from mmtvface.version import __version__

REPO = Path(__file__).resolve().parents[2]
TOOLS = dict(
    reconstruct='reconstruct.py', animate='animate.py', view='view.py',
    prepare='dataset_converters/video_to_clips.py')


@pytest.fixture(autouse=True)
def program(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['mmtvface'])


def test_help_names_every_command(capsys):
    assert main([]) == main(['--help']) == 0
    text = capsys.readouterr().out
    for name in COMMANDS:
        assert f'  {name} ' in text
    assert main(['--version']) == 0
    assert capsys.readouterr().out == f'{__version__}\n'
    assert main(['reconstrukt']) == 2
    assert 'there are reconstruct, animate' in capsys.readouterr().err


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_has_help_of_its_own(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, '--help'])
    assert stop.value.code == 0
    assert f'mmtvface {command}' in capsys.readouterr().out


@pytest.mark.parametrize('command', TOOLS)
def test_the_tools_are_the_commands(command):
    text = (REPO / 'tools' / TOOLS[command]).read_text()
    assert f'from mmtvface.cli.{command} import main' in text
    assert importlib.import_module(f'mmtvface.cli.{command}').main


def test_info_says_what_is_there_and_why_not(capsys, monkeypatch):
    def broken():
        raise OSError('libGL.so.1: cannot open\nmore')

    def silent():
        raise RuntimeError

    def leaving():
        sys.stdout.write('goodbye\n')
        sys.exit('no license')

    found = info.check(dict(good=lambda: 'fine', bad=broken, odd=silent,
                            leaving=leaving))
    assert found == dict(
        good=dict(usable=True, note='fine'),
        bad=dict(usable=False, note='libGL.so.1: cannot open'),
        odd=dict(usable=False, note='RuntimeError()'),
        leaving=dict(usable=False, note='no license'))
    assert capsys.readouterr().out == ''
    assert info.main(['--json']) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown['versions']['mmtvface'] == __version__
    assert shown['backends']['packaged model']['usable']
    assert set(shown['backends']) == set(info.CHECKS)
    monkeypatch.setattr(info, 'PACKAGES', ('torch', 'no-such-package'))
    assert info.main([]) == 0
    assert 'no-such-package not installed' in capsys.readouterr().out
