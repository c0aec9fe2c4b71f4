# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(
    Path(__file__).resolve().parents[2] / 'tools/analysis_tools'))
import browse_dataset
from helpers.fake_datasets import clip_pipeline, write_clip_set, write_vggface2

from mmtvface.datasets import ConcatDataset, FaceClipDataset, VGGFace2Dataset


@pytest.fixture
def config(tmp_path):
    write_clip_set(tmp_path / 'set', {'train': [
        ('a', 'ann', 4), ('b', 'bob', 4), ('c', 'cy', 4)]})
    path = tmp_path / 'config.py'
    path.write_text(f'''
train_dataloader = dict(
    sampler=dict(type='BalancedClipSampler'),
    dataset=dict(type='FaceClipDataset', data_root={str(tmp_path / "set")!r},
                 split='train', clip_length=3, image_size=32,
                 pipeline={clip_pipeline(dict(type='MirrorClip'))}))
''')
    return path


def test_crop_by_hand():
    image = np.full((8, 8, 3), 100, np.uint8)
    mask = np.zeros((8, 8))
    mask[:, 4:] = 1
    out = browse_dataset.draw_crop(image, None, mask)
    # .55 * 100 + .45 * (255, 40, 40) outside of the mask
    assert out[0, 0].tolist() == [170, 73, 73]
    assert out[0, 7].tolist() == [100, 100, 100]
    points = np.zeros((68, 3))
    points[:, :2] = .25, -.75  # column 4.5, row .5
    assert (browse_dataset.draw_crop(image, points, None) == 100).all()
    points[:, 2] = 1
    drawn = browse_dataset.draw_crop(image, points, None)
    rows, columns = np.nonzero((drawn != 100).any(-1))
    assert rows.max() <= 3 and 2 <= columns.min() <= columns.max() <= 7


def test_outline_of_the_crop():
    frame = np.zeros((60, 80, 3), np.uint8)
    matrix = np.array([[.5, 0, -5], [0, .5, -5], [0, 0, 1.]])  # 10..50
    points = np.zeros((68, 3))
    out = browse_dataset.draw_original(frame, points, matrix, 20)
    rows, columns = np.nonzero(out.any(-1))
    assert (rows.min(), columns.min()) == (8, 8)
    assert rows.max() in (49, 50) and columns.max() in (49, 50)
    assert not out[20:40, 20:40].any()


def test_sheets(config, tmp_path, capsys):
    out = tmp_path / 'sheets'
    assert browse_dataset.main([str(config), '--out', str(out), '--num', '3',
                                '--per-sheet', '2', '--cell', '64']) == 0
    assert capsys.readouterr().out.split()[-2:] == [
        str(out / 'train_000.png'), str(out / 'train_001.png')]
    first = cv2.imread(str(out / 'train_000.png'))
    # Two clips of two rows of three pictures, with gaps of 2
    assert first.shape == (4 * 66 - 2, 3 * 66 - 2, 3)
    assert cv2.imread(str(out / 'train_001.png')).shape[0] == 2 * 66 - 2
    crops = first[66:130, :64].reshape(-1, 3)
    assert (crops[:, 2].astype(int) - crops[:, 1] > 60).any()  # tinted
    assert (crops[:, 1].astype(int) - crops[:, 2] > 60).any()  # landmarks


def test_originals_of_mixed_sets(tmp_path):
    clips = FaceClipDataset(str(write_clip_set(
        tmp_path / 'set', {'train': [('a', 'ann', 4)]})), split='train',
        clip_length=3, image_size=32, reverse_prob=1)
    people = VGGFace2Dataset(str(write_vggface2(tmp_path / 'vgg')),
                             clip_length=2, image_size=32)
    data = ConcatDataset([clips, people])
    for index, levels in ((1, [20, 15, 10]), (len(data) - 1, [110, 120])):
        item = data[index]
        found = browse_dataset.load_originals(data, index,
                                              item['data_samples'])
        assert [round(f.mean()) for f in found['frames']] == levels
        rows = browse_dataset.draw_item(item, found, 2)
        assert [len(row) for row in rows] == [2, 2]
    other = data[0]['data_samples']
    assert browse_dataset.load_originals(data, len(data) - 1, other) is None
    assert browse_dataset.load_originals([], 0, other) is None


def test_errors(config, tmp_path, capsys):
    common = [str(config), '--out', str(tmp_path / 'out')]
    assert browse_dataset.main([*common, '--split', 'val']) == 2
    assert 'has no val_dataloader' in capsys.readouterr().out
    assert browse_dataset.main([*common, '--num', '0']) == 2
    assert browse_dataset.main([*common, '--cfg-options',
                                'train_dataloader.dataset.split=x']) == 2
    assert "no clip of the split 'x'" in capsys.readouterr().out
