# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import cv2
import numpy as np
import pytest

from mmtvface.io.image import (
    decode_mask,
    normalize_mask,
    read_image,
    read_landmarks,
)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_truncated_images_are_refused(tmp_path, suffix):
    path = tmp_path / f'a{suffix}'
    image = np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8)
    cv2.imwrite(str(path), image)
    assert read_image(path).shape == (64, 48, 3)
    data = path.read_bytes()
    path.write_bytes(data + b'\0' * 7)  # padding behind the end is harmless
    assert read_image(path).shape == (64, 48, 3)
    path.write_bytes(data[:len(data) // 2])
    with pytest.raises(ValueError, match='truncated'):
        read_image(path)
    for content in (b'', b'not an image'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='cannot be decoded'):
            read_image(path)


def test_landmarks(tmp_path):
    path = tmp_path / 'a.npy'
    points = np.random.default_rng(0).uniform(0, 99, (68, 2))
    np.save(path, points)
    out = read_landmarks(path)
    assert out.dtype == np.float64 and (out[:, 2] == 1).all()
    np.testing.assert_allclose(out[:, :2], points, rtol=1e-6)
    np.save(path, np.concatenate([points, np.full((68, 1), .5)], 1))
    assert (read_landmarks(path)[:, 2] == .5).all()
    for wrong, message in ((points[:51], r'not \(51, 2\)'),
                           (points * np.nan, 'finite'),
                           (points * [1, 0], 'one point or line')):
        np.save(path, wrong)
        with pytest.raises(ValueError, match=message):
            read_landmarks(path)


def mask_in(path, shape):
    """Range 0..1, in whichever form it is decoded."""
    mask = decode_mask(path.read_bytes(), path.name, shape)
    assert mask.dtype in (np.uint8, np.float32)
    return mask / np.float32(255) if mask.dtype == np.uint8 else mask


@pytest.mark.parametrize(('dtype', 'high'), [
    (bool, 1), (np.uint8, 1), (np.uint8, 255), (np.int64, 1),
    (np.int64, 255), (np.float16, 1), (np.float64, 1), (np.float32, 255)])
def test_mask_ranges(tmp_path, dtype, high):
    mask = np.zeros((6, 8), dtype)
    mask[2:4, 3:5] = high
    np.save(tmp_path / 'm.npy', mask)
    out = mask_in(tmp_path / 'm.npy', (6, 8))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, mask.astype(np.float32) / high)


def test_mask_shapes_and_files(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[1, 2] = 255
    cv2.imwrite(str(tmp_path / 'm.png'), mask)
    np.testing.assert_array_equal(
        mask_in(tmp_path / 'm.png', (6, 8)), mask / 255)
    for name, shape in (('a', (1, 6, 8)), ('b', (6, 8, 1))):
        np.save(tmp_path / f'{name}.npy', mask.reshape(shape))
        np.testing.assert_array_equal(
            mask_in(tmp_path / f'{name}.npy', (6, 8)), mask / 255)
    with pytest.raises(ValueError, match=r'\(6, 8\), the image \(8, 6\)'):
        mask_in(tmp_path / 'm.png', (8, 6))


def test_masks_that_are_none():
    with pytest.raises(ValueError, match='class labels'):
        normalize_mask(np.arange(19))
    with pytest.raises(ValueError, match='nan'):
        normalize_mask(np.array([0, np.nan]))
    with pytest.raises(ValueError, match='-1'):
        normalize_mask(np.array([-1, 1]))
    with pytest.raises(ValueError, match='complex'):
        normalize_mask(np.zeros(2, complex))


@pytest.mark.parametrize('array', [
    np.arange(136, dtype=np.float32).reshape(68, 2),
    np.asfortranarray(np.arange(136.).reshape(68, 2)),
    np.arange(136, dtype='>i4').reshape(68, 2)])
def test_arrays_are_what_numpy_reads(tmp_path, array):
    np.save(tmp_path / 'a.npy', array)
    points = read_landmarks(tmp_path / 'a.npy')
    np.testing.assert_array_equal(points[:, :2], array)
    data = (tmp_path / 'a.npy').read_bytes()
    for wrong in (data[:-1], data[:40], data[:5]):
        (tmp_path / 'a.npy').write_bytes(wrong)
        with pytest.raises((ValueError, EOFError)):
            read_landmarks(tmp_path / 'a.npy')


def test_pickled_landmarks_are_refused(tmp_path):
    path = tmp_path / 'a.npy'
    np.save(path, np.array([[1, 2]] * 68, object), allow_pickle=True)
    with pytest.raises(ValueError, match='allow_pickle'):
        read_landmarks(path)


def test_damaged_headers_of_arrays_are_user_errors(tmp_path):
    path = tmp_path / 'a.npy'
    np.save(path, np.random.default_rng(0).random((68, 2), np.float32))
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, 128, 3):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            read_landmarks(path)
        except (ValueError, EOFError):  # NumPy alone: tokenize.TokenError
            refused += 1
    assert refused > 200


def test_images_too_large_to_be_cropped_are_refused(tmp_path):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.zeros((2, 32767, 3), np.uint8))
    with pytest.raises(ValueError, match='32767 x 2 pixels'):
        read_image(path)
