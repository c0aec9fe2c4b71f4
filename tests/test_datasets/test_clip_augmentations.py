# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import cv2
import numpy as np
import pytest
from helpers.fake_datasets import clip_pipeline, face_points, write_clip

from mmtvface.datasets import (
    ClipOcclusion,
    CropFaceClip,
    FaceClipDataset,
    LoadFaceClip,
    MirrorClip,
)
from mmtvface.datasets.transforms.loading import decode_reduction
from mmtvface.datasets.transforms.occlusion import hide_covered, skin_color
from mmtvface.io.clip_index import jitter_frames, make_windows
from mmtvface.io.image import jpeg_size


class Fixed:
    """Generator that returns given integers and a fixed coin."""

    def __init__(self, shifts=(), coin=0.):
        self.shifts, self.coin = shifts, coin

    def integers(self, low, high, size):
        assert low <= min(self.shifts) and max(self.shifts) < high
        return np.array(self.shifts)[:size]

    def random(self):
        return self.coin


@pytest.mark.parametrize(('run', 'stride', 'dilation', 'want'), [
    ((0, 7), 1, 2, [[0, 2, 4], [1, 3, 5], [2, 4, 6]]),
    ((0, 8), 3, 2, [[0, 2, 4], [3, 5, 7]]),
    ((1, 9), 2, 3, [[1, 4, 7], [2, 5, 8]]),
    ((0, 6), 1, 9, [[0, 2, 4], [1, 3, 5]]),  # the largest that fits
    ((4, 7), 1, 2, [[4, 5, 6]]),
    ((4, 6), 1, 2, [[4, 5, 4]]),
])
def test_dilated_windows(run, stride, dilation, want):
    assert make_windows(run, 3, stride, dilation=dilation) == want
    assert make_windows((0, 2), 1, 1, dilation=5) == [[0], [1]]


@pytest.mark.parametrize(('frames', 'shifts', 'want'), [
    ([2, 4, 6], [1, 0, -1], [3, 4, 5]),
    ([2, 4, 6], [2, -2, -2], [4, 5, 6]),    # pushed apart
    ([0, 1, 2], [-2, -2, -2], [0, 1, 2]),   # within the run
    ([6, 7, 8], [2, 2, 2], [7, 8, 9]),
    ([0, 1, 0], [1, 1, 1], [0, 1, 0]),      # a mirrored run stays
])
def test_jitter_in_time(frames, shifts, want):
    assert jitter_frames(frames, (0, 10), 2, Fixed(shifts)) == want


def test_jitter_keeps_order_and_varies():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        got = jitter_frames([1, 4, 5, 8], (0, 10), 2, rng)
        assert all(a < b for a, b in zip(got, got[1:], strict=False))
        assert 0 <= got[0] and got[-1] < 10
        assert max(abs(g - f) for g, f in zip(got, [1, 4, 5, 8],
                                              strict=True)) <= 3
        seen.add(tuple(got))
    assert len(seen) > 50


def indices(dataset, index=0, times=20):
    return {tuple(dataset[index]['data_samples'].frame_indices)
            for _ in range(times)}


def test_time_options_of_the_dataset(tmp_path):
    write_clip(tmp_path / 'a', 9)
    kwargs = dict(data_root=str(tmp_path), clip_length=3, image_size=16)
    plain = FaceClipDataset(dilation=2, **kwargs)
    assert len(plain) == 5 and indices(plain, 4, 2) == {(4, 6, 8)}
    assert indices(FaceClipDataset(reverse_prob=1, **kwargs), 2, 2) == {
        (4, 3, 2)}
    assert indices(FaceClipDataset(reverse_prob=.5, **kwargs)) == {
        (0, 1, 2), (2, 1, 0)}
    shaken = FaceClipDataset(jitter_time=2, dilation=2, **kwargs)
    item = shaken[0]
    names = [int(name) - 1 for name in item['data_samples'].frame_names]
    assert names == item['data_samples'].frame_indices
    assert len(indices(shaken)) > 5
    # A test takes the frames as they are.
    fixed = FaceClipDataset(jitter_time=2, reverse_prob=1, test_mode=True,
                            **kwargs)
    assert indices(fixed) == {(0, 1, 2)}
    for wrong in (dict(dilation=0), dict(jitter_time=-1), dict(stride=0)):
        with pytest.raises(ValueError, match='at least'):
            FaceClipDataset(**kwargs, **wrong)
    with pytest.raises(ValueError, match='0..1.*1.5'):
        MirrorClip(1.5)
    with pytest.raises(ValueError, match='reverse_prob.*0..1.*1.5'):
        FaceClipDataset(reverse_prob=1.5, **kwargs)


def test_mirrored_landmarks_by_hand():
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    points = np.zeros((2, 68, 3), np.float32)
    points[:, 0] = .5, .1, 1     # right end of the contour
    points[:, 16] = -.25, .2, 0  # left end
    points[:, 48] = -.125, .3, 1  # right corner of the mouth
    matrix = np.array([[2., 0, 1], [0, 2, -1], [0, 0, 1]])
    results = dict(images=images, landmarks=points,
                   masks=np.arange(32, dtype=np.float32).reshape(2, 4, 4),
                   crop_matrices=np.stack([matrix] * 2), rng=Fixed(coin=.4))
    assert MirrorClip(.3)(results)['images'] is images
    out = MirrorClip(.5)(results)
    np.testing.assert_array_equal(out['images'], images[:, :, ::-1])
    np.testing.assert_array_equal(out['masks'][1, 0], [19, 18, 17, 16])
    np.testing.assert_allclose(out['landmarks'][1, 16], [-.5, .1, 1])
    np.testing.assert_allclose(out['landmarks'][1, 0], [.25, .2, 0])
    np.testing.assert_allclose(out['landmarks'][1, 54], [.125, .3, 1])
    # x = 1 of the frame is column 3 of the crop and column 0 mirrored.
    np.testing.assert_allclose(out['crop_matrices'][0], [
        [-2, 0, 2], [0, 2, -1], [0, 0, 1]])
    assert points[0, 0, 0] == .5 and results['crop_matrices'][0, 0, 0] == 2


def test_mirrored_clip_of_files(tmp_path):
    clip = write_clip(tmp_path / 'a', 2)
    for name in ('000001', '000002'):  # dark to bright, left to right
        ramp = np.tile(np.arange(120, dtype=np.uint8)[None, :, None],
                       (90, 1, 3))
        cv2.imwrite(str(clip / f'jpg/{name}.jpg'), ramp)
    kwargs = dict(data_root=str(clip), clip_length=2, image_size=48)
    plain = FaceClipDataset(pipeline=clip_pipeline(scale=1.5), **kwargs)[0]
    mirrored = FaceClipDataset(pipeline=clip_pipeline(
        dict(type='MirrorClip', prob=1), scale=1.5), **kwargs)[0]
    assert np.array_equal(plain['inputs'].flip(-1), mirrored['inputs'])
    one, two = plain['data_samples'], mirrored['data_samples']
    assert np.array_equal(one.gt_masks.flip(-1), two.gt_masks)
    # Landmark 0 of the file, through the matrix, is landmark 16's mirror.
    pixel = two.crop_matrices[1] @ [*face_points((52, 45))[0], 1]
    ndc = (2 * pixel[:2] + 1) / 48 - 1
    np.testing.assert_allclose(two.gt_landmarks[1, 16, :2], ndc, atol=1e-5)
    np.testing.assert_allclose(two.gt_landmarks[1, 16, 0],
                               -one.gt_landmarks[1, 0, 0], atol=1e-6)


def covered(masks, seed=0, **kwargs):
    images = np.full((3, 64, 64, 3), 90, np.uint8)
    landmarks = np.zeros((3, 68, 3), np.float32)
    landmarks[..., :2] = np.random.default_rng(0).uniform(
        -1, 1, (3, 68, 2))
    landmarks[..., 2] = 1
    results = dict(images=images, landmarks=landmarks, masks=masks,
                   rng=np.random.default_rng(seed))
    return ClipOcclusion(**kwargs)(results), images


@pytest.mark.parametrize('kind', ['hand', 'microphone', 'ellipse', 'box'])
def test_occlusion_takes_the_mask_away(kind):
    masks = np.ones((3, 64, 64), np.float32)
    hidden = 0
    for seed in range(4):
        out, images = covered(masks, seed, prob=1., kinds=[kind],
                              hide_landmarks=True)
        changed = np.abs(out['images'].astype(int) - 90).max(-1) > 12
        # What was painted over is not skin any more; the rest still is.
        assert (out['masks'][changed] < 1).all()
        assert (out['images'][out['masks'] == 1] == 90).all()
        assert out['masks'].dtype == np.float32
        hidden += (out['landmarks'][..., 2] == 0).sum()
        assert (images == 90).all() and (masks == 1).all()
    assert hidden > 0


def test_occlusion_makes_masks_and_obeys_the_probability():
    out, images = covered(None, prob=0.)
    assert (out['masks'] == 1).all() and out['images'] is images
    out, _ = covered(None, prob=1., kinds=['hand'])
    assert out['masks'].min() < .1 and (out['landmarks'][..., 2] == 1).all()
    with pytest.raises(ValueError, match='kinds'):
        ClipOcclusion(kinds=['cat'])
    with pytest.raises(ValueError, match='prob'):
        ClipOcclusion(prob=2)


def test_hidden_landmarks_by_hand():
    opacity = np.zeros((1, 4, 4), np.float32)
    opacity[0, 2, 1] = 1  # row 2, column 1: NDC x -.25, y .25
    points = np.array([[[-.25, .25, 1], [.25, -.25, 1], [-3, .25, 1],
                        [-.1, .4, .5]]], np.float32)
    assert hide_covered(points, opacity)[0, :, 2].tolist() == [0, 1, 1, 0]


def test_skin_color():
    images = np.zeros((1, 8, 8, 3), np.uint8)
    images[0, 4:] = 10, 20, 30
    masks = np.zeros((1, 8, 8), np.float32)
    assert skin_color(images, masks).min() > 100  # nothing to see
    masks[0, 4:] = 1
    assert skin_color(images, masks).tolist() == [10, 20, 30]


def test_reduction_by_hand():
    points = np.zeros((2, 68, 3))
    points[0, 1] = 100, 140, 1   # mean side 120
    points[1, 1] = 300, 300, 1
    assert decode_reduction(points, 60, 1.) == 2
    assert decode_reduction(points, 61, 1.) == 1
    assert decode_reduction(points, 60, 2.) == 4
    assert decode_reduction(points[1:], 10, 1.) == 8


def test_reduced_decoding_is_as_good(tmp_path):
    """A large frame gives the crop of full decoding, four times cheaper."""
    size = 641
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 255, (14, 14), np.uint8),
                       (size, size - 64), interpolation=cv2.INTER_CUBIC)
    image = np.repeat(image[..., None], 3, 2)
    for name in ('jpg', 'kpt', 'seg/masks'):
        (tmp_path / name).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'jpg/1.jpg'), image,
                [cv2.IMWRITE_JPEG_QUALITY, 100])
    np.save(tmp_path / 'kpt/1.npy', face_points((300, 280), 180))
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[150:400, 200:420] = 255
    cv2.imwrite(str(tmp_path / 'seg/masks/1.png'), mask)
    full = dict(
        folder=str(tmp_path), prefix=dict(images='jpg', landmarks='kpt',
                                          masks='seg/masks'),
        image_names=['1.jpg'], landmark_names=['1.npy'],
        mask_names=['1.png'], repeated=[False],
        image_size=64, rng=np.random.default_rng(0))
    crop = CropFaceClip(1.4)
    loaded = LoadFaceClip()(full)
    assert loaded['frames'][0].shape == image.shape
    expected = crop(loaded)
    loaded = LoadFaceClip(crop_scale=1.4)(full)
    assert loaded['reductions'] == [4]
    assert loaded['frames'][0].shape == (145, 161, 3)
    got = crop(loaded)
    np.testing.assert_array_equal(got['crop_matrices'],
                                  expected['crop_matrices'])
    np.testing.assert_array_equal(got['masks'], expected['masks'])
    assert got['ori_shape'] == expected['ori_shape'] == (size - 64, size)
    error = np.abs(got['images'].astype(int) - expected['images'])
    assert error.mean() < 1
    # Half a pixel of shift would be seen.
    assert np.abs(np.diff(expected['images'].astype(int), axis=2)
                  ).mean() / 2 > 4 * error.mean()


def test_size_of_a_jpeg(tmp_path):
    image = np.zeros((30, 52, 3), np.uint8)
    for flags in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]):
        data = cv2.imencode('.jpg', image, flags)[1].tobytes()
        assert jpeg_size(data) == (30, 52)
        assert jpeg_size(data[:2] + b'\xff\xe1\x00\x0a12345678' + data[2:]
                         ) == (30, 52)
    assert jpeg_size(data[:20]) is None
    # EXIF data may turn the image, so that reducing it would shift it.
    exif = b'\xff\xe1\x00\x10Exif\0\0' + bytes(8)
    assert jpeg_size(data[:2] + exif + data[2:]) is None
    assert jpeg_size(cv2.imencode('.png', image)[1].tobytes()) is None
