# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import json
import shutil

import pytest
from helpers.fake_datasets import write_clip, write_clip_set

from mmtvface.datasets import FaceClipDataset

KWARGS = dict(clip_length=2, image_size=32, test_mode=True)


@pytest.fixture
def clip_set(tmp_path):
    return write_clip_set(tmp_path / 'set', {
        'train': [('b', 'bob', 2), ('a', 'ann', 2)], 'val': [('c', 'cy', 2)]})


def people(dataset):
    return [(item['data_samples'].clip_id, item['data_samples'].identity)
            for item in dataset]


def edit(clip_set, change):
    path = clip_set / 'manifest.json'
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_splits(clip_set):
    root = str(clip_set)
    train = [('b', 'bob'), ('a', 'ann')]  # in the order of the manifest
    assert people(FaceClipDataset(root, split='train', **KWARGS)) == train
    assert people(FaceClipDataset(root, split='all', **KWARGS)) == [
        *train, ('c', 'cy')]
    # Pointed at the folder of a split, the identities are still known.
    assert people(FaceClipDataset(root + '/train', **KWARGS)) == sorted(train)
    (clip_set / 'list.txt').write_text('a\n')
    assert people(FaceClipDataset(root, 'list.txt', split='train',
                                  **KWARGS)) == [('a', 'ann')]
    (clip_set / 'train/list.txt').write_text('a\n')
    assert people(FaceClipDataset(root + '/train', 'list.txt',
                                  **KWARGS)) == [('a', 'ann')]
    with pytest.raises(FileNotFoundError, match="1 of 1 clips.*'a'"):
        FaceClipDataset(root, 'list.txt', split='val', **KWARGS)
    (clip_set / 'manifest.json').unlink()
    assert people(FaceClipDataset(root, split='train', **KWARGS)) == [
        ('a', 'a'), ('b', 'b')]


def test_split_must_be_there(clip_set):
    root = str(clip_set)
    with pytest.raises(ValueError, match=r'train \(2 clips\), val \(1 clips'):
        FaceClipDataset(root, **KWARGS)
    with pytest.raises(ValueError, match="no clip of the split 'test'"):
        FaceClipDataset(root, split='test', **KWARGS)
    shutil.rmtree(clip_set / 'train/a')
    with pytest.raises(FileNotFoundError,
                       match="1 of 2 clips.*'train/a'.*train.lmdb"):
        FaceClipDataset(root, split='train', **KWARGS)
    (clip_set / 'manifest.json').unlink()
    with pytest.raises(FileNotFoundError, match="'test.lmdb'.*train, val"):
        FaceClipDataset(root, split='test', **KWARGS)
    (clip_set / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='nothing in it'):
        FaceClipDataset(root, split='empty', **KWARGS)


@pytest.mark.parametrize(('text', 'message'), [
    ('{"format": ', 'no valid JSON'),
    ('[]', "'list'"),
    ('{"format": "other", "version": 1}', "'other', 1"),
    ('{"format": "mmtvface-clips", "version": 2}', 'version 1, but.* 2'),
    ('{"format": "mmtvface-clips", "version": 1}', "no list 'clips'"),
])
def test_broken_manifest(clip_set, text, message):
    (clip_set / 'manifest.json').write_text(text)
    with pytest.raises(ValueError, match=f'manifest.json.*{message}'):
        FaceClipDataset(str(clip_set), split='train')


def test_broken_entries(clip_set):
    root = str(clip_set)
    edit(clip_set, lambda m: m['clips'][1].pop('split'))
    with pytest.raises(ValueError, match='clip 1 must be'):
        FaceClipDataset(root, split='train')
    edit(clip_set, lambda m: m['clips'][1].update(
        split='train', path='../../etc'))
    with pytest.raises(ValueError, match="'a' must be relative"):
        FaceClipDataset(root, split='train')
    edit(clip_set, lambda m: m['clips'][1].update(id='b', path='train/a'))
    with pytest.raises(ValueError, match="twice, e.g. 'b' of 'train'"):
        FaceClipDataset(root, split='train')


def test_hints_about_the_level(tmp_path):
    write_clip(tmp_path / 'train/a', 1)
    with pytest.raises(FileNotFoundError,
                       match="too high: use data_root='.*/train', or split"):
        FaceClipDataset(str(tmp_path))
    with pytest.raises(FileNotFoundError,
                       match="images: .*use data_root='.*/train/a'"):
        FaceClipDataset(str(tmp_path / 'train/a/jpg'))
    (tmp_path / 'packed').mkdir()
    (tmp_path / 'packed/val.lmdb').touch()
    with pytest.raises(FileNotFoundError, match="use split='val'"):
        FaceClipDataset(str(tmp_path / 'packed'))
