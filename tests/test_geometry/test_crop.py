# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import cv2
import numpy as np
import pytest

from mmtvface.geometry.crop import (
    box_to_square,
    crop_matrix,
    landmark_box,
    square_matrix,
    track_squares,
    transform_points,
    warp,
)


def test_box_and_square_by_hand():
    landmarks = np.array([[10., 20.], [30., 25.], [14., 60.]])
    box = landmark_box(landmarks)
    assert box == (10., 20., 30., 60.)
    # mean side (20 + 40) / 2 = 30, times 1.5; shifted by a tenth of 30
    center, side = box_to_square(box, 1.5, (.1, -.1))
    assert side == pytest.approx(45.)
    assert center == pytest.approx((23., 37.))


def test_matrix_by_hand():
    # A square of side 4 around index 1.5 is the whole 4 px image: doubling
    # sends the centre of pixel 0 (0.5 px from the edge) 1 px from the edge.
    matrix = square_matrix((1.5, 1.5), 4., 8)
    np.testing.assert_allclose(
        matrix, [[2., 0., .5], [0., 2., .5], [0., 0., 1.]])
    matrix = crop_matrix((0, 0, 10, 30), 10, scale=2.)
    # side 40, centre (5, 15): factor .25, 4.5 - .25 * centre
    np.testing.assert_allclose(
        matrix, [[.25, 0., 3.25], [0., .25, .75], [0., 0., 1.]])


def test_square_edges_become_crop_edges():
    rng = np.random.default_rng(0)
    for _ in range(5):
        center, side = rng.uniform(0, 99, 2), rng.uniform(5, 300)
        edges = np.stack([center - side / 2, center + side / 2])
        out = transform_points(edges, square_matrix(center, side, 224))
        np.testing.assert_allclose(out, [[-.5, -.5], [223.5, 223.5]])


def test_transform_points_keeps_visibility_and_batches():
    points = np.array([[[1., 2., .5]], [[3., 4., 0.]]])
    matrices = np.stack([square_matrix((0, 0), 1, 2),
                         square_matrix((1, 1), 4, 4)])
    out = transform_points(points, matrices)
    np.testing.assert_allclose(out, [[[2.5, 4.5, .5]], [[3.5, 4.5, 0.]]])
    assert points[0, 0, 0] == 1.


def test_smooth_squares_follow_an_even_motion_to_the_ends():
    # A face that moves 3 px and grows 1 px per frame: smoothing must not
    # hold it back, least of all in the first and the last frame.
    time = np.arange(41.)[:, None]
    boxes = np.array([0., 0., 40., 60.]) + time * [3., 0., 4., 1.]
    centers, sides = track_squares(boxes, 1.5, mode='smooth')
    np.testing.assert_allclose(
        centers, np.hstack([20 + 3.5 * time, 30 + .5 * time]))
    np.testing.assert_allclose(sides, 1.5 * (50 + time[:, 0]))
    # What trembles from frame to frame is gone, far from the ends.
    boxes[1::2] += 2.
    shaken, _ = track_squares(boxes, 1.5, mode='smooth')
    np.testing.assert_allclose(shaken[15:26], centers[15:26] + 1., atol=1e-3)


def test_identity_warp_is_exact():
    image = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    matrix = square_matrix((7.5, 7.5), 16, 16)
    for mode in ('area', 'linear', 'nearest', 'cubic'):
        np.testing.assert_array_equal(warp(image, matrix, 16, mode), image)


@pytest.mark.parametrize('factor', [2, 3, 5])
def test_area_is_the_mean_of_blocks(factor):
    size = 8 * factor
    image = np.random.default_rng(1).uniform(0, 1, (size, size))
    matrix = square_matrix(((size - 1) / 2, ) * 2, size, 8)
    want = image.reshape(8, factor, 8, factor).mean((1, 3))
    np.testing.assert_allclose(warp(image, matrix, 8), want, atol=1e-6)


@pytest.mark.parametrize('side', [37., 90., 330.])
@pytest.mark.parametrize('interpolation', ['area', 'linear'])
def test_warped_blob_lies_where_the_points_say(side, interpolation):
    grid_y, grid_x = np.mgrid[:150, :200].astype(np.float32)
    where = np.array([[93.3, 61.7]])
    sigma = side / 20
    image = np.exp(-((grid_x - where[0, 0])**2 + (grid_y - where[0, 1])**2) /
                   (2 * sigma**2))
    matrix = crop_matrix((80, 40, 80 + side * 2 / 3, 40 + side * 2 / 3), 64,
                         scale=1.5, shift=(-.15, .1))
    out = warp(image, matrix, 64, interpolation)
    rows, cols = np.mgrid[:64, :64]
    found = np.array([(out * cols).sum(), (out * rows).sum()]) / out.sum()
    want = transform_points(where, matrix)[0]
    # OpenCV rounds source positions to 1/32 pixel
    np.testing.assert_allclose(found, want, atol=.06)


@pytest.mark.parametrize(
    'dtype', [bool, np.int8, np.uint8, np.int64, np.float16, np.float32])
def test_warp_keeps_dtype_and_values(dtype):
    mask = np.zeros((20, 20), dtype)
    mask[5:12, 3:9] = 1
    out = warp(mask, square_matrix((9.5, 9.5), 20, 40), 40, 'nearest')
    assert out.dtype == dtype
    assert set(np.unique(out.astype(float))) == {0., 1.}
    assert out.astype(float).sum() == pytest.approx(4 * 7 * 6, abs=14)


def test_outside_and_channels():
    image = np.full((10, 10, 1), 200, np.uint8)
    far = square_matrix((500., 500.), 100., 8)
    out = warp(image, far, (6, 8), fill=7)
    assert out.shape == (6, 8, 1) and (out == 7).all()
    assert (warp(image, far, 8, border='replicate') == 200).all()


def test_large_frame_matches_plain_resize():
    image = cv2.GaussianBlur(np.random.default_rng(2).integers(
        0, 255, (600, 800), np.uint8), (0, 0), 9)
    part = image[100:500, 200:600]
    out = warp(image, square_matrix((399.5, 299.5), 400, 100), 100)
    want = cv2.resize(part, (100, 100), interpolation=cv2.INTER_AREA)
    assert np.abs(out.astype(int) - want).max() <= 2


def test_errors():
    with pytest.raises(ValueError, match='2 of 3 points'):
        landmark_box(np.array([[0, 0], [np.nan, 1], [2, np.inf]]))
    with pytest.raises(ValueError, match=r'\(68,\)'):
        landmark_box(np.zeros(68))
    with pytest.raises(ValueError, match='positive size'):
        crop_matrix((5, 5, 5, 5), 224)
    with pytest.raises(ValueError, match='bilinear'):
        warp(np.zeros((4, 4)), np.eye(3), 4, 'bilinear')
    with pytest.raises(ValueError, match=r'\(0, 4\)'):
        warp(np.zeros((0, 4)), np.eye(3), 4)
