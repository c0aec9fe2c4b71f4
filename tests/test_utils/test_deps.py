# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
from importlib import metadata

import pytest

from mmtvface.models.encoders import TemporalResNet
from mmtvface.utils import deps


def test_hints_leave_numpy_and_torch_as_they_are():
    with pytest.raises(ImportError) as error:
        deps.require('no_such_module', 'Nothing', 'pip install nothing')
    text = str(error.value)
    assert text.startswith("Nothing needs the package 'no_such_module'")
    assert f'pip install nothing numpy=={metadata.version("numpy")}' in text
    assert f'torch=={metadata.version("torch")}' in text


@pytest.mark.parametrize('command', [
    'pip install --no-deps mediapipe==0.10.14', 'see https://example.org'])
def test_other_hints_stay_as_they_are(command):
    assert deps.without_upgrades(command) == command


def test_a_temporal_model_says_what_it_needs(monkeypatch):
    found = deps.importlib.util.find_spec
    monkeypatch.setattr(deps.importlib.util, 'find_spec', lambda name: (
        None if name == 'mmagic' else found(name)))
    with pytest.raises(ImportError, match='but mmagic cannot be found: .*'
                       'bash tools/bootstrap.sh temporal'):
        TemporalResNet(depth=18)
