# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import dataclasses
import pickle

import numpy as np
import pytest
import scipy.sparse
from helpers.toy_head import toy_head

from mmtvface.heads import HeadModelData, load_head_model, save_head_model


def _entries(model):
    """The entries of the published pickle, in its types."""
    kintree = np.stack((model.parents, np.arange(5))).astype(np.uint32)
    return dict(
        v_template=model.v_template, f=model.faces.astype(np.uint32),
        shapedirs=model.shapedirs, posedirs=model.posedirs,
        J_regressor=scipy.sparse.csc_matrix(model.J_regressor),
        kintree_table=kintree, weights=model.weights, J=model.joints,
        bs_style='lbs', bs_type='lrotmin')


def _write(path, entries):
    path.write_bytes(pickle.dumps(entries, protocol=2))
    return path


def _assert_same(result, expected):
    for field in dataclasses.fields(HeadModelData):
        actual, want = (getattr(m, field.name) for m in (result, expected))
        np.testing.assert_array_equal(actual, want, err_msg=field.name)
        assert actual.dtype == (
            np.int64 if field.name in ('faces', 'parents') else np.float64)


def test_reads_the_published_format(tmp_path):
    model = toy_head().model
    assert _entries(model)['kintree_table'][0, 0] == 2**32 - 1
    path = _write(tmp_path / 'generic_model.pkl', _entries(model))
    _assert_same(load_head_model(path), model)
    _assert_same(load_head_model(str(path)), model)


def test_npz_round_trip(tmp_path):
    model = toy_head(seed=1).model
    save_head_model(tmp_path / 'new' / 'model.npz', model)
    _assert_same(load_head_model(tmp_path / 'new' / 'model.npz'), model)
    with pytest.raises(ValueError, match=r"'\.npz'"):
        save_head_model(tmp_path / 'model.pkl', model)


def test_joints_are_regressed_from_the_mean():
    model = toy_head().model
    expected = [sum(model.J_regressor[j, v] * model.v_template[v]
                    for v in range(60)) for j in range(5)]
    np.testing.assert_allclose(model.joints, expected, atol=1e-15)


@pytest.mark.parametrize('key, change, message', [
    ('v_template', lambda a: a[:, :2], r'v_template .*\(60, 2\)'),
    ('shapedirs', lambda a: a[..., :300],
     r'shapedirs .*\(60, 3, 400\).*\(60, 3, 300\)'),
    ('posedirs', lambda a: a[:59], r'posedirs .*\(59, 3, 36\)'),
    ('J_regressor', lambda a: a[:4], r'J_regressor .*\(4, 60\)'),
    ('kintree_table', lambda a: a[:, :4], r'kintree_table .*\(2, 4\)'),
    ('kintree_table', lambda a: a[:, [0, 1, 3, 2, 4]], 'in order'),
    ('kintree_table', lambda a: np.stack((a[1], a[1])), 'earlier one'),
    ('weights', lambda a: a[:, :4], r'weights .*\(60, 4\)'),
    ('f', lambda a: a + 1, r'60 vertices, but the indices span 1\.\.60'),
    ('v_template', lambda a: a * np.nan, 'v_template holds NaN'),
    ('weights', lambda a: 'lbs', 'weights must be an array of numbers'),
])
def test_says_what_is_wrong_with_the_file(tmp_path, key, change, message):
    entries = _entries(toy_head().model)
    entries[key] = change(entries[key])
    path = _write(tmp_path / 'generic_model.pkl', entries)
    with pytest.raises(ValueError, match=message) as caught:
        load_head_model(path)
    assert str(path) in str(caught.value)
    assert 'https://flame.is.tue.mpg.de' in str(caught.value)


def test_missing_entries_and_other_content(tmp_path):
    entries = _entries(toy_head().model)
    del entries['weights'], entries['f']
    with pytest.raises(ValueError, match=r"\['f', 'weights'\] are missing"):
        load_head_model(_write(tmp_path / 'few.pkl', entries))
    with pytest.raises(ValueError, match='holds list'):
        load_head_model(_write(tmp_path / 'list.pkl', [1, 2]))


@pytest.mark.parametrize('name', ['generic_model.pkl', 'model.npz'])
def test_missing_file_says_where_to_get_it(tmp_path, name):
    with pytest.raises(FileNotFoundError, match='flame.is.tue.mpg') as caught:
        load_head_model(tmp_path / name)
    assert "'procedural'" in str(caught.value)
