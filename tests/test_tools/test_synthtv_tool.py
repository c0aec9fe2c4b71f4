# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import synthtv
import train
from mmengine.config import Config
from synthtv import flops_per_frame, main, parse_args

from mmtvface.benchmarks.synthtv.table import COLUMNS
from mmtvface.registry import DATASETS
from mmtvface.utils.setup_env import register_all_modules

REPO = Path(__file__).resolve().parents[2]


def write_result(path, name, factor, probe=(3., 1., 2.)):
    errors = factor * np.array([1., 2., 3.])
    clips = {key: errors.tolist() for key in COLUMNS}
    clips['drift_mm'][0] = None  # was NaN
    means = {key: 2 * factor for key in COLUMNS} | dict(lag_frames=.5)
    path.write_text(json.dumps(dict(
        name=name, parameters=3_440_000, flops_per_frame=None, iterations=9,
        data=dict(num_clips=3, clip_length=20, image_size=64, split='test',
                  head_probe=probe),
        levels=dict(hard=dict(means=means, clips=clips)))))
    return str(path)


def test_table(tmp_path, capsys):
    files = [write_result(tmp_path / 'a.json', 'slow', 1.),
             write_result(tmp_path / 'b.json', 'quick', .5)]
    out = tmp_path / 'new/table.md'
    assert main(['table', *files, '--baseline', 'slow', '--markdown',
                 str(out)]) == 0
    text = capsys.readouterr().out
    assert out.read_text() == text
    row = next(line for line in text.splitlines()
               if line.startswith('| quick') and '%' in line)
    assert row.count('1 (-50.0 % [-50.0, -50.0])') == len(COLUMNS)
    assert main(['table', *files, '--baseline', 'best']) == 2
    assert "'best' must be one of" in capsys.readouterr().err
    assert main(['table', str(tmp_path / 'c.json')]) == 2
    capsys.readouterr()
    for probe in ((3., 1., 2.5), (3., 1.), ['x', 1., 2.], None):
        other = write_result(tmp_path / 'd.json', 'other', 1., probe)
        assert main(['table', files[0], other]) == 2
        assert 'different head models' in capsys.readouterr().err
    old = json.loads((tmp_path / 'a.json').read_text())
    old['grades'] = old.pop('levels')
    (tmp_path / 'old.json').write_text(json.dumps(old))
    assert main(['table', str(tmp_path / 'old.json')]) == 0
    near = write_result(tmp_path / 'd.json', 'near', 1., (3., 1., 2.001))
    assert main(['table', files[0], near]) == 0
    assert main(['picture', str(tmp_path / 'x.png'), '--clips', '300']) == 2
    assert 'clips 0 to 299' in capsys.readouterr().err


def test_generate_and_its_errors(tmp_path, capsys):
    # One frame of the built-in head, in this process
    arguments = ['generate', '--out', str(tmp_path / 'scenes'), '--size',
                 '16', '--splits', 'val', '--scenes', '1', '--lengths', '1',
                 '--workers', '1']
    assert main(arguments) == 0
    assert 'val_16: made' in capsys.readouterr().out
    images = np.load(tmp_path / 'scenes/val_16/images.npy')
    assert images.shape == (1, 1, 16, 16, 3) and images.std() > 10
    assert main([*arguments, '--seed', '3']) == 2
    assert 'seed is 0, wanted: 3' in capsys.readouterr().err
    assert main(['generate', '--out', str(tmp_path), '--scenes', '1']) == 2
    assert '--scenes needs 3 numbers' in capsys.readouterr().err
    assert main(['evaluate', 'no.py', 'no.pth', '--out', str(
        tmp_path / 'x.json'), '--tune']) == 2
    assert 'nothing to tune' in capsys.readouterr().err
    assert main(['evaluate', 'no.py', 'no.pth', '--out', 'x.txt']) == 2
    assert 'must end with .json' in capsys.readouterr().err
    assert main(['train', 'no-such']) == 2
    assert 'configs/synthtv there are' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse_args(['generate', '--size', '0'])


def test_train_measures_what_it_trained(tmp_path, capsys, monkeypatch):
    trained, measured = [], []

    def pretend(arguments):
        trained.append(arguments)
        (tmp_path / 'iter_1.pth').touch()
        (tmp_path / 'last_checkpoint').write_text(
            str(tmp_path / 'iter_1.pth'))

    monkeypatch.setattr(train, 'main', pretend)
    monkeypatch.setattr(synthtv, 'measure',
                        lambda args, *rest: measured.extend(rest))
    name = 'deca_r18w32_1xb8-1k_synthtv-64'
    arguments = ['train', name, '--work-dir', str(tmp_path), '--cfg-options',
                 'model.head.hidden_channels=8', '--out']
    assert main([*arguments, 'x.txt']) == 2
    assert 'must end with .json' in capsys.readouterr().err and not trained
    out = str(tmp_path / 'x.json')
    assert main([*arguments, out]) == 0
    # mmengine writes the config with the options there
    assert measured == [str(tmp_path / f'{name}.py'),
                        str(tmp_path / 'iter_1.pth'), out]
    assert trained[0][-1] == arguments[-2]


def test_the_shipped_config_builds_its_data_sets():
    register_all_modules()
    cfg = Config.fromfile(REPO / 'configs/_base_/datasets/synthtv.py')
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset.data_root = None
        dataset = DATASETS.build(loader.dataset)
        assert len(dataset) == dict(train=400000, val=100, test=300)[split]
        assert dataset.clip_length == (5 if split == 'train' else 20)


def test_picture_in_the_documentation_is_there():
    text = (REPO / 'configs/synthtv/README.md').read_text(encoding='utf-8')
    name = text.split('](')[1].split(')')[0]
    image = cv2.imread(str(REPO / 'configs/synthtv' / name))
    assert image.shape[0] > 6 * 64  # two clips at three levels


def test_flops_of_a_frame_by_hand():
    register_all_modules()
    # Multiply-adds of the residual network of 32 channels at 64 pixels: the
    # first layer, four of 32 channels at 16 x 16, and three stages of a
    # strided, a shortcut and three plain layers, all of the same cost.
    stem = 7 * 7 * 3 * 32 * 32 * 32
    first = 4 * 9 * 32 * 32 * 16 * 16
    stage = (9 * 32 * 64 + 32 * 64 + 3 * 9 * 64 * 64) * 8 * 8
    # 2 x 2 places of 256 channels to 512 features to 236 codes
    head = 4 * 256 * 512 + 512 * 236
    config = REPO / 'configs/synthtv/deca_r18w32_1xb8-1k_synthtv-64.py'
    assert flops_per_frame(str(config), 3, 64) == (
        2 * (stem + first + 3 * stage + head))
