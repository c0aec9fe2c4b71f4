# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.tracking.detectors.search_areas import tiles


@pytest.mark.parametrize('size', [(100, 100), (90, 161), (301, 77)])
def test_every_small_square_is_whole_in_a_tile(size):
    height, width = size
    reach = min(size) // 4 - 1
    whole = np.zeros((height - reach, width - reach), bool)
    for left, top, part in tiles(np.zeros((*size, 3), np.uint8)):
        assert part.shape[0] == part.shape[1] == min(size) // 2
        whole[top:top + part.shape[0] - reach,
              left:left + part.shape[1] - reach] = True
    assert whole.all()


@pytest.mark.parametrize('vertical', [False, True])
def test_strips_are_searched_in_squares_of_their_height(vertical):
    image = np.arange(50 * 401).reshape(50, 401, 1).repeat(3, 2)
    if vertical:
        image = image.swapaxes(0, 1)
    found = list(tiles(image))
    places = [place[:2][::-1 if vertical else 1] for place in found]
    assert len(places) == 16  # a step of at most half a square: 351 / 15
    assert (places[0], places[-1]) == ((0, 0), (351, 0))
    assert np.diff([left for left, _ in places]).max() <= 25
    for left, top, part in found:
        assert part.shape == (50, 50, 3)
        assert part[0, 0, 0] == image[top, left, 0]


@pytest.mark.parametrize('size', [(47, 200), (200, 47), (23, 900), (1, 1)])
def test_parts_too_small_to_show_a_face_are_left_out(size):
    assert list(tiles(np.zeros((*size, 3), np.uint8))) == []
