# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import shutil

import numpy as np
import pytest
import torch
from helpers.fake_datasets import write_bupt, write_vggface2
from mmengine.logging import MMLogger

from mmtvface.datasets import BUPTDataset, IdentityClipDataset, VGGFace2Dataset
from mmtvface.registry import DATASETS

KWARGS = dict(clip_length=3, image_size=16)


@pytest.fixture
def warnings(monkeypatch):
    said = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning',
                        said.append)
    return said


@pytest.fixture
def vgg(tmp_path):
    return write_vggface2(tmp_path / 'VGGFace2')


def shown(item):
    """Grey levels of the frames of an item."""
    return torch.round(item['inputs'].float()[..., 4:12, 4:12]
                       .mean((1, 2, 3))).int().tolist()


def test_vggface2_by_list(vgg, warnings):
    dataset = DATASETS.build(dict(
        type='VGGFace2Dataset', data_root=str(vgg),
        ann_file='train_list.npy', **KWARGS))
    assert [shown(dataset[i]) for i in range(3)] == [
        [10, 20, 30], [30, 40, 50], [110, 120, 110]]
    assert any('n000010: 1 of 3' in text and '0009_01' in text
               for text in warnings)
    sample = dataset[1]['data_samples']
    assert sample.identity == 'n000002' and sample.clip_id == 'n000002#1'
    assert sample.frame_names == ['0003_01', '0004_01', '0005_01']
    assert sample.gt_landmarks.shape == (3, 68, 3)
    assert 0 < sample.gt_masks.mean() < 1
    people, clips = dataset.sampling_groups()
    assert (people.tolist(), clips.tolist()) == ([0, 0, 1], [0, 1, 2])
    short = VGGFace2Dataset(str(vgg), 'train_list.npy', short_clips='skip',
                            **KWARGS)
    assert len(short) == 2
    # The names may have suffixes and be bytes; the lists may be several.
    names = np.load(vgg / 'train_list.npy')[:2]
    np.save(vgg / 'bytes.npy', np.char.add(names, '.jpg').astype('S'))
    both = VGGFace2Dataset(str(vgg), [str(vgg / 'bytes.npy'),
                                      'train_list.npy'], **KWARGS)
    assert [shown(both[i]) for i in range(5)] == [
        [10, 20, 30], [30, 40, 50], [10, 20, 30], [30, 40, 50],
        [110, 120, 110]]


def test_rows_longer_than_a_clip_are_drawn_from(vgg):
    dataset = VGGFace2Dataset(str(vgg), 'train_list.npy', clip_length=2,
                              image_size=16)
    pairs = {tuple(shown(dataset[0])) for _ in range(40)}
    assert pairs == {(a, b) for a in (10, 20, 30) for b in (10, 20, 30)
                     if a != b}
    fixed = VGGFace2Dataset(str(vgg), 'train_list.npy', clip_length=2,
                            image_size=16, test_mode=True)
    assert shown(fixed[0]) == [10, 20] and shown(fixed[1]) == [20, 30]
    assert fixed[1]['data_samples'].gt_landmarks[:, 0, 2].tolist() == [0, 1]


def test_rows_of_different_lengths(vgg):
    rows = np.empty(2, object)
    rows[:] = [['n000002/0001_01'], ['n000002/0002_01', 'n000002/0003_01',
                                     'n000002/0004_01']]
    np.save(vgg / 'ragged.npy', rows, allow_pickle=True)
    dataset = VGGFace2Dataset(str(vgg), 'ragged.npy', **KWARGS)
    assert [shown(dataset[i]) for i in range(2)] == [
        [10, 10, 10], [20, 30, 40]]


def test_vggface2_by_folder(vgg):
    dataset = VGGFace2Dataset(str(vgg), clip_length=2, image_size=16)
    # 5 // 2 items of the first person, one of the second
    assert dataset.sampling_groups()[0].tolist() == [0, 0, 1]
    seen = {value for _ in range(30) for value in shown(dataset[1])}
    assert seen == {10, 20, 30, 40, 50}
    test = VGGFace2Dataset(str(vgg), clip_length=2, image_size=16,
                           test_mode=True)
    assert [shown(item) for item in test] == [
        [10, 20], [30, 40], [40, 50], [110, 120]]
    # Every image counts once.
    assert sum(item['data_samples'].gt_landmarks[:, 0, 2].sum()
               for item in test) == 7


def test_trees_of_their_own(vgg):
    for kind, ending in (('points', '.npy'), ('skin', '_mask.png')):
        for path in list((vgg / 'train').rglob(f'*{ending}')):
            target = vgg / kind / path.parent.name / (
                path.name.replace('_mask', ''))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
    dataset = VGGFace2Dataset(str(vgg), 'train_list.npy', mask_dir='skin',
                              landmark_dir='points', **KWARGS)
    assert 0 < dataset[0]['data_samples'].gt_masks.mean() < 1
    with pytest.raises(ValueError, match='No window of 3'):
        VGGFace2Dataset(str(vgg), **KWARGS)
    with pytest.raises(FileNotFoundError, match='landmarks.*0001_01'):
        VGGFace2Dataset(str(vgg), missing_landmarks='error', **KWARGS)


def test_published_sets_have_no_landmarks(vgg, tmp_path):
    for path in vgg.rglob('[0-9]*.npy'):
        path.unlink()
    with pytest.raises(ValueError, match=(
            r"None of its [1-9]\d* images.*'<image>.npy' beside them.*"
            f'annotate_faces.py {vgg}/train ')):
        len(VGGFace2Dataset(str(vgg), **KWARGS))
    with pytest.raises(ValueError, match="'<image>.npy' in 'points'. "):
        len(VGGFace2Dataset(str(vgg), landmark_dir='points', **KWARGS))


def test_wrong_roots(vgg, tmp_path):
    with pytest.raises(FileNotFoundError,
                       match="not a folder.*train/n000002/0001_01.jpg"):
        VGGFace2Dataset(str(tmp_path / 'none'))
    with pytest.raises(FileNotFoundError,
                       match="too high: use data_root='.*/VGGFace2'"):
        VGGFace2Dataset(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=(
            "too low: use data_root='.*/VGGFace2' and image_dir='train'")):
        VGGFace2Dataset(str(vgg / 'train'))
    with pytest.raises(FileNotFoundError, match="mean image_dir='train'"):
        VGGFace2Dataset(str(vgg), image_dir='test')
    with pytest.raises(FileNotFoundError, match=(
            'looked for.*n000002/0001_01.jpg.*6 other entries.*0001_01')):
        VGGFace2Dataset(str(vgg / 'train/n000010'))
    with pytest.raises(FileNotFoundError, match="ann_file.*'list.npy'"):
        VGGFace2Dataset(str(vgg), 'list.npy')


def test_wrong_lists(vgg):
    path = vgg / 'list.npy'
    np.save(path, np.array([['n000002/0001_01', 'n000010/0001_01']]))
    with pytest.raises(ValueError, match='list.npy.*one person'):
        VGGFace2Dataset(str(vgg), 'list.npy')
    np.save(path, np.zeros((2, 3)))
    with pytest.raises(ValueError, match='list.npy.*rows of image names'):
        VGGFace2Dataset(str(vgg), 'list.npy')
    np.save(path, np.array([['n9/0001_01', 'n9/0002_01']]))
    with pytest.raises(FileNotFoundError,
                       match="None of the 2 images.*'n9/0001_01'.*n000002"):
        VGGFace2Dataset(str(vgg), 'list.npy')


def test_bupt(tmp_path):
    root = write_bupt(tmp_path)
    dataset = BUPTDataset(str(root), **KWARGS)
    assert [dataset.get_data_info(i)['identity'] for i in range(4)] == [
        'African/m.0abc1d', 'African/m.0zz', 'Asian/m.01x_y', 'Indian/m.0k']
    assert 'gt_masks' not in dataset[0]['data_samples']
    chosen = BUPTDataset(str(root), races=['Asian', 'Indian'], **KWARGS)
    assert len(chosen) == 2 and shown(chosen[0]) == [10, 20, 30]
    listed = BUPTDataset(str(root), ['African_list.npy', 'Asian_list.npy'],
                         **KWARGS)
    assert [listed.get_data_info(i)['clip_id'] for i in range(2)] == [
        'African/m.0zz#0', 'Asian/m.01x_y#1']
    assert listed[1]['data_samples'].frame_names == [
        f'{i:06d}_2' for i in range(3)]
    with pytest.raises(ValueError, match="'Martian'"):
        BUPTDataset(str(root), races=['Martian'])
    with pytest.raises(FileNotFoundError, match='too low'):
        BUPTDataset(str(root / 'race_per_7000'))
    # One level too low for identities of two levels
    with pytest.raises(FileNotFoundError, match='African, Asian, Indian'):
        VGGFace2Dataset(str(root), image_dir='race_per_7000')


def test_any_set_of_people(tmp_path):
    write_bupt(tmp_path)
    dataset = IdentityClipDataset(
        str(tmp_path / 'race_per_7000/African'), **KWARGS)
    assert [dataset.get_data_info(i)['identity'] for i in range(2)] == [
        'm.0abc1d', 'm.0zz']
