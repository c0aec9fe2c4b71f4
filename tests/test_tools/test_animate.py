# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import importlib
from pathlib import Path

import numpy as np
import pytest
from helpers.toy_animation import write_toy_clip, write_toy_model

from mmtvface.animation import settings, subject
from mmtvface.io.video_reader import read_video
from mmtvface.utils.settings import all_options, from_args

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def tool():
    return importlib.import_module('mmtvface.cli.animate')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Paths of a config and a checkpoint."""
    files = write_toy_model(tmp_path_factory.mktemp('model'))
    return [str(path) for path in files]


@pytest.fixture
def clips(tmp_path):
    return [str(write_toy_clip(tmp_path / 'me', 1)),
            str(write_toy_clip(tmp_path / 'actor', 3, faceless=[1]))]


def test_a_transfer_and_one_from_its_codes(tool, model, clips, tmp_path,
                                           capsys):
    out = tmp_path / 'out'
    arguments = ['--device', 'cpu', '--size', '32']
    assert tool.main(['transfer', *model, *clips, '--out', str(out),
                      '--save', 'codes', 'obj', *arguments]) == 0
    text = capsys.readouterr().out
    assert 'Animated 2 of 3 frames.' in text
    assert 'no face in 1 (002)' in text and 'without' not in text
    assert str(out / 'animation.mp4') in text
    assert sorted(path.name for path in out.iterdir()) == [
        'animation.mp4', 'codes.npz', 'meshes', 'metrics.json']
    # The codes that were made are codes.
    again = tmp_path / 'again'
    assert tool.main(['transfer', *model, clips[0], str(out / 'codes.npz'),
                      '--out', str(again), '--pose', 'source', '--relative',
                      '--camera', 'fit', '--fps', '7', '--save', '--coarse',
                      *arguments]) == 0
    assert sorted(path.name for path in again.iterdir()) == [
        'animation.mp4', 'metrics.json']
    assert len(list(read_video(again / 'animation.mp4'))) == 3
    assert 'without wrinkles' not in capsys.readouterr().out


def test_the_model_is_given_whole_or_not_at_all(tool, capsys):
    args = tool.parse_args(['transfer', 'me.jpg', 'actor.mp4'])
    assert (args.config, args.checkpoint, args.source, args.driver) == (
        None, None, 'me.jpg', 'actor.mp4')
    args = tool.parse_args(['teaser', 'c.py', 'w.pth', 'me.jpg'])
    assert (args.config, args.checkpoint, args.source) == (
        'c.py', 'w.pth', 'me.jpg')
    with pytest.raises(SystemExit):
        tool.parse_args(['teaser', 'c.py', 'me.jpg'])
    assert 'a config (c.py) without a checkpoint' in capsys.readouterr().err


def test_a_teaser_without_wrinkles_and_color(tool, clips, tmp_path, capsys):
    model = write_toy_model(tmp_path / 'model', ('renderer', ))
    out = tmp_path / 'out'
    assert tool.main(['teaser', *map(str, model), clips[0], '--out', str(out),
                      '--device', 'cpu', '--size', '32', '--frames', '4',
                      '--expressions', '1+2', 'jaw']) == 0
    text = capsys.readouterr().out
    assert 'Animated 4 of 4 frames.' in text
    assert 'without wrinkles: the model has no detail branch' in text
    assert 'grey only' in text
    assert sorted(path.name for path in out.iterdir()) == [
        'metrics.json', 'teaser.mp4', 'teaser.png']


@pytest.mark.parametrize('change, expected', [
    ({1: 'nowhere.py'}, 'Config not found: nowhere.py'),
    ({2: 'nowhere.pth'}, 'Checkpoint not found: nowhere.pth'),
    ({3: 'nowhere.jpg'}, 'Input not found: nowhere.jpg'),
    ({4: 'nowhere.npz'}, 'Codes not found: nowhere.npz'),
    ({4: '{folder}/other.npz'}, "no codes ['exp', 'pose', 'cam']"),
    ({6: '{folder}/file/out'}, 'Cannot write to the output folder'),
    ({8: 'cuda:99'}, "device 'cuda:99' cannot be used"),
    ({11: '--neutral-frame', 12: '0'}, 'neutral_frame has no effect'),
])
def test_errors_are_one_sentence_and_code_2(tool, model, clips, tmp_path,
                                            capsys, change, expected):
    (tmp_path / 'file').write_text('')
    np.savez(tmp_path / 'other.npz', shape=np.zeros((2, 4)))
    arguments = ['transfer', *model, *clips, '--out', str(tmp_path / 'out'),
                 '--device', 'cpu', '--size', '32', '--pose', 'driver']
    for place, value in change.items():
        arguments[place] = value.format(folder=tmp_path)
    assert tool.main(arguments) == 2
    text = capsys.readouterr().err
    assert text.startswith('error: ') and expected in text
    assert text.count('\n') == 1
    assert not list(tmp_path.glob('out/*'))


def test_an_unknown_expression(tool, model, clips, tmp_path, capsys):
    assert tool.main(['teaser', *model, clips[0], '--out',
                      str(tmp_path / 'out'), '--device', 'cpu',
                      '--expressions', 'smile']) == 2
    text = capsys.readouterr().err
    assert "There is no expression 'smile'; there are the numbers 0 .. 2" in (
        text)


@pytest.mark.parametrize('command, expected', [
    ('transfer', 'frames that were finished before, if any, are in'),
    ('teaser', 'kept only if it is complete')])
def test_ctrl_c(tool, model, clips, tmp_path, monkeypatch, capsys, command,
                expected):
    def stopped(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(subject, 'pick_identity', stopped)
    inputs = clips if command == 'transfer' else clips[:1]
    assert tool.main([command, *model, *inputs, '--out',
                      str(tmp_path / 'out'), '--device', 'cpu']) == 130
    text = capsys.readouterr().err
    assert str(tmp_path / 'out') in text and expected in text
    assert not list(tmp_path.glob('out/*'))


def test_options_are_those_of_the_library(tool, capsys):
    for command, kind in (('transfer', tool.TransferCommand),
                          ('teaser', tool.TeaserCommand)):
        args = tool.parse_args([command, 'a', 'b'][:3 - (command == 'teaser')])
        assert from_args(args.settings, args) == kind()
        names = [entry.name for entry in all_options(kind)]
        assert len(names) == len(set(names)) and set(names) < set(vars(args))
    given = ['transfer', 'config', 'weights', 'a', 'b']
    for option, choices in (('--pose', settings.POSES),
                            ('--camera', settings.CAMERAS),
                            ('--texture', settings.TEXTURES),
                            ('--save', settings.SAVES)):
        for choice in choices:
            tool.parse_args([*given, option, choice])
        with pytest.raises(SystemExit):
            tool.parse_args([*given, option, 'other'])
    for size in '0', '8':
        with pytest.raises(SystemExit):
            tool.parse_args([*given, '--size', size])
        assert ('--size: must be a whole number from 16 on, but it is '
                f'{size}') in capsys.readouterr().err
    assert not tool.parse_args([*given, '--coarse']).detail
