# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import time

import numpy as np
import pytest

from mmtvface.heads.providers.procedural import (
    cache,
    generate_head,
    procedural_head,
    save_procedural_head,
)


@pytest.fixture(scope='module')
def packed():
    return cache.pack_head(procedural_head())


@pytest.fixture
def no_generator(monkeypatch):
    """Count generations and answer them with the head in memory."""
    calls = []

    def generate():
        calls.append(1)
        return procedural_head()

    monkeypatch.setattr(cache, 'generate_head', generate)
    return calls


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_generation_is_fast_and_bitwise_deterministic(packed):
    start = time.process_time()
    again = generate_head()
    assert time.process_time() - start < 10
    assert_same(packed, cache.pack_head(again))


def test_cache_round_trip(tmp_path, packed, no_generator):
    first = cache.load_or_generate(tmp_path / 'new')
    assert no_generator == [1]
    files = list((tmp_path / 'new').iterdir())
    assert [file.suffix for file in files] == ['.npz']
    second = cache.load_or_generate(tmp_path / 'new')
    assert no_generator == [1]
    assert_same(cache.pack_head(first), packed)
    assert_same(cache.pack_head(second), packed)


@pytest.mark.parametrize('damage', ['truncated', 'garbage', 'empty'])
def test_damaged_cache_is_generated_again(tmp_path, packed, no_generator,
                                          damage):
    cache.load_or_generate(tmp_path)
    file, = tmp_path.iterdir()
    content = file.read_bytes()
    file.write_bytes({'truncated': content[:len(content) // 2],
                      'garbage': b'no archive', 'empty': b''}[damage])
    head = cache.load_or_generate(tmp_path)
    assert len(no_generator) == 2
    assert_same(cache.pack_head(head), packed)
    assert file.stat().st_size == len(content)


def test_unwritable_cache_still_gives_a_head(tmp_path, packed, no_generator):
    blocked = tmp_path / 'file'
    blocked.write_text('in the way')
    head = cache.load_or_generate(blocked / 'cache')
    assert_same(cache.pack_head(head), packed)


def test_key_depends_on_the_source():
    key = cache.generator_key()
    assert len(key) == 16
    assert key == cache.generator_key()


def test_the_model_file_stands_for_a_complete_folder(tmp_path, monkeypatch):
    savez = np.savez

    def fail(path, **arrays):
        if 'tex_dir' in arrays:
            path.write_bytes(b'half')
            raise OSError('disk full')
        savez(path, **arrays)

    monkeypatch.setattr(np, 'savez', fail)
    with pytest.raises(OSError, match='disk full'):
        save_procedural_head(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert 'landmark_embedding.npy' in names
    assert not names & {'generic_model.npz', 'FLAME_texture.npz'}
    assert not [name for name in names if 'part' in name]


def test_saved_files_have_the_official_keys(tmp_path):
    folder = save_procedural_head(tmp_path / 'head')
    head = procedural_head()
    with np.load(folder / 'generic_model.npz') as model:
        assert set(model.files) >= {
            'v_template', 'f', 'shapedirs', 'posedirs', 'J_regressor',
            'kintree_table', 'weights'}
        np.testing.assert_array_equal(model['shapedirs'],
                                      head.model.shapedirs)
        assert model['kintree_table'][0].tolist() == [-1, 0, 1, 1, 1]
    embedding = np.load(folder / 'landmark_embedding.npy',
                        allow_pickle=True)[()]
    assert embedding['dynamic_lmk_bary_coords'].shape == (79, 17, 3)
    with np.load(folder / 'FLAME_texture.npz') as texture:
        np.testing.assert_allclose(
            texture['mean'][..., ::-1] / 255, head.albedo_mean, atol=1e-6)
    names = {path.name for path in folder.iterdir()}
    assert {'head_template.obj', 'uv_face_mask.png',
            'uv_face_eye_mask.png', 'fixed_displacement_256.npy'} <= names
    text = (folder / 'head_template.obj').read_text().split('\n')
    starts = [line.split(' ')[0] for line in text]
    assert starts.count('v') == len(head.model.v_template)
    assert starts.count('vt') == len(head.topology.uv_coords)
    assert starts.count('f') == len(head.model.faces)
