# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
from pathlib import Path

from mmtvface.benchmarks.speed import profile_step

TINY = (Path(__file__).resolve().parents[2] / 'configs/temporal_deca' /
        'temporal-deca_tiny_1xb8-quickstart_synthetic.py')


def test_missing_weights_become_random(tmp_path):
    there = tmp_path / 'there.pth'
    there.touch()
    model = dict(
        encoder=dict(spynet_pretrained='nowhere/spynet.pth'),
        detail=dict(encoder=dict(spynet_pretrained=str(there))),
        losses=dict(mrf=dict(weights='nowhere/vgg.pth', loss_weight=1.)),
        parts=[dict(pretrained='https://example.org/x.pth')])
    missing = []
    changed = profile_step.without_missing_files(model, missing)
    assert changed['encoder']['spynet_pretrained'] is None
    assert changed['detail'] == model['detail']
    assert changed['losses']['mrf'] == dict(weights='random', loss_weight=1.)
    assert changed['parts'] == model['parts']
    assert missing == ['nowhere/spynet.pth', 'nowhere/vgg.pth']


def test_profile_of_a_small_model(tmp_path, capsys):
    out = tmp_path / 'new' / 'step.json'
    profile_step.main([
        str(TINY), '--frames', '2', '--size', '32', '--steps', '1', '--out',
        str(out)])
    result = json.loads(out.read_text())
    assert result['seconds'] == result['all_seconds'][0] > 0
    assert result['peak_gib'] >= result['start_gib'] > 0
    shares = [row['share'] for row in result['operators']]
    assert abs(sum(shares) - 1) < 1e-6
    assert shares == sorted(shares, reverse=True)
    names = {row['name'] for row in result['operators']}
    assert {'aten::convolution_backward', '_DeformConv'} & names
    assert 'peak memory' in capsys.readouterr().out
