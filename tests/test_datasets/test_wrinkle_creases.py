# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Charts and creases on faces of which everything is known."""

import math

import numpy as np
import pytest

from mmtvface.datasets.synthetic.creases import Crease, crease_height
from mmtvface.datasets.synthetic.face_chart import FaceChart, unroll_face
from mmtvface.datasets.synthetic.wrinkle_layout import (
    _through,
    lay_out,
    scaled,
    sides,
)

RADIUS = 70.


def marks():
    """Landmarks on a cylinder of 70 mm: ears, nose root, eyes, the rest."""
    points = np.zeros((68, 3))
    points[:, 2] = RADIUS
    points[0], points[16] = (-RADIUS, 0, 0), (RADIUS, 0, 0)
    for sign, index in ((-1, 36), (1, 45)):
        points[index] = (45 * sign, 5, math.sqrt(RADIUS**2 - 45**2))
    return points / 1000


def cylinder(size=40):
    """Texels of a cylinder: one millimetre apart, normals outwards."""
    theta = (np.arange(size) - size / 2) / RADIUS
    height = size / 2 - np.arange(size)
    turn, y = np.meshgrid(theta, height.astype(float))
    normals = np.stack([np.sin(turn), 0 * y, np.cos(turn)], -1)
    positions = RADIUS * normals
    positions[..., 1] = y
    return positions / 1000, 2 * normals, np.ones((size, size))


def test_a_cylinder_unrolls_to_lengths():
    positions, normals, mask = cylinder()
    mask[:3] = 0
    chart = unroll_face(positions, normals, mask, marks())
    assert len(chart.texels) == 37 * 40 and chart.texels[0] == 3 * 40
    assert chart.pitch == pytest.approx(1, rel=1e-3)
    assert chart.unit == pytest.approx(1)
    # p is the arc length, q the height, and they are perpendicular
    np.testing.assert_allclose(chart.points[:2], [(-20, 17), (-19, 17)],
                               atol=1e-9)
    np.testing.assert_allclose(
        chart.metric, np.tile([1., 0, 1], (len(chart.texels), 1)), atol=1e-9)
    np.testing.assert_allclose(chart.landmarks[27], [0, 0], atol=1e-9)


def test_a_slope_is_longer_than_its_shadow():
    """A surface that recedes by 45 degrees: q counts sqrt 2 along it."""
    positions, normals, mask = cylinder()
    normals[..., 1] = 2
    chart = unroll_face(positions, normals, mask, marks())
    np.testing.assert_allclose(chart.metric[:, 2], .5, atol=1e-9)


@pytest.mark.parametrize('name', ['positions', 'normals', 'landmarks'])
def test_wrong_shapes(name):
    positions, normals, mask = cylinder(8)
    values = dict(positions=positions, normals=normals, mask=mask,
                  landmarks=marks())
    values[name] = values[name][:-1]
    with pytest.raises(ValueError, match=name):
        unroll_face(**values)
    with pytest.raises(ValueError, match='too small'):
        unroll_face(positions, normals, 0 * mask, marks())


def plane(step=.25, half=20., pitch=1e-6, slope=1.):
    """A chart of a plane; ``slope`` shortens the gradient of q."""
    axis = np.arange(-half, half + step / 2, step)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    metric = np.tile([1., 0., slope**2], (len(points), 1))
    return FaceChart(np.arange(len(points)), points, metric,
                     np.zeros((68, 2)), pitch, 1., len(axis))


def heights(crease, chart):
    near, values = crease_height(crease, chart)
    height = np.zeros(len(chart.texels))
    height[near] = values
    return {tuple(np.round(p, 6)): h for p, h in zip(
        chart.points, height, strict=True)}


def test_profile_by_hand():
    crease = Crease((0., 0.), 0., -15., 15., .8, 2., ends=5.)
    found = heights(crease, plane())
    assert found[0., 0.] == pytest.approx(-.8)
    ridge = (-math.exp(-.5 * 4) + .38 * math.exp(-.5 * (4 / 4.6)**2)) / .62
    assert found[3., 4.] == pytest.approx(.8 * ridge) and ridge > .15
    assert found[3., -4.] == pytest.approx(.8 * ridge)
    assert found[0., 19.] == pytest.approx(0, abs=2e-4)
    # the ends fade over 5 mm: half of the depth in the middle of them
    assert found[12.5, 0.] == pytest.approx(-.4)
    assert found[15.5, 0.] == 0 == found[-18., 0.]


def test_distances_are_those_on_the_surface():
    crease = Crease((0., 0.), 0., -15., 15., 1., 2.)
    flat, steep = heights(crease, plane()), heights(crease, plane(slope=.5))
    assert steep[0., 2.] == pytest.approx(flat[0., 4.])


def test_large_texels_blur_but_keep_the_volume():
    crease = Crease((0., 0.), 0., -15., 15., 1., 1.5)
    sharp, blurred = (heights(crease, plane(pitch=pitch))
                      for pitch in (1e-6, 3.))
    assert blurred[0., 0.] == pytest.approx(
        (-1 / math.sqrt(2) + .38 * 3.45 / math.hypot(3.45, 1.5)) / .62)
    column = [q / 4 for q in range(-80, 81)]
    assert sum(blurred[0., q] for q in column) == pytest.approx(
        sum(sharp[0., q] for q in column), abs=.02)


def test_a_fold_hangs_over_from_the_left():
    along = Crease((0., 0.), math.pi / 2, -15., 15., 1., 1.5, fold=.6)
    found = heights(along, plane())
    # upwards, left is at negative p
    assert found[-4., 0.] > found[4., 0.] + .3


def test_bends_and_waves():
    bent = heights(Crease((0., 0.), 0., -15., 15., 1., 1., bend=.04),
                   plane())
    assert bent[5., 1.] == pytest.approx(-1) and bent[5., -3.] > -.2
    wavy = heights(Crease((0., 0.), 0., -15., 15., 1., 1.,
                          waves=((2., 20., 0.), )), plane())
    assert wavy[5., 2.] == pytest.approx(-1)
    assert wavy[-5., -2.] == pytest.approx(-1)


@pytest.mark.parametrize('sign', [1, -1])
def test_through_three_points(sign):
    points = np.array([(6., 8.), (10., 0.), (9., -8.)]) * [sign, 1]
    crease = _through(points, sign)
    t = np.array([crease.start, crease.stop])
    direction = np.array([math.cos(crease.angle), math.sin(crease.angle)])
    left = np.array([-direction[1], direction[0]])
    ends = crease.origin + t[:, None] * direction + (
        crease.bend * t[:, None]**2 * left)
    np.testing.assert_allclose(ends, points[[0, 2]][::sign], atol=1e-9)
    assert left[0] * sign > 0  # its left side is the outer one


def test_scale_of_a_small_face():
    crease = Crease((10., 4.), .3, -8., 8., 1., 2., bend=.02,
                    waves=((1., 20., .5), ), fold=.5)
    small = scaled(crease, .5)
    assert small.origin == (5., 2.) and small.waves == ((.5, 10., .5), )
    # the same picture at half the size
    large = heights(crease, plane(step=.5))
    for (p, q), value in list(heights(small, plane(step=.25)).items())[::97]:
        if (2 * p, 2 * q) in large:
            assert 2 * value == pytest.approx(large[2 * p, 2 * q])


def test_layout_is_of_the_person_and_nearly_symmetric():
    positions, normals, mask = cylinder()
    places = marks()
    for index, x, y in ((46, 39, 0), (47, 27, 0), (22, 12, 27), (35, 13, -44),
                        (54, 25, -68)):
        other = {46: 41, 47: 40, 22: 21, 35: 31, 54: 48}[index]
        z = math.sqrt(RADIUS**2 - x**2)
        places[index], places[other] = (
            np.array([s * x, y, z]) / 1000 for s in (1, -1))
    chart = unroll_face(positions, normals, mask, places)
    left, right = sides(chart).values()
    np.testing.assert_allclose(left.eye * [-1, 1], right.eye, atol=1e-9)
    layout = lay_out(np.random.default_rng(5), chart)
    again = lay_out(np.random.default_rng(5), chart)
    assert layout == again
    assert lay_out(np.random.default_rng(6), chart) != layout
    for (name, side), lines in layout.items():
        assert lines and all(0 < line.depth < 1.2 for line in lines)
        if side == 'l':
            twins = layout[name, 'r']
            assert len(twins) == len(lines)
            for one, two in zip(lines, twins, strict=True):
                assert one.origin[0] == pytest.approx(
                    -two.origin[0], abs=4)
                assert one.origin[1] == pytest.approx(two.origin[1], abs=4)
