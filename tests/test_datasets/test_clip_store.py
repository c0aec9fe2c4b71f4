# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import multiprocessing
import pickle
import shutil

import lmdb
import numpy as np
import pytest
import torch
from helpers.fake_datasets import write_clip, write_clip_set
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from mmtvface.dataset_tools.clip_packing import pack_clips, pack_set
from mmtvface.datasets import FaceClipDataset, clip_store
from mmtvface.datasets.clip_store import LmdbStore

KWARGS = dict(clip_length=3, image_size=32)


@pytest.fixture
def clip_set(tmp_path):
    return write_clip_set(tmp_path / 'set', {
        'train': [('a', 'ann', 5), ('b', 'bob', 4)], 'val': [('c', 'cy', 3)]})


def same(first, second):
    assert len(first) == len(second) > 0
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one['inputs'], two['inputs'])
        one, two = one['data_samples'], two['data_samples']
        assert torch.equal(one.gt_landmarks, two.gt_landmarks)
        assert torch.equal(one.gt_masks, two.gt_masks)
        assert one.identity == two.identity and one.clip_id == two.clip_id
        assert one.frame_names == two.frame_names


def test_packed_clips_equal_folders(clip_set):
    folders = FaceClipDataset(str(clip_set), split='train', test_mode=True,
                              **KWARGS)
    expected = list(folders)
    assert [item['data_samples'].identity for item in expected] == [
        'ann', 'ann', 'bob', 'bob']
    path = pack_clips(clip_set, 'train')
    assert path == clip_set / 'train.lmdb' and path.is_file()
    shutil.rmtree(clip_set / 'train')
    assert pack_clips(clip_set, 'train') == path
    packed = FaceClipDataset(str(clip_set), split='train', test_mode=True,
                             **KWARGS)
    same(list(packed), expected)
    # Without the manifest, by name or by split
    (clip_set / 'manifest.json').unlink()
    for root, split in ((path, ''), (clip_set, 'train'),
                        (clip_set / 'train', '')):
        same(list(FaceClipDataset(str(root), split=split, test_mode=True,
                                  **KWARGS)), expected)
    assert LmdbStore(path).read('a', 'meta.json') == b'{"fps": 25.0}'


def test_a_complete_file_is_kept_and_a_failed_one_is_not(clip_set,
                                                         monkeypatch):
    path = pack_clips(clip_set, 'val')
    before = path.read_bytes()
    (clip_set / 'val/c/meta.json').write_text('{}')
    assert pack_clips(clip_set, 'val') == path
    assert path.read_bytes() == before

    class Stopped(Exception):
        pass

    def stop(done, total):
        assert (done, total) == (1, 1)
        raise Stopped

    with pytest.raises(Stopped):
        pack_clips(clip_set, 'val', overwrite=True, progress=stop)
    assert path.read_bytes() == before
    with pytest.raises(Stopped):
        pack_clips(clip_set, 'val', clip_set / 'new.lmdb', progress=stop)
    assert sorted(p.name for p in clip_set.iterdir()) == [
        'manifest.json', 'train', 'val', 'val.lmdb']
    LmdbStore(path).read('c', 'jpg/000001.jpg')  # open while it is replaced
    pack_clips(clip_set, 'val', overwrite=True)
    assert LmdbStore(path).read('c', 'meta.json') == b'{}'
    write_clip(clip_set / 'val/c', 9)  # a change is noticed
    pack_clips(clip_set, 'val')
    assert len(LmdbStore(path).frames('c', {
        'images': 'jpg', 'landmarks': 'kpt', 'masks': 'seg/masks'}
        ).images) == 9


def test_the_file_grows(clip_set, monkeypatch):
    monkeypatch.setattr(
        'mmtvface.dataset_tools.clip_packing._START_SIZE', 32768)
    path = pack_clips(clip_set, 'train')
    assert path.stat().st_size > 32768
    store = LmdbStore(path)
    for name in ('a', 'b'):
        data = (clip_set / f'train/{name}/jpg/000002.jpg').read_bytes()
        assert store.read(name, 'jpg/000002.jpg') == data


# One worker to spawn: it imports torch anew, which takes seconds.
@pytest.mark.parametrize(('method', 'workers'), [('fork', 2), ('spawn', 1)])
def test_workers(clip_set, method, workers):
    dataset = FaceClipDataset(str(pack_clips(clip_set, 'train')),
                              test_mode=True, **KWARGS)
    expected = list(dataset)  # the parent has the file open as it forks
    loader = DataLoader(dataset, 1, num_workers=workers,
                        collate_fn=pseudo_collate,
                        multiprocessing_context=method)
    got = [dict(inputs=batch['inputs'][0],
                data_samples=batch['data_samples'][0]) for batch in loader]
    same(got, expected)
    same(list(dataset), expected)
    assert len(pickle.dumps(dataset.store)) < 1000


def test_fork_while_another_thread_reads(clip_set):
    store = LmdbStore(pack_clips(clip_set, 'train'))
    queue = multiprocessing.get_context('fork').SimpleQueue()
    child = multiprocessing.get_context('fork').Process(
        target=lambda: queue.put(store.read('a', 'meta.json')))
    with clip_store._LOCK:
        child.start()
    child.join(20)
    assert child.exitcode == 0, child.kill()
    assert queue.get() == b'{"fps": 25.0}'


@pytest.mark.parametrize('part', [.05, .5, .999])
def test_part_of_a_packed_file(clip_set, tmp_path, part):
    data = pack_clips(clip_set, 'train').read_bytes()
    copy = tmp_path / 'copy.lmdb'
    copy.write_bytes(data)
    assert len(LmdbStore(copy).clips) == 2
    clip_store.close_environment(copy)
    copy.write_bytes(data[:int(part * len(data))])
    # Without the check, a bus error ends the process.
    with pytest.raises(ValueError, match='copy.lmdb.*truncated|MDB_INVALID'):
        LmdbStore(copy)


def test_an_id_in_two_splits(tmp_path):
    root = write_clip_set(tmp_path, {
        'train': [('a', 'ann', 3)], 'val': [('a', 'ann', 4)]})
    assert len(FaceClipDataset(str(root), split='all', **KWARGS)) == 3
    with pytest.raises(ValueError, match="1 ids.*'a'.*one by one"):
        pack_clips(root, 'all')
    assert len(pack_set(root)) == 2


def test_truncated_frame_in_a_packed_file(clip_set, monkeypatch):
    said = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning',
                        said.append)
    image = clip_set / 'train/b/jpg/000002.jpg'
    image.write_bytes(image.read_bytes()[:-200])
    (clip_set / 'train/a/kpt/000001_kpt2d.npy').write_bytes(b'')
    dataset = FaceClipDataset(str(pack_clips(clip_set, 'train')), **KWARGS)
    names = {dataset[i]['data_samples'].clip_id for i in range(len(dataset))}
    assert names == {'a'}
    assert any('train.lmdb:b/jpg/000002.jpg' in text and 'truncated' in text
               for text in said)
    assert any('a/kpt/000001_kpt2d.npy' in text for text in said)


def test_errors(clip_set, tmp_path):
    with pytest.raises(FileNotFoundError, match='pack_clips.py'):
        FaceClipDataset(str(tmp_path / 'none.lmdb'))
    (tmp_path / 'bad.lmdb').write_bytes(b'no database' * 1000)
    with pytest.raises(ValueError, match='bad.lmdb.*not a file of packed'):
        FaceClipDataset(str(tmp_path / 'bad.lmdb'))
    with lmdb.open(str(tmp_path / 'other.lmdb'), subdir=False,
                   lock=False) as environment:
        with environment.begin(write=True) as transaction:
            transaction.put(b'key', b'value')
    with pytest.raises(ValueError, match='other.lmdb.*found .None, None'):
        pack_clips(clip_set, 'train', tmp_path / 'other.lmdb')
    with pytest.raises(ValueError, match="must end in '.lmdb'"):
        pack_clips(clip_set, 'train', tmp_path / 'train.zip')
    with pytest.raises(ValueError, match='name the target'):
        pack_clips(clip_set / 'train', '')
    with pytest.raises(ValueError, match="'test'.*train .2 clips"):
        pack_clips(clip_set, 'test')
    path = pack_clips(clip_set, 'train')
    with pytest.raises(ValueError, match='sub-folders.*images_2'):
        FaceClipDataset(str(path), data_prefix=dict(images='images_2'))
    store = LmdbStore(path)
    with pytest.raises(FileNotFoundError, match='no such entry'):
        store.read('a', 'jpg/999999.jpg')
    with pytest.raises(ValueError, match="no clip 'x'"):
        store.frames('x', {})
    listing = tmp_path / 'some.txt'
    listing.write_text('b\n')
    assert len(FaceClipDataset(str(path), ann_file=str(listing),
                               test_mode=True, **KWARGS)) == 2
    listing.write_text('b\nx\n')
    with pytest.raises(FileNotFoundError, match="1 of 2 clips.*'x'"):
        FaceClipDataset(str(path), ann_file=str(listing))


def test_names_too_long_for_a_key(clip_set, monkeypatch):
    monkeypatch.setattr('mmtvface.dataset_tools.clip_packing._MAX_KEY', 21)
    with pytest.raises(ValueError, match="'a/kpt.*has 22; shorten"):
        pack_clips(clip_set, 'train')
    assert not (clip_set / 'train.lmdb').exists()


def test_masks_of_packed_clips_are_binary(clip_set):
    dataset = FaceClipDataset(str(pack_clips(clip_set, 'train')), **KWARGS)
    masks = dataset[0]['data_samples'].gt_masks.numpy()
    assert set(np.unique(masks)) == {0., 1.}


def test_all_splits(clip_set, tmp_path):
    paths = pack_set(clip_set, clip_set / 'packed')
    assert [path.name for path in paths] == ['train.lmdb', 'val.lmdb']
    dataset = FaceClipDataset(str(clip_set), split='val', **KWARGS)
    assert isinstance(dataset.store, LmdbStore)
    (clip_set / 'manifest.json').unlink()
    assert [path.parent for path in pack_set(clip_set)] == [clip_set] * 2
    with pytest.raises(FileNotFoundError, match="looked for 'manifest.json'"):
        pack_set(clip_set / 'packed')
    with pytest.raises(FileNotFoundError, match='no such folder'):
        pack_set(tmp_path / 'none')


def test_an_outdated_packed_file_is_not_used(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning',
                        said.append)
    root = write_clip_set(tmp_path, {'train': [('a', 'ann', 3)]})
    pack_clips(root, 'train')
    write_clip_set(tmp_path, {'train': [('a', 'ann', 3), ('b', 'bob', 3)]})
    dataset = FaceClipDataset(str(root), split='train', **KWARGS)
    assert not isinstance(dataset.store, LmdbStore) and len(dataset) == 2
    assert 'does not have the clips' in said[0] and '--out' in said[0]
    pack_clips(root, 'train')
    dataset = FaceClipDataset(str(root), split='train', **KWARGS)
    assert isinstance(dataset.store, LmdbStore) and len(dataset) == 2
