# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.visualization.drawing import (
    add_caption,
    draw_landmarks,
    image_grid,
    spread,
)


def test_points_are_drawn_at_their_pixels():
    image = np.zeros((50, 60, 3), np.uint8)
    drawn = draw_landmarks(image, np.array([[10., 20.], [40., 5.]]),
                           (255, 0, 9), radius=1.)
    assert drawn[20, 10].tolist() == [255, 0, 9]
    assert drawn[5, 40].tolist() == [255, 0, 9]
    assert (drawn.any(2).sum() < 40) and not image.any()
    # The middle of what is drawn is the point, to a fraction of a pixel.
    one = draw_landmarks(image, np.array([[10.5, 20.25]]), (255, ) * 3,
                         radius=4.)[..., 0].astype(float)
    rows, cols = np.mgrid[:50, :60]
    assert (one * cols).sum() / one.sum() == pytest.approx(10.5, abs=0.1)
    assert (one * rows).sum() / one.sum() == pytest.approx(20.25, abs=0.1)


def test_hidden_infinite_and_far_points_are_left_out():
    image = np.zeros((20, 20, 3), np.uint8)
    points = np.array([[5, 5, 0], [np.nan, 3, 1], [1e9, 5, 1]])
    assert not draw_landmarks(image, points).any()


def test_68_points_are_joined():
    # On a diagonal, 8 pixels apart.
    points = np.tile(np.arange(68.)[:, None] * 8, 2)
    image = np.zeros((550, 550, 3), np.uint8)
    joined = draw_landmarks(image, points, radius=1.)
    bare = draw_landmarks(image, points, radius=1., lines=False)
    assert joined[124, 124].any() and not bare[124, 124].any()  # 15 to 16
    assert not joined[132, 132].any()  # contour (16) and brow (17)


def test_caption_changes_the_lower_left_only():
    image = np.full((200, 300, 3), 128, np.uint8)
    changed = (add_caption(image, 'frame 7') != 128).any(2)
    assert changed.any() and not changed[:150].any()


def test_grid_by_hand():
    white, gray = (np.full((2, 3, 3), v, np.uint8) for v in (255, 90))
    grid = image_grid([[white, gray], [gray]], gap=1, background=7)
    assert grid.shape == (5, 7, 3)
    expected = np.full((5, 7), 7)
    expected[:2, :3], expected[:2, 4:], expected[3:, :3] = 255, 90, 90
    np.testing.assert_array_equal(grid[..., 0], expected)
    with pytest.raises(ValueError, match='no image'):
        image_grid([[]])


def test_grid_fits_images_into_cells():
    wide = np.full((10, 40, 3), 200, np.uint8)
    grid = image_grid([[wide]], cell=(20, 20))
    assert (grid[8:12] == 200).all() and not grid[:7].any()


def test_spread():
    assert spread(3, 8) == [0, 1, 2]
    assert spread(9, 3) == [0, 4, 8]
    assert spread(0, 3) == []
    assert spread(5, 1) == [0]
