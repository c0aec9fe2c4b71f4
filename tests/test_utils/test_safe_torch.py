# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pickle

import numpy as np
import pytest
import torch

from mmtvface.utils.safe_pickle import UnsafePickleError
from mmtvface.utils.safe_torch import (
    flatten_tensors,
    load_torch,
    other_leaves,
)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


both_formats = pytest.mark.parametrize('zipped', [True, False],
                                       ids=['zip', 'legacy'])


@both_formats
def test_tensors_of_both_formats(tmp_path, zipped):
    content = {'E_flame': {'a': torch.arange(3.)}, 'global_step': 4,
               'opt': {'state': {0: {'exp_avg': torch.zeros(2)}}}}
    torch.save(content, tmp_path / 'm.tar',
               _use_new_zipfile_serialization=zipped)
    loaded = load_torch(tmp_path / 'm.tar')
    assert loaded['E_flame']['a'].tolist() == [0, 1, 2]
    assert loaded['global_step'] == 4
    assert set(flatten_tensors(loaded)) == {'E_flame.a',
                                            'opt.state.0.exp_avg'}


@both_formats
def test_code_is_refused_and_not_run(tmp_path, zipped):
    path, trace = tmp_path / 'm.tar', tmp_path / 'trace'
    torch.save({'E_flame': {'a': torch.zeros(1)}, 'x': Payload(trace)}, path,
               _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafePickleError, match=r"m.tar .*asks for '.*open'"):
        load_torch(path)
    assert not trace.exists()
    # The payload is one: the check above can fail.
    torch.load(path, weights_only=False)
    assert trace.exists()


@both_formats
def test_truncated_files(tmp_path, zipped):
    path = tmp_path / 'm.tar'
    torch.save({'a': torch.zeros(500)}, path,
               _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ValueError, match='m.tar cannot be read as a DECA.*'
                       'truncated.*Get it'):
        load_torch(path, 'DECA checkpoint', 'Get it again.')


@pytest.mark.parametrize('data, reason', [
    (b'', 'cannot be read'),
    (b'\n<!DOCTYPE html><html>', 'it is a web page'),
    (b'just text', 'cannot be read'),
    (pickle.dumps({'a': 1}), 'cannot be read'),
])
def test_other_files(tmp_path, data, reason):
    path = tmp_path / 'm.tar'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=reason) as error:
        load_torch(path)
    # torch's own advice would run the file.
    assert 'weights_only' not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='checkpoint not found.*Ask'):
        load_torch(tmp_path / 'm.tar', remedy='Ask.')


def test_flatten_tensors():
    content = {'a': [torch.zeros(1), {'b': torch.zeros(2)}], 'c': 'text',
               4: torch.zeros(3)}
    assert {k: len(v) for k, v in flatten_tensors(content).items()} == {
        'a.0': 1, 'a.1.b': 2, '4': 3}


def test_arrays_are_tensors_and_the_rest_is_told():
    array = np.arange(3, dtype='>f4')
    content = {'a': {'w': array, 's': np.array(['x'])}, 'b': [1., None],
               'c': {}}
    found = flatten_tensors(content)
    assert list(found) == ['a.w'] and found['a.w'].tolist() == [0, 1, 2]
    found['a.w'] += 1
    assert array[0] == 0  # a copy
    assert other_leaves(content) == ['a.s', 'b.0']
