# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
from helpers.fake_benchmarks import face_points, fake_aflw2000
from scipy.io import savemat

from mmtvface.datasets.aflw2000_dataset import (
    AFLW2000Dataset,
    read_annotation,
)
from mmtvface.geometry.camera import ndc_to_pixel


def test_pixels_count_from_zero(tmp_path):
    fake_aflw2000(tmp_path)
    note = read_annotation(tmp_path / 'image00004.mat')
    np.testing.assert_allclose(note.landmarks, face_points((55, 65), 60),
                               atol=1e-9)
    np.testing.assert_allclose(note.pose, [10, -45, -5], atol=1e-9)
    raw = read_annotation(tmp_path / 'image00004.mat', first_pixel=0)
    np.testing.assert_allclose(raw.landmarks - note.landmarks, 1)


def test_samples_are_crops_around_the_landmarks(tmp_path):
    dataset = AFLW2000Dataset(str(fake_aflw2000(tmp_path)), image_size=64,
                              scale=1.6)
    assert len(dataset) == 3
    item = dataset[1]
    assert item['inputs'].shape == (1, 3, 64, 64)
    assert item['inputs'].float().std() > 10
    sample = item['data_samples']
    assert sample.yaw.tolist() == [pytest.approx(-45)]
    assert sample.clip_id == 'image00004' and sample.readable
    points = sample.gt_landmarks[0]
    assert (points[:, 2] == 1).all()
    # A box of 60 pixels, 1.6 times as large a square: it spans 1 / 0.8.
    assert np.ptp(points[:, 0].numpy()) == pytest.approx(2 / 1.6, rel=1e-5)
    assert points[:64, :2].mean(0).abs().max() < 1e-6
    pixels = ndc_to_pixel(points[:, :2].double(), 64).numpy()
    back = np.linalg.inv(sample.crop_matrices[0])
    np.testing.assert_allclose(pixels @ back[:2, :2].T + back[:2, 2],
                               face_points((55, 65), 60), atol=1e-4)


def test_damaged_annotations_are_skipped_and_reported(tmp_path):
    fake_aflw2000(tmp_path, yaws=(0, 1, 2, 3, 4, 5))
    (tmp_path / 'image00002.mat').write_bytes(b'MATLAB 5.0 MAT-file' * 3)
    (tmp_path / 'image00004.mat').unlink()
    savemat(tmp_path / 'image00006.mat', dict(pt2d=np.zeros((2, 21))))
    savemat(tmp_path / 'image00008.mat', dict(pt3d_68=np.zeros((3, 60))))
    savemat(tmp_path / 'image00010.mat',
            dict(pt3d_68=np.full((3, 68), np.nan)))
    dataset = AFLW2000Dataset(str(tmp_path))
    assert [dataset[i]['data_samples'].clip_id
            for i in range(len(dataset))] == ['image00012']
    for number, words in ((2, 'cannot be read as a MATLAB'),
                          (4, 'no image00004.mat beside'),
                          (6, 'has no pt3d_68'), (8, 'numbers (3, 68)'),
                          (10, 'not finite')):
        stem = f'image{number:05d}'
        reason = dataset.skipped.pop(f'{stem}.jpg')
        assert stem in reason and words in reason
    assert not dataset.skipped
    for index in range(1, 7):
        (tmp_path / f'image{2 * index:05d}.mat').write_bytes(b'')
    with pytest.raises(ValueError, match='None of the 6 images'):
        AFLW2000Dataset(str(tmp_path))


def test_an_unreadable_image_counts_as_skipped(tmp_path):
    fake_aflw2000(tmp_path)
    (tmp_path / 'image00002.jpg').write_bytes(b'\xff\xd8 no image')
    item = AFLW2000Dataset(str(tmp_path), image_size=32)[0]
    assert not item['data_samples'].readable
    assert (item['data_samples'].gt_landmarks[..., 2] == 0).all()
    assert item['inputs'].max() == 0


def test_a_file_without_a_pose_has_an_unknown_yaw(tmp_path):
    fake_aflw2000(tmp_path, yaws=(0, ))
    savemat(tmp_path / 'image00002.mat',
            dict(pt3d_68=face_points((55, 65), 60).T))
    sample = AFLW2000Dataset(str(tmp_path), image_size=32)[0]['data_samples']
    assert np.isnan(sample.yaw).all()


def test_wrong_roots_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match='no folder: .*nowhere'):
        AFLW2000Dataset(str(tmp_path / 'nowhere'))
    (tmp_path / 'notes.txt').write_text('x')
    with pytest.raises(FileNotFoundError,
                       match=r'0 images and 0 \.mat .*notes\.txt'):
        AFLW2000Dataset(str(tmp_path))
