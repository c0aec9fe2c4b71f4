# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
import shutil

import pytest
import torch

from mmtvface.utils.packaged_model import (
    PACKAGED_NAME,
    WEIGHTS_DIR,
    packaged_model,
)


@pytest.fixture
def copied(tmp_path):
    folder = tmp_path / 'weights'
    shutil.copytree(WEIGHTS_DIR, folder)
    return folder


def test_it_is_small_and_holds_weights_only():
    model = packaged_model()
    assert model.checkpoint.stat().st_size <= 25e6
    content = torch.load(model.checkpoint, weights_only=True)
    assert set(content) == {'state_dict', 'meta'}
    state = content['state_dict']
    assert not any(name.startswith('losses.') for name in state)
    assert all(value.isfinite().all() for value in state.values())
    for key in ('config', 'seed', 'commands', 'iterations', 'metrics',
                'date', 'version', 'parameters'):
        assert key in model.info


def test_damaged_weights_are_named_with_the_remedy(copied):
    path = copied / f'{PACKAGED_NAME}.pth'
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match='is damaged: its SHA-256') as error:
        packaged_model(copied)
    assert f'git checkout -- {path}' in str(error.value)


@pytest.mark.parametrize('suffix', ['.py', '.pth', '.json'])
def test_missing_files_are_named(copied, suffix):
    path = copied / f'{PACKAGED_NAME}{suffix}'
    path.unlink()
    with pytest.raises(FileNotFoundError, match='git checkout') as error:
        packaged_model(copied)
    assert str(path) in str(error.value)


@pytest.mark.parametrize('text', ['{', '[]', json.dumps(dict(name='x'))])
def test_a_damaged_metafile(copied, text):
    (copied / f'{PACKAGED_NAME}.json').write_text(text)
    with pytest.raises(ValueError, match='json is damaged'):
        packaged_model(copied)
