# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pytest
import torch
from helpers.fake_datasets import write_voxceleb2

from mmtvface.datasets import VoxCeleb2Dataset
from mmtvface.datasets.voxceleb2_dataset import fill_gaps
from mmtvface.registry import DATASETS

KWARGS = dict(clip_length=3, image_size=16)


@pytest.fixture
def vox(tmp_path):
    return write_voxceleb2(tmp_path / 'vox/dev')


def windows(dataset):
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [(info['clip_id'], [int(name[:4]) for name in info['image_names']])
            for info in infos]


@pytest.mark.parametrize(('numbers', 'want'), [
    ('1 2 3', '1 2 3'), ('1 2 4 5', '1 2 _ 4 5'),
    ('0 5 10 20 25', '0 5 10 _ 20 25'), ('1 9', '1 9'), ('', ''),
    ('1 2 3 3', '1 2 3 _ 3')])
def test_gaps(numbers, want):
    names = [f'{number}.jpg' for number in numbers.split()]
    assert fill_gaps(names) == [
        '' if part == '_' else f'{part}.jpg' for part in want.split()]
    assert fill_gaps(['x.jpg', 'y.jpg', 'z1.jpg']) == [
        'x.jpg', 'y.jpg', 'z1.jpg']


def test_windows_stay_in_an_utterance_and_jump_over_no_gap(vox):
    dataset = DATASETS.build(dict(type='VoxCeleb2Dataset', stride=3,
                                  data_root=str(vox), **KWARGS))
    first = 'id00012/21Uxsk56VDQ'
    assert windows(dataset) == [
        (f'{first}/00001', [1, 2, 3]), (f'{first}/00001', [5, 6, 7]),
        (f'{first}/00002', [1, 2, 3]),
        ('id00012/7fQRrbLo2Z4/00003', [1, 2, 3]),
        ('id00061/cAT9aR8oFx0/00141', [1, 2, 3])]
    assert dataset.sampling_groups()[0].tolist() == [0, 0, 0, 0, 1]
    item = dataset[1]
    levels = item['inputs'][:, 0, 4:12, 4:12].float().mean((1, 2))
    assert torch.round(levels / 5).tolist() == [5, 6, 7]
    sample = item['data_samples']
    assert sample.identity == 'id00012'
    assert sample.frame_indices == [4, 5, 6]
    assert 0 < sample.gt_masks.mean() < 1


def test_options_of_clips_work_too(vox):
    dataset = VoxCeleb2Dataset(str(vox), clip_length=2, stride=1,
                               reverse_prob=1, image_size=16)
    assert len(dataset) == 2 * 2 + 3 * 2
    assert dataset[0]['data_samples'].frame_names == ['0002', '0001']


def test_training_draws_the_place_of_a_window(vox):
    dataset = VoxCeleb2Dataset(str(vox), clip_length=2, image_size=16)
    assert len(dataset) == 5  # two runs of the first utterance
    drawn = {tuple(dataset[1]['data_samples'].frame_names)
             for _ in range(30)}
    assert drawn == {('0005', '0006'), ('0006', '0007')}
    shaken = VoxCeleb2Dataset(str(vox), clip_length=2, image_size=16,
                              jitter_time=1)
    drawn = {tuple(shaken[1]['data_samples'].frame_names)
             for _ in range(40)}
    assert drawn == {('0005', '0006'), ('0006', '0007'), ('0005', '0007')}
    # A test takes all windows.
    assert len(VoxCeleb2Dataset(str(vox), clip_length=2, test_mode=True)
               ) == 2 * 2 + 3 * 2
    with pytest.raises(ValueError, match="'random' is for training"):
        VoxCeleb2Dataset(str(vox), stride='random', test_mode=True)


def test_selection(vox):
    (vox / 'some.txt').write_text(
        'id00061\nid00012/7fQRrbLo2Z4\nid00012/21Uxsk56VDQ/00002\n')
    dataset = VoxCeleb2Dataset(str(vox), 'some.txt', **KWARGS)
    assert [clip for clip, _ in windows(dataset)] == [
        'id00061/cAT9aR8oFx0/00141', 'id00012/7fQRrbLo2Z4/00003',
        'id00012/21Uxsk56VDQ/00002']
    (vox / 'some.txt').write_text('id00012/21Uxsk56VDQ/00009\n')
    with pytest.raises(FileNotFoundError, match="00009' of .*some.txt"):
        VoxCeleb2Dataset(str(vox), 'some.txt', **KWARGS)


def test_wrong_roots(vox, tmp_path):
    with pytest.raises(FileNotFoundError, match='not a folder.*id00012/21Ux'):
        VoxCeleb2Dataset(str(tmp_path / 'none'))
    with pytest.raises(FileNotFoundError,
                       match="too high: use data_root='.*/vox/dev'"):
        VoxCeleb2Dataset(str(vox.parent))
    for low in ('id00012', 'id00012/21Uxsk56VDQ'):
        with pytest.raises(FileNotFoundError,
                           match="too low: use data_root='.*/vox/dev'"):
            VoxCeleb2Dataset(str(vox / low))
    videos = tmp_path / 'videos/id00012/21Uxsk56VDQ'
    videos.mkdir(parents=True)
    (videos / '00001.mp4').touch()
    with pytest.raises(FileNotFoundError, match='voxceleb2_to_frames.py'):
        VoxCeleb2Dataset(str(tmp_path / 'videos'))
