# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmtvface.benchmarks.speed import flops as get_flops
from mmtvface.utils.setup_env import register_all_modules

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
TEMPORAL = (CONFIGS / 'temporal_deca' /
            'temporal-deca_tiny_1xb8-detail_synthetic-wrinkles.py')


@pytest.fixture(scope='module')
def temporal():
    register_all_modules()
    model = get_flops.build(TEMPORAL)
    result = get_flops.count(model, (3, 64, 64))
    return model, {row['name']: row for row in result['parts']}, result


def test_convolutions_by_hand(temporal):
    parts = temporal[1]
    # 3 -> 16 channels, 3x3, 3 frames, half of 64 pixels
    assert parts['encoder.head']['flops'] == 2 * 3 * 32**2 * 16 * 27
    assert parts['encoder.head']['parameters'] == 16 * 27 + 16


def test_alignment_by_hand(temporal):
    parts = temporal[1]
    # Four branches align all but their first frame, at a quarter of 64.
    pixels = 4 * 2 * 16**2
    prefix = 'encoder.rnn.deform_align.'
    # two last features, flows and three guides of 16 channels; 2 groups
    offsets = 9 * 16 * (3 * 16 + 4) + 2 * 9 * 16**2 + 9 * 16 * 27 * 2
    assert parts[f'{prefix}conv_offset']['flops'] == 2 * pixels * offsets
    assert parts[f'{prefix}deformable product']['flops'] == (
        2 * pixels * 9 * 32 * 16)
    assert parts[f'{prefix}deformable sampling']['flops'] == (
        2 * pixels * 9 * 32 * 5)


def test_parts_make_the_whole(temporal):
    model, parts, result = temporal
    assert sum(row['flops'] for row in parts.values()) == result['flops']
    assert sum(row['parameters'] for row in parts.values()) == (
        result['parameters'])
    assert result['parameters'] == sum(
        p.numel() for p in model.parameters())
    assert {'head', 'flame', 'texture', 'detail.head', 'detail.decoder',
            'encoder.rnn.fusion', 'encoder.layer4'} <= set(parts)
    # One product: 3 frames, 150 blend shapes, 9 correctives of the jaw
    vertices = model.flame.v_template.numel()
    assert parts['flame']['flops'] >= 2 * 3 * 159 * vertices


def test_frames_and_pixels_count(temporal):
    model, parts, _ = temporal
    more = {row['name']: row for row in get_flops.count(
        model, (6, 64, 128))['parts']}
    assert more['encoder.layer1']['flops'] == (
        4 * parts['encoder.layer1']['flops'])
    assert more['head']['flops'] == 2 * parts['head']['flops']


def test_nothing_stays_behind(temporal):
    model = temporal[0]
    assert not any(m._forward_hooks or m._forward_pre_hooks
                   for m in model.modules())
    with torch.no_grad():
        assert model.encode(torch.rand(1, 2, 3, 64, 64)).isfinite().all()


def test_comparison(tmp_path, capsys):
    small = tmp_path / 'small.py'
    config = Config.fromfile(TEMPORAL)
    config.model.detail = None
    config.model.stage = 'coarse'
    config.model.detail_consistency = False
    config.model.encoder = dict(type='ResNetEncoder', depth=18,
                                base_channels=16)
    config.dump(small)
    out = tmp_path / 'new' / 'flops.json'
    report = get_flops.main([str(TEMPORAL), '--shape', '2', '64', '64',
                             '--compare', str(small), '--out', str(out)])
    assert json.loads(out.read_text()) == report
    first, second = report[str(TEMPORAL)], report[str(small)]
    assert first['shape'] == second['shape'] == [2, 64, 64]
    assert report['ratio']['flops'] == first['flops'] / second['flops'] > 1
    assert 'renderer is not counted' in ' '.join(
        capsys.readouterr().out.split())


def test_errors(tmp_path, capsys):
    empty = tmp_path / 'empty.py'
    empty.write_text('a = 1\n')
    with pytest.raises(ValueError, match='has no model'):
        get_flops.build(empty)
    with pytest.raises(SystemExit):
        get_flops.main([str(TEMPORAL), '--shape', '0', '64', '64'])
    assert '--shape must be positive' in capsys.readouterr().err
