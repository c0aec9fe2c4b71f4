# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The closed-form test of trained trunks."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools/analysis_tools'))
probe_trunk = importlib.import_module('probe_trunk')


def test_what_features_know_and_what_not():
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((600, 3))
    features = hidden @ rng.standard_normal((3, 8)) + 5
    known = 2 * hidden[:, :1] + 1
    unknown = rng.standard_normal((600, 1))
    values = np.concatenate([known, unknown], 1)
    r2 = probe_trunk.fitted_r2(features[:400], values[:400], features[400:],
                               values[400:], ridge=1e-6)
    assert r2[0] == pytest.approx(1, abs=1e-3)
    assert abs(r2[1]) < .05
    assert probe_trunk.explained(np.zeros((4, 1)), np.array(
        [[1.], [-1.], [1.], [-1.]])).tolist() == [0.]
    assert probe_trunk.explained(np.full((4, 1), 2.), np.array(
        [[1.], [-1.], [1.], [-1.]])).tolist() == [-4.]


def test_table_of_the_packaged_model(capsys):
    assert probe_trunk.main(['--clips', '3', '--test-clips', '2']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 'encoder features' in lines[0] and 'hidden layer' in lines[0]
    assert {'mouth_open', 'eye_left', 'jaw', 'yaw'} <= {
        line.split('|')[1].strip() for line in lines if '|' in line}
