# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest
from helpers.fake_benchmarks import fake_now

from mmtvface.datasets.now_dataset import NoWDataset, read_face_box
from mmtvface.geometry.crop import crop_matrix
from mmtvface.utils.safe_pickle import UnsafePickleError

FIRST = 'FaMoS_1/multiview_neutral/IMG_0039'


@pytest.mark.parametrize('plain', [False, True])
def test_samples_are_crops_of_the_boxes(tmp_path, plain):
    dataset = NoWDataset(str(fake_now(tmp_path, plain_boxes=plain)),
                         image_size=48)
    assert len(dataset) == 3 and not dataset.skipped
    item = dataset[0]
    assert item['inputs'].shape == (1, 3, 48, 48)
    sample = item['data_samples']
    assert sample.clip_id == FIRST and sample.identity == 'FaMoS_1'
    assert 'gt_landmarks' not in sample and sample.ori_shape == (120, 100)
    # Box of 50 x 60, its centre at (45, 60), a side of 55 * 1.6 = 88 pixels.
    matrix = sample.crop_matrices[0]
    np.testing.assert_allclose(matrix, crop_matrix((20, 30, 70, 90), 48, 1.6))
    np.testing.assert_allclose(matrix @ [45, 60, 1], [23.5, 23.5, 1])
    assert matrix[0, 0] == pytest.approx(48 / 88)


def test_lists_and_the_folders_of_the_release(tmp_path):
    release = tmp_path / 'NoW_Dataset' / 'final_release_version'
    fake_now(release, ['a/selfie/one.jpg'], split='test')
    (release / 'imagepathstest.txt').rename(tmp_path / 'imagepathstest.txt')
    dataset = NoWDataset(str(tmp_path), split='test')
    assert dataset[0]['data_samples'].clip_id == 'a/selfie/one'
    own = tmp_path / 'own.txt'
    own.write_text('a/selfie/one.jpg\n\na/selfie/one.jpg\n')
    assert len(NoWDataset(str(tmp_path), ann_file=str(own))) == 1
    own.write_text('\n')
    with pytest.raises(ValueError, match='own.txt is empty'):
        NoWDataset(str(tmp_path), ann_file='own.txt')


def test_incomplete_images_are_skipped_and_reported(tmp_path):
    fake_now(tmp_path)
    boxes = tmp_path / 'detected_face'
    (boxes / f'{FIRST}.npy').unlink()
    np.save(boxes / 'FaMoS_1/selfie/IMG_0040.npy', np.zeros(3))
    dataset = NoWDataset(str(tmp_path))
    assert len(dataset) == 1
    assert 'face box not found' in dataset.skipped[FIRST]
    assert 'four numbers' in dataset.skipped['FaMoS_1/selfie/IMG_0040']
    np.save(boxes / 'FaMoS_2/multiview_occlusions/IMG_0100.npy',
            np.array([10., 10, 10, 20]))
    with pytest.raises(ValueError, match='None of the 3 listed'):
        NoWDataset(str(tmp_path))


def test_an_unreadable_picture_is_marked(tmp_path):
    fake_now(tmp_path)
    (tmp_path / 'iphone_pictures' / f'{FIRST}.jpg').write_bytes(b'')
    item = NoWDataset(str(tmp_path), image_size=32)[0]
    assert not item['data_samples'].readable and item['inputs'].max() == 0


def test_a_box_outside_of_the_picture_is_marked(tmp_path):
    """As of a picture that was turned or resized after the detection."""
    fake_now(tmp_path)
    boxes = tmp_path / 'detected_face' / f'{FIRST}.npy'
    for box, readable in (((80, 100, 120, 140), False),
                          ((79, 99, 119, 139), True),
                          ((-41, 10, 39, 90), False)):
        np.save(boxes, np.array(box))
        item = NoWDataset(str(tmp_path), image_size=32)[0]
        assert item['data_samples'].readable is readable
        assert (item['inputs'].max() > 0) == readable


def test_boxes_run_no_code(tmp_path):
    class Harmful:
        def __reduce__(self):
            return print, ('harm', )

    path = tmp_path / 'box.npy'
    np.save(path, np.array(Harmful()), allow_pickle=True)
    with pytest.raises(UnsafePickleError):
        read_face_box(path)
    np.save(path, np.array(dict(left=1, top=2)), allow_pickle=True)
    with pytest.raises(ValueError, match="box.npy .*right"):
        read_face_box(path)


def test_wrong_roots_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match='no folder: .*nowhere'):
        NoWDataset(str(tmp_path / 'nowhere'))
    (tmp_path / 'other').mkdir()
    with pytest.raises(FileNotFoundError,
                       match='imagepathsvalidation.txt .*found 1 .*other'):
        NoWDataset(str(tmp_path))
    fake_now(tmp_path)
    (tmp_path / 'iphone_pictures' / 'FaMoS_1').rename(tmp_path / 'lost')
    (tmp_path / 'iphone_pictures' / 'FaMoS_2').rename(tmp_path / 'lost2')
    with pytest.raises(FileNotFoundError, match='None of the 3 images'):
        NoWDataset(str(tmp_path))
    with pytest.raises(ValueError, match="split .*'train'"):
        NoWDataset(str(tmp_path), split='train')
