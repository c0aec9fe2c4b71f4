# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.preprocessing.face_backends.search_areas import squares, tiles


@pytest.mark.parametrize('size', [(100, 100), (90, 161), (301, 77), (3, 1)])
def test_every_small_square_is_whole_in_a_tile(size):
    height, width = size
    reach = max(0, min(size) // 4 - 1)
    whole = np.zeros((height - reach, width - reach), bool)
    for left, top, part in tiles(np.zeros((*size, 3), np.uint8)):
        assert part.shape[0] == part.shape[1] == max(1, min(size) // 2)
        whole[top:top + part.shape[0] - reach,
              left:left + part.shape[1] - reach] = True
    assert whole.all()


@pytest.mark.parametrize(('size', 'places'), [
    ((720, 1280), [(0, 0), (560, 0)]), ((1280, 720), [(0, 0), (0, 560)]),
    ((100, 290), [(0, 0), (95, 0), (190, 0)]), ((100, 110), []),
    ((64, 64), [])])
def test_squares_cover_the_longer_side(size, places):
    image = np.arange(size[0] * size[1]).reshape(*size, 1).repeat(3, 2)
    found = list(squares(image))
    assert [(left, top) for left, top, _ in found] == places
    for left, top, part in found:
        assert part.shape == (min(size), min(size), 3)
        assert part[0, 0, 0] == top * size[1] + left
