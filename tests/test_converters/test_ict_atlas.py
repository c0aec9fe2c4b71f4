# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
import numpy as np
import pytest

from mmtvface.converters.ict_facekit.uv_map import pack_uv_map
from mmtvface.heads.providers.procedural.uv_raster import rasterize_uv_map


def square(low, high):
    """Two triangles that cover a square of the UV plane."""
    (a, b), (c, d) = low, high
    return np.array([(a, b), (c, b), (c, d), (a, d)], float)


def charts(**squares):
    """Coordinates, triangles and parts of named squares."""
    coords = np.concatenate([np.concatenate(s) for s in squares.values()])
    faces, parts, start = [], {}, 0
    for name, members in squares.items():
        parts[name] = (len(faces), len(faces) + 2 * len(members))
        for _ in members:
            faces += [(start, start + 1, start + 2),
                      (start, start + 2, start + 3)]
            start += 4
    rows = np.arange(len(faces))
    return coords, np.array(faces), {
        name: (rows >= low) & (rows < high)
        for name, (low, high) in parts.items()}


def check(coords, faces, parts):
    """Everything lies in the square, nothing overlaps, shapes are kept."""
    uv_map, sheets = pack_uv_map(coords, faces, parts)
    assert uv_map.coords.min() >= 0 and uv_map.coords.max() <= 1
    assert rasterize_uv_map(uv_map, 200).count.max() <= 2  # shared edges
    a, b, c = (uv_map.coords[uv_map.faces[:, i]] for i in range(3))
    u, v = b - a, c - a
    area = (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2
    covered = np.mean(rasterize_uv_map(uv_map, 200).face >= 0)
    assert area.sum() == pytest.approx(covered, rel=.05)
    for sheet in sheets:
        for name in sheet.parts:
            for row in np.flatnonzero(parts[name]):
                moved = coords[faces[row]] * sheet.scale + sheet.offset
                if np.allclose(moved, uv_map.coords[uv_map.faces[row]],
                               atol=1e-9):
                    parts[name] = parts[name] & (np.arange(len(faces)) != row)
    # every triangle is where one of the sheets says
    assert not any(rows.any() for rows in parts.values())
    return uv_map, sheets


def test_one_tile_is_kept():
    coords, faces, parts = charts(
        face=[square((.1, .1), (.6, .9))], head=[square((.7, .1), (.9, .4))])
    uv_map, sheets = check(coords, faces, parts)
    assert len(sheets) == 1 and sheets[0].parts == ('face', 'head')
    np.testing.assert_array_equal(uv_map.coords[uv_map.faces], coords[faces])


def test_a_tile_elsewhere_is_shifted():
    coords, faces, parts = charts(face=[square((3.1, 1.1), (3.6, 1.9))])
    uv_map, sheets = check(coords, faces, parts)
    assert sheets[0].scale == (1, 1) and sheets[0].offset == (-3, -1)
    np.testing.assert_allclose(uv_map.coords.min(0), [.1, .1])


def test_tiles_get_cells_and_the_face_the_largest():
    coords, faces, parts = charts(
        head=[square((1.1, .1), (1.9, .9))],
        face=[square((.1, .1), (.6, .9))],
        eye=[square((2.4, .4), (2.6, .6))])
    parts = {name: parts[name] for name in ('face', 'head', 'eye')}
    uv_map, sheets = check(coords, faces, parts)
    assert [sheet.parts[0] for sheet in sheets] == ['face', 'head', 'eye']
    assert sheets[0].scale == (.75, .75) and sheets[0].offset == (0, .25)
    # small charts are enlarged to their cell
    assert sheets[2].scale[0] > 1


def test_parts_upon_each_other_are_separated():
    same = square((.1, .1), (.9, .9))
    coords, faces, parts = charts(face=[same], left_eye=[same],
                                  right_eye=[same + [1, 0]])
    _, sheets = check(coords, faces, parts)
    assert [sheet.parts for sheet in sheets] == [
        ('face', ), ('left_eye', ), ('right_eye', )]


def test_many_sheets_get_smaller_cells():
    squares = {f'part{i}': [square((i + .1, .1), (i + .9, .9))]
               for i in range(12)}
    _, sheets = check(*charts(**squares))
    assert len(sheets) == 12
    assert sheets[0].scale[0] == pytest.approx(5 / 6)


def test_a_chart_over_the_border_of_its_tile_is_fitted():
    coords, faces, parts = charts(face=[square((-.4, .2), (1.6, .9))])
    uv_map, sheets = check(coords, faces, parts)
    assert sheets[0].scale[0] == pytest.approx(.94 / 2)


def test_charts_of_a_part_in_several_tiles():
    coords, faces, parts = charts(
        face=[square((.1, .1), (.9, .9)), square((1.2, .2), (1.4, .4))])
    _, sheets = check(coords, faces, parts)
    assert [sheet.parts for sheet in sheets] == [('face', ), ('face', )]
