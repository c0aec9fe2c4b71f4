# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import importlib
import inspect
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.fake_face_alignment import install
from helpers.toy_pictures import POINTS, picture
from helpers.toy_reconstructor import toy_config
from mmengine.config import Config

from mmtvface.apis import FaceReconstructor
from mmtvface.export.writer import all_kinds
from mmtvface.reconstruction.face_reconstructor import Reconstructor
from mmtvface.reconstruction.settings import ReconstructSettings
from mmtvface.registry import MODELS
from mmtvface.utils.settings import all_options

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def tool():
    return importlib.import_module('mmtvface.cli.reconstruct')


@pytest.fixture
def files(tmp_path):
    """Config file, checkpoint and a clip folder with landmarks."""
    config = Config(dict(
        custom_imports=dict(imports=['helpers.toy_reconstructor']),
        model=toy_config()))
    path = tmp_path / 'toy.py'
    config.dump(path)
    torch.manual_seed(0)
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(config.model).state_dict()),
               weights)
    clip = tmp_path / 'clip'
    (clip / 'jpg').mkdir(parents=True)
    (clip / 'kpt').mkdir()
    for name in ('1', '2', '3'):
        cv2.imwrite(str(clip / 'jpg' / f'{name}.jpg'), picture())
        np.save(clip / 'kpt' / f'{name}_kpt2d.npy', POINTS * 39 + [40, 30])
    return [str(path), str(weights), str(clip)]


def test_a_clip_folder(tool, files, tmp_path, capsys):
    (Path(files[2]) / 'jpg' / '2.jpg').write_bytes(b'broken')
    out = tmp_path / 'out'
    assert tool.main([*files, '--out', str(out), '--device', 'cpu']) == 0
    text = capsys.readouterr().out
    assert 'Reconstructed 2 of 3 frames (1 face tracks).' in text
    assert 'skipped, unreadable: 1 (2)' in text
    assert '% of the landmark box, to those given' in text
    assert str(out / 'overlay.mp4') in text
    assert sorted(p.name for p in out.iterdir()) == [
        'codes.npz', 'meshes', 'metrics.json', 'overlay.mp4',
        'overlay_grid.png']
    assert json.loads((out / 'metrics.json').read_text())['frames'] == 3


def test_only_landmarks_and_meshes(tool, files, tmp_path):
    out = tmp_path / 'out'
    assert tool.main([*files, '--out', str(out), '--device', 'cpu', '--save',
                      'landmarks', 'obj', '--independent', '--fps', '5',
                      '--clip-length', '2', '--crop-scale', '1.3']) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        'landmarks', 'meshes', 'metrics.json']
    assert len(list((out / 'meshes').iterdir())) == 3


def test_help_names_every_kind(tool, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(['--help'])
    text = capsys.readouterr().out
    assert all(f'\n  {kind} ' in text for kind in all_kinds())
    with pytest.raises(SystemExit):
        tool.parse_args(['i', '--save', 'gltf'])
    assert "must be one of ('codes', 'landmarks'" in capsys.readouterr().err


def test_every_option_is_one_field(tool):
    """Defaults, choices and checks of the command are those of the API."""
    names = [entry.name for entry in all_options(tool.CommandSettings)]
    assert len(names) == len(set(names)) == 21
    args = vars(tool.parse_args(['video.mp4']))
    assert set(args) == {*names, 'config', 'checkpoint', 'input', 'settings'}
    settings = args['settings']
    assert settings == tool.CommandSettings()
    assert settings.reconstruct == ReconstructSettings()
    parameters = inspect.signature(FaceReconstructor).parameters
    for entry in all_options(ReconstructSettings):
        assert parameters[entry.name].default == args[entry.name]


def test_pictures_and_numbers(tool, files, tmp_path, capsys):
    out = tmp_path / 'out'
    assert tool.main([*files, '--out', str(out), '--device', 'cpu', '--save',
                      'normals', 'depth', 'mat', '--texture-size',
                      '64']) == 0
    assert (out / 'normals' / 'crop' / '1.png').is_file()
    assert (out / 'depth' / 'frame_view' / '3.png').is_file()
    assert (out / 'mat' / '2.mat').is_file()
    text = capsys.readouterr().out
    for kind in ('normals', 'depth', 'mat', 'metrics'):
        assert f'  {kind}:' in text and str(out / kind) in text


def test_a_missing_part_is_one_sentence(tool, files, tmp_path, capsys):
    out = tmp_path / 'out'
    assert tool.main([*files, '--out', str(out), '--device', 'cpu', '--save',
                      'obj', 'albedo']) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: Cannot save 'albedo'")
    assert not list(out.iterdir())


def test_the_model_is_given_whole_or_not_at_all(tool, capsys):
    args = tool.parse_args(['video.mp4'])
    assert (args.config, args.checkpoint, args.input) == (
        None, None, 'video.mp4')
    args = tool.parse_args(['c.py', 'w.pth', '--device', 'cpu', 'video.mp4'])
    assert (args.config, args.checkpoint, args.input) == (
        'c.py', 'w.pth', 'video.mp4')
    with pytest.raises(SystemExit):
        tool.parse_args(['c.py', 'video.mp4'])
    assert 'a config (c.py) without a checkpoint' in capsys.readouterr().err


def test_smoothing_and_its_report(tool, files, tmp_path, capsys):
    out = tmp_path / 'out'
    arguments = [*files, '--out', str(out), '--device', 'cpu', '--save',
                 'codes']
    assert tool.main([*arguments, '--smooth', 'savgol', '--identity', 'frame',
                      '--single-frame']) == 0
    assert 'smoothing: jitter_before_mm' in capsys.readouterr().out
    assert 'lag_frames' in json.loads(
        (out / 'metrics.json').read_text())['smoothing']
    assert tool.main([*arguments, '--refine', '2']) == 2
    assert 'needs a FLAME head' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.parse_args(['x.mp4', '--single-frame', '--clip-length', '3'])
    # What is left to resume from is not used unasked, nor left behind.
    (out / '.resume').mkdir()
    (out / '.resume/key.json').write_text('junk')
    for more in [], ['--resume']:
        assert tool.main([*arguments, *more]) == 0
        assert not (out / '.resume').exists()


def test_another_detector(tool, files, tmp_path, monkeypatch):
    made = install(monkeypatch)
    arguments = [*files[:2], str(Path(files[2]) / 'jpg'), '--out',
                 str(tmp_path / 'out'), '--device', 'cpu', '--save', 'codes',
                 '--detector', 'face-alignment']
    assert tool.main(arguments) == 0
    assert made == [('2d', 'cpu', 'sfd')]


@pytest.mark.parametrize('change, expected', [
    ({2: 'nowhere.mp4'}, 'Input not found: nowhere.mp4'),
    ({0: 'nowhere.py'}, 'Config not found: nowhere.py'),
    ({1: 'nowhere.pth'}, 'Checkpoint not found: nowhere.pth'),
    ({4: '{file}/out'}, 'Cannot write to the output folder'),
    ({6: 'cuda:99'}, "device 'cuda:99' cannot be used"),
])
def test_errors_are_one_sentence_and_code_2(tool, files, tmp_path, capsys,
                                            change, expected):
    file = tmp_path / 'file'
    file.write_text('')
    arguments = [*files, '--out', str(tmp_path / 'out'), '--device', 'cpu']
    for place, value in change.items():
        arguments[place] = value.format(file=file)
    assert tool.main(arguments) == 2
    text = capsys.readouterr().err
    assert text.startswith('error: ') and expected in text
    assert text.count('\n') == 1
    assert not list(tmp_path.glob('out/*'))


def test_ctrl_c_keeps_what_is_done(tool, files, tmp_path, monkeypatch,
                                   capsys):
    whole = Reconstructor.__call__

    def stopped(self, *args, **kwargs):
        yield next(whole(self, *args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(Reconstructor, '__call__', stopped)
    out = tmp_path / 'out'
    assert tool.main([*files, '--out', str(out), '--device', 'cpu']) == 130
    assert str(out) in capsys.readouterr().err
    assert json.loads((out / 'metrics.json').read_text())['frames'] == 1
    assert (out / 'overlay.mp4').is_file() and (out / 'codes.npz').is_file()


def test_a_restorer_that_is_not_there(tool, files, capsys, tmp_path):
    assert tool.main([*files, '--out', str(tmp_path / 'out'), '--device',
                      'cpu', '--restore', 'nowhere.py', 'any.pth']) == 2
    text = capsys.readouterr().err
    assert text.startswith(
        'error: Config of the restorer not found: nowhere.py')
    assert 'mmagic::basicvsr_pp/' in text and text.count('\n') == 1
    with pytest.raises(SystemExit):
        tool.parse_args([*files, '--restore', 'only.py'])


@pytest.mark.parametrize('option', ['--clip-length', '--crop-scale',
                                    '--batch-size', '--fps'])
def test_numbers_must_be_positive(tool, option, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(['c', 'w', 'i', option, '0'])
    text = capsys.readouterr().err
    assert f'{option}: must be a' in text and 'but it is 0' in text
