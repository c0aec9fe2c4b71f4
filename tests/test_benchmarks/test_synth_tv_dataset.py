# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
import pickle

import numpy as np
import pytest
import torch

from mmtvface.benchmarks.synthtv import SceneSettings
from mmtvface.benchmarks.synthtv.dataset import SynthTVDataset
from mmtvface.benchmarks.synthtv.folder import (
    count_done,
    fill_scenes,
    finish_folder,
    prepare_folder,
)
from mmtvface.registry import DATASETS

SIZE = 32
FRAMES = 4
SCENES = 3


@pytest.fixture
def build(toy_head_config):
    def make(split='train', difficulty='hard', **kwargs):
        return SynthTVDataset(split, difficulty, **{**dict(
            clip_length=3, num_scenes=SCENES, scene_length=FRAMES,
            image_size=SIZE, head=toy_head_config), **kwargs})
    return make


@pytest.fixture(scope='module')
def folder(toy_head_config, tmp_path_factory):
    """A finished folder of two splits."""
    root = tmp_path_factory.mktemp('synthtv')
    for split in ('train', 'test'):
        settings = SceneSettings(split, SIZE, FRAMES, head=toy_head_config)
        part = prepare_folder(root, settings, SCENES)
        fill_scenes(part, settings, SCENES)
        finish_folder(part)
    return root


def same(one, two):
    a, b = one['data_samples'], two['data_samples']
    return (torch.equal(one['inputs'], two['inputs'])
            and torch.equal(a.gt_landmarks, b.gt_landmarks)
            and torch.equal(a.gt_masks, b.gt_masks)
            and all(torch.equal(a.gt_codes[k], b.gt_codes[k])
                    for k in a.gt_codes)
            and a.metainfo['frame_indices'] == b.metainfo['frame_indices'])


def test_item(toy_head_config, folder):
    dataset = DATASETS.build(dict(
        type='SynthTVDataset', split='test', difficulty='medium',
        clip_length=None, image_size=SIZE, scene_length=FRAMES,
        data_root=str(folder), head=toy_head_config, with_vertices=True))
    assert len(dataset) == SCENES
    item = dataset[1]
    sample = item['data_samples']
    assert item['inputs'].shape == (FRAMES, 3, SIZE, SIZE)
    assert item['inputs'].dtype == torch.uint8
    assert sample.gt_landmarks.shape == (FRAMES, 68, 3)
    assert sample.gt_masks.shape == (FRAMES, 1, SIZE, SIZE)
    assert 0 <= sample.gt_masks.min() and .2 < sample.gt_masks.max() <= 1
    assert sample.difficulty == 'medium' and sample.fps == 25
    assert sample.clip_id == 'test_000001'
    assert sample.identity == 'test_00001'
    codes = sample.gt_codes
    assert codes['light'].shape == (FRAMES, 9, 3)
    flame = dataset.settings.build_flame()
    torch.testing.assert_close(sample.gt_vertices, flame(
        codes['shape'], codes['exp'], codes['pose']).vertices)
    # Items are the caller's: nothing he does reaches the files.
    kept = codes['exp'].clone()
    codes['exp'].zero_()
    sample.gt_landmarks.zero_()
    again = dataset[1]['data_samples']
    assert torch.equal(again.gt_codes['exp'], kept)


def test_folder_and_rendering_on_the_fly_agree(build, folder):
    for split in ('train', 'test'):
        stored = build(split, data_root=folder, num_clips=5)
        rendered = build(split, num_clips=5)
        for index in (4, 1, -1):
            assert same(stored[index], rendered[index])
    assert same(pickle.loads(pickle.dumps(stored))[2], rendered[2])


def test_an_item_is_a_function_of_seed_split_and_index(build, folder):
    dataset = build(data_root=folder, num_clips=3 * SCENES)
    items = [dataset[i] for i in range(3 * SCENES)]
    assert same(items[7], build(data_root=folder, num_clips=99)[7])
    # The same scene with another window or other degradations
    first, later = items[1], items[1 + SCENES]
    assert not same(first, later)
    assert first['data_samples'].identity == later['data_samples'].identity
    torch.testing.assert_close(first['data_samples'].gt_codes['shape'],
                               later['data_samples'].gt_codes['shape'])
    assert len({tuple(item['data_samples'].frame_indices)
                for item in items}) == 2
    for other in (build(num_clips=9, seed=1)[7], build('test')[1], items[4]):
        assert not same(items[7], other)
    with pytest.raises(IndexError):
        dataset[9]


def test_levels_are_paired_and_get_worse(build, folder):
    clips = [[build('test', level, data_root=folder)[i] for i in range(3)]
             for level in ('easy', 'medium', 'hard')]
    for easy, other in zip(clips[0] + clips[0], clips[1] + clips[2],
                           strict=True):
        a, b = easy['data_samples'], other['data_samples']
        assert torch.equal(a.gt_landmarks, b.gt_landmarks)
        assert a.frame_indices == b.frame_indices == list(range(3))
    scenes = build('test', data_root=folder).scenes
    loss = [np.mean([np.abs(
        clip['inputs'].permute(0, 2, 3, 1).numpy()
        - scenes[i].images[:3].astype(float)).mean()
        for i, clip in enumerate(row)]) for row in clips]
    assert loss[0] < 8 < loss[1] < loss[2]


def test_mixed_has_all_levels(build, folder):
    dataset = build(difficulty='mixed', data_root=folder, num_clips=24)
    items = {dataset[i]['data_samples'].difficulty: i for i in range(24)}
    assert set(items) == {'easy', 'medium', 'hard'}
    for level, index in items.items():
        alone = build(difficulty=level, data_root=folder, num_clips=24)
        assert same(alone[index], dataset[index])


def test_wrinkles_are_rendered_on_the_fly(build, folder):
    with pytest.raises(ValueError, match='without wrinkles'):
        build(wrinkles=True, data_root=folder)


def test_performance_is_that_of_the_renderer(build):
    talking, lively = (build(performance=name)[0]['data_samples'].gt_codes
                       for name in ('talking', 'lively'))
    assert torch.equal(talking['shape'], lively['shape'])
    assert not torch.equal(talking['pose'], lively['pose'])


def test_bad_options(build, folder):
    for bad, words in ((dict(difficulty='awful'), "'awful'"),
                       (dict(split='dev'), "'dev'"),
                       (dict(performance='mute'), "lively.*'mute'"),
                       (dict(clip_length=5), 'clip_length must be 1 to 4'),
                       (dict(data_root=folder, num_scenes=9), '3 scenes')):
        with pytest.raises(ValueError, match=words):
            build(**bad)


def test_folders_that_do_not_fit(build, folder, tmp_path, toy_head_config):
    with pytest.raises(FileNotFoundError, match='--size 32 --splits val'):
        build('val', data_root=folder)
    with pytest.raises(FileNotFoundError, match='--size 32 --splits train '
                       '--performance lively'):
        build(data_root=folder, performance='lively')
    with pytest.raises(ValueError, match='seed is 0, wanted: 2'):
        build(data_root=folder, seed=2)
    with pytest.raises(ValueError, match='another head model'):
        SynthTVDataset(image_size=SIZE, scene_length=FRAMES,
                       data_root=folder, clip_length=2)
    broken = tmp_path / f'train_{SIZE}'
    broken.mkdir()
    manifest = (folder / broken.name / 'manifest.json').read_text()
    (broken / 'manifest.json').write_text(manifest)
    (broken / 'images.npy').write_bytes(b'no array')
    with pytest.raises(ValueError, match='images.npy.*generate it again'):
        build(data_root=tmp_path)
    (broken / 'manifest.json').write_text(json.dumps([1]))
    with pytest.raises(ValueError, match='not a manifest'):
        build(data_root=tmp_path)


def test_generation_resumes(tmp_path, toy_head_config, folder):
    settings = SceneSettings('train', SIZE, FRAMES, head=toy_head_config)
    part = prepare_folder(tmp_path, settings, SCENES)
    with pytest.raises(ValueError, match='3 scenes.*missing'):
        finish_folder(part)
    fill_scenes(part, settings, SCENES, 1, 3)
    assert count_done(part) == 1
    images = np.load(part / 'images.npy', mmap_mode='r+')
    assert images[1].any() and not images[0].any()
    images[1] = 7  # is not rendered again
    images.flush()
    assert prepare_folder(tmp_path, settings, SCENES) == part
    told = []
    fill_scenes(part, settings, SCENES, tell=told.append)
    assert told == [1, 2, 3] and count_done(part) == 3
    done = finish_folder(part)
    assert prepare_folder(tmp_path, settings, SCENES) is None
    result = np.load(done / 'images.npy', mmap_mode='r')
    want = np.load(folder / done.name / 'images.npy', mmap_mode='r')
    assert (result[1] == 7).all()
    assert np.array_equal(result[[0, 2]], want[[0, 2]])
    with pytest.raises(ValueError, match='3 scenes, wanted: 4'):
        prepare_folder(tmp_path, settings, 4)
