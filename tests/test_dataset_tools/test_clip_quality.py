# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import cv2
import numpy as np
import pytest

from mmtvface.dataset_tools.clip_quality import difference_hash, sharpness


@pytest.fixture
def texture():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(256, 256))
    # About as much detail at every size, as photographs have.
    smooth = sum(s * cv2.GaussianBlur(noise, (0, 0), s)
                 for s in (1, 2, 4, 8, 16))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return (smooth * 200 + 20).astype(np.uint8)


def test_sharpness_falls_with_blur(texture):
    values = [sharpness(texture)] + [
        sharpness(cv2.GaussianBlur(texture, (0, 0), sigma))
        for sigma in (1, 2, 4, 8)]
    assert (np.diff(values) < 0).all()
    assert values[0] > 4 * values[3]


def test_sharpness_does_not_depend_on_contrast_or_size(texture):
    value = sharpness(texture)
    dimmed = (texture * 0.6 + 30).astype(np.uint8)
    assert sharpness(dimmed) == pytest.approx(value, rel=0.08)
    larger = cv2.resize(texture, (512, 512), interpolation=cv2.INTER_CUBIC)
    assert sharpness(larger) == pytest.approx(value, rel=0.1)


def test_sharpness_of_a_checkerboard_and_of_nothing():
    board = (np.indices((128, 128)).sum(0) % 2 * 200).astype(np.uint8)
    # The Laplacian is 4 * 200 in turns (mirrored beyond the border too):
    # variance 800**2 over 100**2 + 25.
    assert sharpness(board) == pytest.approx(800**2 / (100**2 + 25))
    assert sharpness(np.full((40, 50), 77, np.uint8)) == 0.


def test_hash_by_hand():
    rising = np.tile(np.arange(0, 180, 20, dtype=np.uint8), (8, 1))
    assert difference_hash(rising) == 2**64 - 1
    assert difference_hash(rising[:, ::-1]) == 0
    assert difference_hash(np.full((8, 9), 9, np.uint8)) == 0
    one = np.zeros((8, 9), np.uint8)
    one[0, 1] = 50  # brighter than its left neighbour only
    assert difference_hash(one) == 1 << 63


def test_hash_knows_a_picture_again(texture):

    def changed_bits(image):
        return (value ^ difference_hash(image)).bit_count()

    value = difference_hash(texture)
    smaller = cv2.resize(texture, (90, 90), interpolation=cv2.INTER_AREA)
    dimmed = (texture * 0.7 + 10).astype(np.uint8)
    assert changed_bits(smaller) <= 3
    assert changed_bits(dimmed) <= 3
    assert 15 <= changed_bits(texture.T.copy()) <= 49


@pytest.mark.parametrize('bad', [
    np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8)
])
def test_what_is_no_grey_picture_is_refused(bad):
    for function in (sharpness, difference_hash):
        with pytest.raises(ValueError, match=r'\(H, W\) uint8.*\('):
            function(bad)
