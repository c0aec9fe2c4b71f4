# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import pickle
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from helpers.fake_datasets import clip_pipeline
from mmengine.dataset import DefaultSampler, pseudo_collate, worker_init_fn
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from mmtvface.datasets import EpochSampler, FaceClipDataset
from mmtvface.datasets.transforms import CropFaceClip
from mmtvface.geometry.face_mask import landmark_mask
from mmtvface.registry import DATA_SAMPLERS, DATASETS

SIZE = (90, 120)


def face_points(center=(60., 45.), radius=20.):
    """68 points with a face's layout, good enough for boxes and hulls."""
    angle = np.pi * np.arange(17) / 16
    jaw = np.stack([-np.cos(angle), .1 + np.sin(angle)], 1)
    brows = np.stack([np.linspace(-.8, .8, 10), np.full(10, -.3)], 1)
    inner = np.random.default_rng(0).uniform(-.25, .5, (41, 2))
    points = np.concatenate([jaw, brows, inner])
    return (points * radius + center).astype(np.float32)


def write_clip(folder, num_frames, masks=True, suffix='.jpg', first=1):
    """A clip whose frames show their number as a grey level."""
    for name in ('jpg', 'kpt', 'seg/masks'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(first, first + num_frames):
        stem = f'{index:05d}'
        image = np.full((*SIZE, 3), 5 * index, np.uint8)
        cv2.imwrite(str(folder / 'jpg' / (stem + suffix)), image)
        points = face_points((50 + index, 45))
        np.save(folder / 'kpt' / f'{stem}_kpt2d.npy', points)
        if masks:
            np.save(folder / 'seg/masks' / f'{stem}.npy',
                    landmark_mask(points, SIZE))
    return folder


@pytest.fixture
def warnings(monkeypatch):
    """Collects what is logged as a warning."""
    said = []
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'warning', said.append)
    return said


def shown(item):
    """Numbers of the frames an item shows."""
    return torch.round(
        item['inputs'][:, 0, 24:40, 24:40].float().mean((1, 2)) / 5).tolist()


def test_windows_and_item(tmp_path):
    write_clip(tmp_path / 'b', 7)
    write_clip(tmp_path / 'a', 4, suffix='.png')
    dataset = DATASETS.build(dict(
        type='FaceClipDataset', data_root=str(tmp_path), clip_length=3,
        image_size=64, test_mode=True,
        pipeline=clip_pipeline(strict=True, scale=1.5)))
    assert len(dataset) == 2 + 3
    assert [shown(dataset[i]) for i in range(5)] == [
        [1, 2, 3], [2, 3, 4], [1, 2, 3], [4, 5, 6], [5, 6, 7]]
    item = dataset[3]
    assert item['inputs'].shape == (3, 3, 64, 64)
    assert item['inputs'].dtype == torch.uint8
    sample = item['data_samples']
    assert sample.clip_id == 'b' and sample.frame_names[0] == '00004'
    assert sample.ori_shape == SIZE and sample.image_size == (64, 64)
    assert sample.frame_indices == [3, 4, 5]
    # box of the points around (54, 45): x 34..74, y 39..67 -> mean side 34
    matrix = sample.crop_matrices[0]
    factor = 64 / (34 * 1.5)
    np.testing.assert_allclose(
        matrix, [[factor, 0, 31.5 - factor * 54],
                 [0, factor, 31.5 - factor * 53], [0, 0, 1]], rtol=1e-6)
    pixels = ((sample.gt_landmarks[0, :, :2].numpy() + 1) * 64 - 1) / 2
    want = face_points((54, 45)) * factor + matrix[:2, 2]
    np.testing.assert_allclose(pixels, want, atol=1e-4)
    assert (sample.gt_landmarks[..., 2] == 1).all()
    assert sample.gt_masks.shape == (3, 1, 64, 64)
    # The cropped mask is the hull of the cropped landmarks.
    hull = landmark_mask(pixels, (64, 64))
    overlap = (hull * sample.gt_masks[0, 0].numpy()).sum()
    assert overlap > .9 * max(hull.sum(), sample.gt_masks[0].sum())


def test_order_and_single_clip_root(tmp_path):
    write_clip(tmp_path / 'clip', 4)
    np.save(tmp_path / 'clip/serial.npy',
            np.array([f'{i:05d}.jpg' for i in (4, 2, 3, 1)]))
    dataset = FaceClipDataset(str(tmp_path / 'clip'), clip_length=4,
                              image_size=64, test_mode=True)
    assert shown(dataset[0]) == [4, 2, 3, 1]
    assert dataset[0]['data_samples'].clip_id == 'clip'


def test_numbers_without_leading_zeros_are_in_order(tmp_path):
    clip = write_clip(tmp_path / 'clip', 11)
    for path in list(clip.rglob('000*')):
        path.rename(path.with_name(path.name.lstrip('0')))
    dataset = FaceClipDataset(str(clip), clip_length=11, image_size=64)
    assert shown(dataset[0]) == list(range(1, 12))


def test_overlapping_windows_count_no_frame_twice(tmp_path):
    write_clip(tmp_path / 'clip', 5)
    dataset = FaceClipDataset(str(tmp_path), clip_length=3, image_size=64,
                              test_mode=True)
    assert [shown(item) for item in dataset] == [[1, 2, 3], [3, 4, 5]]
    visible = [item['data_samples'].gt_landmarks[:, 0, 2].tolist()
               for item in dataset]
    assert visible == [[1, 1, 1], [0, 1, 1]]


def test_short_clips(tmp_path, warnings):
    write_clip(tmp_path / 'one', 1)
    write_clip(tmp_path / 'two', 2)
    (tmp_path / 'empty/jpg').mkdir(parents=True)
    kwargs = dict(clip_length=3, image_size=64)
    dataset = FaceClipDataset(str(tmp_path), **kwargs)
    assert [shown(dataset[i]) for i in range(2)] == [[1, 1, 1], [1, 2, 1]]
    assert (dataset[1]['data_samples'].gt_landmarks[..., 2] == 1).all()
    assert any('empty' in text for text in warnings)
    # In a test, no frame counts twice.
    dataset = FaceClipDataset(str(tmp_path), test_mode=True, **kwargs)
    visible = dataset[1]['data_samples'].gt_landmarks[:, 0, 2].tolist()
    assert visible == [1, 1, 0]
    with pytest.raises(ValueError, match='No window of 3 .* 3 clips'):
        FaceClipDataset(str(tmp_path), short_clips='skip', **kwargs)


def test_missing_landmarks_break_the_run(tmp_path, warnings):
    clip = write_clip(tmp_path / 'a', 7)
    (clip / 'kpt/00004_kpt2d.npy').unlink()
    kwargs = dict(clip_length=3, image_size=64)
    dataset = FaceClipDataset(str(tmp_path), **kwargs)
    assert [shown(dataset[i]) for i in range(2)] == [[1, 2, 3], [5, 6, 7]]
    assert any('1 of 7' in text and '00004' in text for text in warnings)
    with pytest.raises(FileNotFoundError, match='landmarks.*00004'):
        FaceClipDataset(str(tmp_path), missing_landmarks='error', **kwargs)


def test_missing_mask_policies(tmp_path):
    clip = write_clip(tmp_path / 'a', 3)
    stored = np.load(clip / 'seg/masks/00002.npy')
    (clip / 'seg/masks/00002.npy').unlink()
    kwargs = dict(data_root=str(tmp_path), clip_length=1, image_size=64,
                  test_mode=True,
                  pipeline=clip_pipeline(strict=True, scale=1.4))
    masks = [item['data_samples'].gt_masks[0, 0] for item in
             FaceClipDataset(missing_mask='ignore', **kwargs)]
    assert masks[0].mean() < .9 and masks[1].mean() == 1
    hull = FaceClipDataset(missing_mask='hull', **kwargs)
    np.testing.assert_array_equal(
        landmark_mask(face_points((52, 45)), SIZE), stored)
    # Frames 1 and 2 differ by a shift that the crop takes out.
    assert (hull[0]['data_samples'].gt_masks !=
            hull[1]['data_samples'].gt_masks).float().mean() < .02
    assert len(FaceClipDataset(missing_mask='skip', **kwargs)) == 2
    with pytest.raises(FileNotFoundError, match='masks.*00002'):
        FaceClipDataset(missing_mask='error', **kwargs)


def test_data_without_masks(tmp_path):
    write_clip(tmp_path / 'a', 3, masks=False)
    kwargs = dict(data_root=str(tmp_path), clip_length=3, image_size=64)
    assert 'gt_masks' not in FaceClipDataset(**kwargs)[0]['data_samples']
    item = FaceClipDataset(missing_mask='hull', **kwargs)[0]
    assert 0 < item['data_samples'].gt_masks.mean() < 1
    with pytest.raises(ValueError, match='No window'):
        FaceClipDataset(missing_mask='skip', **kwargs)


def test_broken_mask(tmp_path, warnings):
    clip = write_clip(tmp_path / 'a', 1)
    np.save(clip / 'seg/masks/00001.npy', np.zeros((5, 5)))
    kwargs = dict(data_root=str(tmp_path), clip_length=1, image_size=64,
                  test_mode=True)
    assert FaceClipDataset(**kwargs)[0]['data_samples'].gt_masks.mean() == 1
    assert any('(5, 5)' in text for text in warnings)
    with pytest.raises(ValueError, match='00001.npy.*5, 5'):
        FaceClipDataset(missing_mask='error', **kwargs)[0]


def break_file(clip, how):
    if how == 'truncated':
        path = clip / 'jpg/00002.jpg'
        path.write_bytes(path.read_bytes()[:-300])
    else:
        path = clip / 'kpt/00002_kpt2d.npy'
        points = np.load(path)
        if how == 'nan':
            points[3, 1] = np.nan
            np.save(path, points)
        elif how == 'shape':
            np.save(path, points[:51])
        elif how == 'archive':
            with path.open('wb') as file:
                np.savez(file, points=points)
        else:
            path.write_bytes(b'')
    return path.name


@pytest.mark.parametrize('how', ['truncated', 'nan', 'shape', 'empty',
                                 'archive'])
def test_unreadable_frames(tmp_path, warnings, how):
    name = break_file(write_clip(tmp_path / 'a', 6), how)
    kwargs = dict(data_root=str(tmp_path), clip_length=2, image_size=64)
    dataset = FaceClipDataset(stride=2, **kwargs)
    for _ in range(4):  # training fetches another window
        assert shown(dataset[0]) in ([3, 4], [5, 6])
    told = [text for text in warnings if name in text]
    assert len(told) == 1 and '1 unusable' in told[0]
    # a test replaces the frame and hides it from the metrics
    item = FaceClipDataset(test_mode=True, **kwargs)[0]
    assert shown(item) == [1, 1]
    assert item['data_samples'].gt_landmarks[:, 0, 2].tolist() == [1, 0]


def test_nothing_readable(tmp_path):
    clip = write_clip(tmp_path / 'a', 2)
    for path in (clip / 'jpg').iterdir():
        path.write_bytes(b'no image')
    kwargs = dict(data_root=str(tmp_path), clip_length=2, image_size=64)
    with pytest.raises(ValueError, match='None of the frames 00001'):
        FaceClipDataset(test_mode=True, **kwargs)[0]
    with pytest.raises(RuntimeError, match='3 windows in a row.*a'):
        FaceClipDataset(max_refetch=2, **kwargs)[0]


def test_wrong_roots(tmp_path):
    with pytest.raises(FileNotFoundError, match='not a folder.*nowhere'):
        FaceClipDataset(str(tmp_path / 'nowhere'))
    with pytest.raises(FileNotFoundError, match='nothing in it'):
        FaceClipDataset(str(tmp_path))
    (tmp_path / 'photos').mkdir()
    with pytest.raises(FileNotFoundError, match='<id>/jpg.*photos'):
        FaceClipDataset(str(tmp_path))
    with pytest.raises(FileNotFoundError, match='ann_file not found'):
        FaceClipDataset(str(tmp_path), ann_file='train.txt')
    (tmp_path / 'train.txt').write_text('x\n\ny\n')
    with pytest.raises(FileNotFoundError, match="2 of 2 clips.*'x'"):
        FaceClipDataset(str(tmp_path), ann_file='train.txt')
    with pytest.raises(ValueError, match="missing_mask.*'drop'"):
        FaceClipDataset(str(tmp_path), missing_mask='drop')
    with pytest.raises(ValueError, match='at least 1'):
        FaceClipDataset(str(tmp_path), clip_length=0)


def test_ann_file_and_indices(tmp_path):
    for name in 'abc':
        write_clip(tmp_path / name, 2)
    (tmp_path / 'val.txt').write_text('c\nb\n')
    kwargs = dict(data_root=str(tmp_path), ann_file='val.txt', clip_length=2)
    dataset = FaceClipDataset(**kwargs)
    assert [dataset.get_data_info(i)['clip_id'] for i in (0, 1)] == ['c', 'b']
    dataset = FaceClipDataset(indices=1, lazy_init=True, **kwargs)
    assert not dataset._fully_initialized
    assert len(dataset) == 1


def scales(sample):
    """Crop scale of each frame of a sample."""
    return 64 / sample.crop_matrices[:, 0, 0] / 34


def test_one_draw_per_clip(tmp_path):
    write_clip(tmp_path / 'a', 5)
    kwargs = dict(data_root=str(tmp_path), clip_length=5, image_size=64)
    dataset = FaceClipDataset(pipeline=clip_pipeline(trans_scale=.1),
                              **kwargs)
    samples = [dataset[0]['data_samples'] for _ in range(8)]
    drawn = np.array([scales(sample) for sample in samples])
    assert np.ptp(drawn, 1).max() < 1e-9
    assert 1.4 <= drawn.min() and drawn.max() <= 1.8
    assert len(np.unique(drawn[:, 0].round(6))) == 8
    centers = np.array([sample.gt_landmarks[..., :2].amin(1) +
                        sample.gt_landmarks[..., :2].amax(1)
                        for sample in samples]) / 2
    assert np.ptp(centers, 1).max() < 1e-5 and np.ptp(centers, 0).min() > .01
    fixed = FaceClipDataset(test_mode=True, **kwargs)
    np.testing.assert_allclose(scales(fixed[0]['data_samples']), 1.6)


def test_crop_modes(tmp_path):
    write_clip(tmp_path / 'a', 5)
    kwargs = dict(data_root=str(tmp_path), clip_length=5, image_size=64,
                  test_mode=True)
    def center(mode):
        dataset = FaceClipDataset(pipeline=clip_pipeline(
            strict=True, mode=mode), **kwargs)
        matrix = dataset[0]['data_samples'].crop_matrices
        return (31.5 - matrix[:, 0, 2]) / matrix[:, 0, 0]
    np.testing.assert_allclose(center('frame'), [51, 52, 53, 54, 55])
    np.testing.assert_allclose(center('clip'), 53)
    # The face moves evenly: smoothing does not hold the crop back.
    np.testing.assert_allclose(center('smooth'), [51, 52, 53, 54, 55])
    with pytest.raises(ValueError, match="'wild'"):
        center('wild')


def test_draws_depend_on_seed_epoch_and_index_only(tmp_path):
    write_clip(tmp_path / 'a', 12)
    config = dict(
        type='FaceClipDataset', data_root=str(tmp_path), clip_length=2,
        image_size=32, pipeline=clip_pipeline(
            dict(type='ClipColorJitter'), dict(type='ClipDegradation'),
            trans_scale=.1))

    def epochs(workers, wanted, seed=0):
        dataset = DATASETS.build({**config, 'seed': seed})
        sampler = DATA_SAMPLERS.build(
            dict(type='EpochSampler', seed=3, shuffle=True),
            default_args=dict(dataset=dataset))
        assert isinstance(sampler, EpochSampler)
        loader = DataLoader(
            dataset, 3, sampler=sampler, num_workers=workers,
            collate_fn=pseudo_collate, persistent_workers=workers > 0,
            worker_init_fn=partial(worker_init_fn, num_workers=workers,
                                   rank=0, seed=workers))
        out = []
        for epoch in wanted:
            sampler.set_epoch(epoch)
            out.append(torch.stack([
                image for batch in loader for image in batch['inputs']]))
        return out

    first, second = epochs(0, [0, 1])
    assert not torch.equal(first, second)
    for got in (epochs(2, [0, 1]), epochs(1, [0, 1])):
        assert torch.equal(got[0], first) and torch.equal(got[1], second)
    assert torch.equal(epochs(2, [1])[0], second)  # resumed
    assert not torch.equal(epochs(0, [0], seed=1)[0], first)


def test_without_epochs_draws_still_vary(tmp_path):
    write_clip(tmp_path / 'a', 4)
    dataset = FaceClipDataset(str(tmp_path), clip_length=4, image_size=32)
    loader = DataLoader(
        dataset, 1, sampler=DefaultSampler(dataset, shuffle=False),
        num_workers=1, collate_fn=pseudo_collate,
        worker_init_fn=partial(worker_init_fn, num_workers=1, rank=0, seed=0))
    drawn = [scales(next(iter(loader))['data_samples'][0])[0]
             for _ in range(3)]
    assert len(set(drawn)) == 3


def test_dataset_survives_pickling(tmp_path):
    write_clip(tmp_path / 'a', 4)
    dataset = FaceClipDataset(str(tmp_path), clip_length=4, image_size=32)
    twin = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(twin[0]['inputs'], dataset[0]['inputs'])


def test_names_of_long_clips_are_kept_in_parts(tmp_path, monkeypatch):
    write_clip(tmp_path / 'a', 7)
    write_clip(tmp_path / 'b', 3)
    (tmp_path / 'a/kpt/00004_kpt2d.npy').unlink()
    kwargs = dict(data_root=str(tmp_path), clip_length=3, image_size=16)
    whole = FaceClipDataset(**kwargs)
    expected = [whole.get_data_info(i) for i in range(len(whole))]
    monkeypatch.setattr('mmtvface.datasets.base_clip_dataset._PART', 2)
    parted = FaceClipDataset(**kwargs)
    assert [parted.get_data_info(i) for i in range(len(parted))] == expected
    names = parted.describe_frames(1, [5, 0, 3])
    assert names['image_names'] == ['00006.jpg', '00001.jpg', '00004.jpg']
    assert names['landmark_names'][2] == ''
    assert names['mask_names'][0] == '00006.npy'


def test_unknown_sub_folders(tmp_path):
    write_clip(tmp_path / 'a', 3)
    with pytest.raises(ValueError, match="'images'.*but there is .'image'"):
        FaceClipDataset(str(tmp_path), data_prefix=dict(image='png'))


@pytest.mark.parametrize('scale', [0., (-1, 1), (2, 1), (1.6, ), (1, 2, 3)])
def test_wrong_scales(scale):
    with pytest.raises(ValueError, match='scale must be a positive number'):
        CropFaceClip(scale=scale)
