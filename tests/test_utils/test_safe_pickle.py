# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import builtins
import os
import pickle
import subprocess
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest
import scipy.sparse
import torch

from mmtvface.utils.safe_pickle import (
    UnsafePickleError,
    load_npy,
    load_npz,
    load_pickle,
)


class Ch:
    """What a pickled chumpy object is: an instance dict with ``x``."""

    __module__ = 'chumpy.ch'

    def __init__(self, x):
        self.x = x
        self._dirty_vars = {'x'}
        self._itr = None
        self._depends_on_deps = {}


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def _chumpy_pickle(content, protocol=2):
    """Pickle with a chumpy that exists only while pickling."""
    package, module = types.ModuleType('chumpy'), types.ModuleType('chumpy.ch')
    module.Ch = Ch
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, 'chumpy', package)
        patch.setitem(sys.modules, 'chumpy.ch', module)
        return pickle.dumps(content, protocol=protocol)


@pytest.mark.parametrize('protocol', [0, 1, 2, 4, 5])
@pytest.mark.parametrize('scipy_module', ['scipy.sparse._csc',
                                          'scipy.sparse.csc'])
def test_reads_chumpy_and_sparse_arrays(tmp_path, protocol, scipy_module):
    rng = np.random.default_rng(0)
    template = rng.normal(size=(5, 3))
    regressor = rng.random((2, 5)) * (rng.random((2, 5)) < .5)
    data = _chumpy_pickle(
        dict(v_template=Ch(template), f=np.arange(6, dtype=np.uint32),
             J_regressor=scipy.sparse.csc_matrix(regressor), bs_type='lrot',
             nested=[(Ch(template[:2]), np.float32(2.5))]), protocol)
    if protocol < 4:  # a module name of any length ends at a line break
        data = data.replace(b'cscipy.sparse._csc\n',
                            f'c{scipy_module}\n'.encode())
        assert scipy_module.encode() in data
    assert b'chumpy.ch' in data and 'chumpy' not in sys.modules
    path = tmp_path / 'model.pkl'
    path.write_bytes(data)

    result = load_pickle(path)

    assert type(result['v_template']) is np.ndarray
    np.testing.assert_array_equal(result['v_template'], template)
    np.testing.assert_array_equal(result['J_regressor'], regressor)
    np.testing.assert_array_equal(result['f'], np.arange(6))
    assert result['f'].dtype == np.uint32
    assert result['bs_type'] == 'lrot'
    np.testing.assert_array_equal(result['nested'][0][0], template[:2])
    assert result['nested'][0][1] == np.float32(2.5)
    assert result['v_template'].flags.writeable


def test_reads_numpy_2_names(tmp_path):
    data = pickle.dumps(np.arange(3.), protocol=2)
    assert b'numpy.core.multiarray' in data
    path = tmp_path / 'array.pkl'
    path.write_bytes(data.replace(b'numpy.core.', b'numpy._core.'))
    np.testing.assert_array_equal(load_pickle(path), np.arange(3.))


def test_reads_strings_of_python_2(tmp_path):
    # Python 2 wrote array bytes as str: opcode U, a length byte, the bytes.
    array = np.array([1.5, -2.])
    raw = array.tobytes()
    python2 = (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n"
               b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"
               b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNN"
               b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U"
               + bytes([len(raw)]) + raw + b'tb.')
    path = tmp_path / 'array.pkl'
    path.write_bytes(python2)
    np.testing.assert_array_equal(load_pickle(path), array)


def test_reads_torch_tensors_in_an_object_array(tmp_path):
    table = torch.arange(12).reshape(3, 4)
    content = dict(plain=np.ones(2), whole=table, view=table[1:, ::2],
                   turned=table.t(), single=torch.tensor(2.5),
                   empty=torch.zeros(0, 3))
    path = tmp_path / 'embedding.npy'
    np.save(path, content, allow_pickle=True)
    assert b'torch' in path.read_bytes()

    result = load_npy(path)

    assert all(type(array) is np.ndarray for array in result.values())
    for name, value in content.items():
        np.testing.assert_array_equal(result[name], np.asarray(value))
    assert result['whole'].dtype == np.int64


def test_plain_npy_and_collections(tmp_path):
    np.save(tmp_path / 'plain.npy', np.arange(4.))
    np.testing.assert_array_equal(load_npy(tmp_path / 'plain.npy'),
                                  np.arange(4.))
    path = tmp_path / 'weights.pkl'
    path.write_bytes(pickle.dumps(OrderedDict(a=np.ones(2), b={1, 2})))
    result = load_pickle(path)
    assert list(result) == ['a', 'b'] and result['b'] == {1, 2}


@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('function, args, name', [
    (os.system, ('touch {marker}',), r'(posix|nt)\.system'),
    (builtins.eval, ('open("{marker}", "w")',),
     r'(__builtin__|builtins)\.eval'),
    (builtins.getattr, (np.ndarray, 'dumps'), r'getattr'),
    (builtins.open, ('{marker}', 'w'), r'open'),
    (subprocess.getoutput, ('touch {marker}',),
     r'(commands|subprocess)\.getoutput'),
    (np.load, ('{marker}',), r'numpy\.load'),
    (torch.load, ('{marker}',), r'torch\.serialization\.load'),
])
def test_refuses_everything_else_by_name(tmp_path, protocol, function, args,
                                         name):
    marker = tmp_path / 'marker'
    args = tuple(arg.format(marker=marker) if isinstance(arg, str) else arg
                 for arg in args)
    path = tmp_path / 'evil.pkl'
    path.write_bytes(pickle.dumps({'v_template': Call(function, *args)},
                                  protocol=protocol))
    with pytest.raises(UnsafePickleError, match=name) as caught:
        load_pickle(path, 'FLAME model', 'Get a good one.')
    assert str(path) in str(caught.value)
    assert 'Get a good one.' in str(caught.value)
    assert not marker.exists()


def test_refuses_code_inside_an_object_array_and_a_storage(tmp_path):
    marker = tmp_path / 'marker'
    evil = Call(os.system, f'touch {marker}')
    np.save(tmp_path / 'evil.npy', {'a': evil}, allow_pickle=True)
    with pytest.raises(UnsafePickleError, match='system'):
        load_npy(tmp_path / 'evil.npy')
    # The bytes of a torch storage are a pickle of their own.
    inner = tmp_path / 'inner.pt'
    torch.save(evil, inner, _use_new_zipfile_serialization=False)
    nested = tmp_path / 'nested.pkl'
    nested.write_bytes(pickle.dumps(
        Call(torch.storage._load_from_bytes, inner.read_bytes())))
    with pytest.raises(ValueError, match='nested.pkl'):
        load_pickle(nested)
    assert not marker.exists()


def test_refuses_codecs_that_are_no_text_encodings(tmp_path):
    path = tmp_path / 'codec.pkl'
    path.write_bytes(b'c_codecs\nencode\n(VA\nVzlib\ntR.')
    with pytest.raises(UnsafePickleError, match="codec 'zlib'"):
        load_pickle(path)


def test_does_not_let_a_file_change_the_reader(tmp_path):
    # BUILD on the class itself would set attributes for later files.
    path = tmp_path / 'build.pkl'
    path.write_bytes(b"cchumpy.ch\nCh\n}(X\x05\x00\x00\x00valueK\x01ub.")
    with pytest.raises(ValueError, match='build.pkl'):
        load_pickle(path)
    good = tmp_path / 'good.pkl'
    good.write_bytes(_chumpy_pickle(Ch(np.ones(3))))
    np.testing.assert_array_equal(load_pickle(good), np.ones(3))


def test_refuses_tensors_beyond_their_storage(tmp_path):
    storage = torch.arange(4.)
    path = tmp_path / 'beyond.pkl'
    rebuild = storage.__reduce_ex__(2)
    args = list(rebuild[1])
    args[2], args[3] = (2, 4), (4, 1)
    path.write_bytes(pickle.dumps(Call(rebuild[0], *args)))
    with pytest.raises(ValueError, match='beyond its storage'):
        load_pickle(path)


@pytest.mark.parametrize('content, message', [
    (b'', 'empty'),
    (b' \n', 'empty'),
    (b'\n<!DOCTYPE html><html><body>Login</body></html>', 'web page'),
    (b'PK\x03\x04' + bytes(40), 'ZIP archive'),
    (pickle.dumps({'a': np.arange(50.)})[:-80], 'truncated'),
    (b'\x00\x01not a pickle', 'damaged'),
])
def test_says_what_is_wrong_with_a_file(tmp_path, content, message):
    path = tmp_path / 'generic_model.pkl'
    path.write_bytes(content)
    for load in (load_pickle, load_npy):
        with pytest.raises(ValueError, match=message) as caught:
            load(path, 'FLAME model', 'Download it again.')
        assert str(path) in str(caught.value)
        assert 'Download it again.' in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='FLAME model not found'):
        load_pickle(tmp_path / 'none.pkl', 'FLAME model')


def test_npz_refuses_pickles_and_damage(tmp_path):
    np.savez(tmp_path / 'good.npz', a=np.arange(3))
    np.testing.assert_array_equal(load_npz(tmp_path / 'good.npz')['a'],
                                  np.arange(3))
    np.savez(tmp_path / 'objects.npz', a=np.array([{}], dtype=object))
    (tmp_path / 'damaged.npz').write_bytes(b'PK\x03\x04damaged')
    for name in ('objects.npz', 'damaged.npz'):
        with pytest.raises(ValueError, match=name):
            load_npz(tmp_path / name)
