# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The smooth skin surface through the anthropometric curves.

The head is a star-shaped surface around a vertical axis: rays leave the axis
horizontally up to the height of the forehead and fan out from one centre above
it. The length of the ray is a thin-plate spline over all control points,
placed on a reference capsule (a cylinder with a half sphere on top), so that
neither the crown nor the back of the head has a seam.
"""

from functools import lru_cache

import numpy as np
from scipy.interpolate import RBFInterpolator

from . import anatomy

AXIS_Z = -75.
DOME_HEIGHT = 30.
CAPSULE_RADIUS = 85.
NECK_BOTTOM = -172.


def chart_to_capsule(chart: np.ndarray) -> np.ndarray:
    """Chart coordinates to the reference capsule.

    Args:
        chart: (..., 2) azimuth theta (radians, 0 at the nose, positive to
            the person's left) and arc height s (mm; the height y up to the
            forehead, the arc length over the dome above).

    Returns:
        (..., 3) mm.
    """
    theta, arc = chart[..., 0], chart[..., 1]
    elevation = np.maximum(arc - DOME_HEIGHT, 0) / CAPSULE_RADIUS
    radius = CAPSULE_RADIUS * np.cos(elevation)
    return np.stack([
        radius * np.sin(theta),
        np.minimum(arc, DOME_HEIGHT) + CAPSULE_RADIUS * np.sin(elevation),
        radius * np.cos(theta)
    ], -1)


def point_to_chart(points: np.ndarray) -> np.ndarray:
    """Chart coordinates (..., 2) of the rays through points (..., 3)."""
    x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    z = z - AXIS_Z
    elevation = np.arctan2(np.maximum(y - DOME_HEIGHT, 0), np.hypot(x, z))
    arc = np.minimum(y, DOME_HEIGHT) + CAPSULE_RADIUS * elevation
    return np.stack([np.arctan2(x, z), arc], -1)


def ray_length(points: np.ndarray) -> np.ndarray:
    """Distance (...,) of points (..., 3) from the origin of their ray."""
    x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    return np.sqrt(x**2 + (z - AXIS_Z)**2 + np.maximum(y - DOME_HEIGHT, 0)**2)


#: Nose, by height: rows (x, z) from the ridge to the cheek.
_NOSE = {
    5: [(5, 14.5), (10, 10.5), (14, 6.5)],
    -5: [(4, 21.5), (8, 16), (12, 9.5), (16, 5)],
    -10: [(4, 25.5), (8, 20), (12, 12.5), (17, 7)],
    -15: [(4, 29.5), (8, 24), (12, 16), (18, 8.5)],
    -20: [(4, 34), (8, 28), (12, 19.5), (18, 11)],
    -25: [(4, 37), (8, 32), (12, 23), (15, 16), (20, 11.5)],
    -30: [(4, 38.3), (8, 34.5), (12, 26.5), (15.5, 19), (19, 13)],
    -35: [(4, 37.3), (8, 33.5), (12, 27.5), (16, 21), (19, 14.5)],
    -40: [(4, 33.8), (8, 30.5), (12, 26), (16, 20.5), (19, 14.5)],
    -44: [(3, 26.5), (7, 24.5), (11, 21), (14, 17.5), (18, 14.5)],
    -50: [(4, 22.8), (10, 20.5), (16, 17.5), (22, 15.5)],
}

#: Other places: brow ridge, socket, cheek, temple, jaw, chin and neck.
_FEATURES = np.array([
    # brow ridge and glabella
    (12, 21, 14), (20, 22, 12), (30, 24, 10.5), (40, 24, 6), (50, 20, -4),
    (10, 40, 12.5), (25, 42, 11), (40, 42, 5.5), (52, 40, -6),
    # socket: above the upper eyelid and beside the nose
    (15, 12, 6.5), (22, 14, 4), (32, 15, 4.5), (42, 13, 1.5), (50, 8, -6),
    (22, 8, 3), (32, 9, 3.6), (40, 8, 2), (16, 4, 3.5),
    # under the lower eyelid
    (17, -5, 3), (25, -7, 2.6), (33, -8, 3.2), (41, -6, 1), (47, -3, -3.5),
    (25, -13, 6), (34, -14, 5), (42, -14, 2.5), (50, -12, -1.5),
    # cheek bone, cheek, side of the face
    (32, -26, 8.5), (42, -26, 3.5), (52, -24, -2), (60, -28, -10),
    (67, -28, -26), (26, -34, 12), (36, -34, 8.5), (48, -34, 1),
    (26, -50, 13.5), (34, -52, 10.5), (44, -52, 4), (54, -50, -6),
    (64, -50, -26), (68, -45, -45), (25, -44, 14),
    # beside the mouth, chin
    (31, -66, 10), (38, -70, 4), (48, -70, -6), (58, -68, -20),
    (8, -85, 17.5), (16, -85, 15.5), (26, -84, 10.5), (8, -95, 18),
    (15, -96, 14.5), (24, -96, 7), (34, -92, -3), (8, -104, 14.5),
    # under the jaw
    (0, -117.5, -10), (0, -120.5, -22), (0, -124, -32),
    (14, -112, 0), (14, -116, -11), (14, -119.5, -23), (14, -124, -33),
    (28, -108.5, -10), (28, -113.5, -20), (28, -118.5, -30),
    (28, -124, -38), (40, -104, -26), (40, -110.5, -36), (40, -117, -44),
    (40, -124, -49), (14, -128, -37.5), (28, -128, -42), (40, -128, -52),
    (52, -92, -42), (52, -103, -57), (61, -77, -46),
    (59, -89, -66), (66, -62, -58), (64, -74, -74),
    # temple and in front of the ear
    (68, 18, -32), (74, 18, -52), (75, -5, -58), (76, 15, -70),
    (74, -30, -60), (72, -45, -62),
], dtype=np.float64)

#: Head and neck outlines: height, half width, front z (None where the face
#: is given in detail), back z, z of the greatest width.
_RINGS = [
    (110, 30, -53, -122, -87), (103, 45, -34, -139, -87),
    (95, 55, -20, -150, -87),
    (80, 66, -5, -162, -88), (65, 74, 4.5, -171, -89),
    (50, 78, 9.5, -176, -89), (35, 79.5, None, -179, -88),
    (20, 80, None, -179, -88), (5, 79.5, None, -177, -86),
    (-10, 79, None, -173, -85), (-25, 78, None, -168, -84),
    (-40, 77, None, -161, -84), (-55, 74.5, None, -153, -85),
    (-70, 66, None, -150, -88), (-85, 58, None, -149, -90),
    (-100, 56, None, -149, -90), (-128, 53.5, None, -149, -92),
    (-142, 55, -38.5, -150, -93), (-158, 62, -34, -154, -92),
    (-172, 74, -26, -159, -90),
]

#: Smoothing of the spline: crown, midline, sections, nose, features,
#: landmarks, outlines.
_SMOOTHING = (50., 8., 120., 10., 120., 60., 80.)


def _ring_points(height: float, half_width: float, front: float | None,
                 back: float, middle: float) -> np.ndarray:
    """Points of a superellipse outline, the left half."""
    angles = np.radians(np.arange(90., 181., 15.))
    rows = [(half_width * np.sin(angles)**(2 / 2.15), middle +
             (middle - back) * -np.abs(np.cos(angles))**(2 / 2.15))]
    if front is not None:
        angles = np.radians(np.arange(0., 90., 15.))
        exponent = 2 / 2.35
        rows.append((half_width * np.sin(angles)**exponent,
                     middle + (front - middle) * np.cos(angles)**exponent))
    x, z = np.concatenate(rows, axis=1)
    return np.stack([x, np.full_like(x, height), z], -1)


def control_points() -> tuple[np.ndarray, np.ndarray]:
    """Points on the skin, both halves, that the surface follows.

    Returns:
        (N, 3) mm and (N,) the smoothing of each: how freely the spline may
        pass by it. The curves are rounded to millimetres, so following them
        exactly would give ripples.
    """
    points = [np.array([(0., anatomy.CROWN_HEIGHT + .5, -88.)])]
    profile = anatomy.MIDLINE[(anatomy.MIDLINE[:, 0] > -57) |
                              (anatomy.MIDLINE[:, 0] < -75)]
    points.append(np.insert(profile, 0, 0., axis=1))
    for height, section in anatomy.SECTIONS.items():
        rows = np.insert(section[1:], 1, height, axis=1)
        keep = np.ones(len(rows), dtype=bool)
        if height == 0:  # eyelids and lashes
            keep = rows[:, 0] > 45
        elif height in (-20, -40):  # the nose is given below
            keep = rows[:, 0] > 24
        points.append(rows[keep & (rows[:, 0] < 78)])
    for height, rows in _NOSE.items():
        points.append(np.insert(np.array(rows, float), 1, height, axis=1))
    points.append(_FEATURES)
    skin = [*range(8, 17), *range(22, 27), *range(33, 36), *range(51, 58)]
    points.append(anatomy.LANDMARKS[skin])
    points.extend(_ring_points(*ring) for ring in _RINGS)
    sizes = [len(group) for group in points]
    groups = [0, 1, *[2] * len(anatomy.SECTIONS), *[3] * len(_NOSE), 4, 5,
              *[6] * len(_RINGS)]
    smoothing = np.repeat(np.take(_SMOOTHING, groups), sizes)
    points = np.concatenate(points)
    # under the chin the surface is nearly radial and would ripple
    smoothing[points[:, 1] < -107] = 400.
    chart = point_to_chart(points)
    # two tables may name nearly the same place; keep the first of them
    near = np.linalg.norm(
        (chart[:, None] - chart[None]) * [CAPSULE_RADIUS, 1], axis=-1)
    keep = ~np.any(np.triu(near < 2.2, 1), axis=0)
    points, smoothing = points[keep], smoothing[keep]
    side = points[:, 0] > 1e-6
    return (np.concatenate([points, points[side] * [-1, 1, 1]]),
            np.concatenate([smoothing, smoothing[side]]))


#: Fine relief of the left half of the face: x, y, extent in x and y, and how
#: far the skin is raised, all in mm.
_RELIEF = np.array([
    (15.2, -38.5, 3.0, 4.2, 3.0),  # wing of the nose
    (19.8, -36.5, 1.9, 5.0, -2.3),  # groove behind it
    (13.5, -30.0, 3.5, 2.2, -1.6),  # and above it
    (6.6, -43.2, 2.6, 1.5, -2.6),  # nostril
    (0., -44.5, 1.8, 2.5, 1.0),  # septum
    (3.8, -51.0, 1.4, 4.0, .55),  # ridge of the philtrum
    (0., -51.5, 1.5, 4.0, -.9),  # groove of the philtrum
    (0., -31.0, 5.5, 5.0, .5),  # tip of the nose
    (28., -49., 3.0, 8.0, -.8),  # fold from nose to mouth
    (22., -50., 3.5, 7.0, .5),
    (28.5, -70., 2.5, 3.5, -.9),  # beside the corner of the mouth
    (0., -85., 10., 3.0, -.6),  # above the chin
    (9., -101., 9., 7.0, .8),  # chin
    (0., -103., 1.6, 6.0, -.5),
    (46., -24., 11., 6.0, 1.0),  # cheek bone
    (22., 23., 9., 4.0, .8),  # brow ridge
    (40., 25., 9., 4.0, .4),
    (15., 8., 4.5, 4.5, -1.2),  # inner corner of the socket
    (24., -8., 8., 2.0, -.5),  # below the lower eyelid
])


def _relief(points: np.ndarray) -> np.ndarray:
    """Height (N,) of the fine relief at skin points (N, 3)."""
    front = points[:, 2] > -30
    height = np.zeros(len(points))
    x, y = np.abs(points[front, 0]), points[front, 1]
    for center_x, center_y, wide, tall, amount in _RELIEF:
        bell = np.exp(-.5 * ((x - center_x) / wide)**2 -
                      .5 * ((y - center_y) / tall)**2)
        height[front] += amount * bell
    return height


@lru_cache(maxsize=1)
def _spline() -> RBFInterpolator:
    points, smoothing = control_points()
    return RBFInterpolator(
        chart_to_capsule(point_to_chart(points)), ray_length(points),
        kernel='thin_plate_spline', smoothing=smoothing, degree=1)


def evaluate(chart: np.ndarray) -> np.ndarray:
    """Skin point (..., 3) in mm of chart coordinates (..., 2)."""
    chart = np.asarray(chart, dtype=np.float64)
    capsule = chart_to_capsule(chart)
    radius = _spline()(capsule.reshape(-1, 3)).reshape(chart.shape[:-1])
    # a tenth of a micrometre: hides how the solver rounds
    radius = np.round(radius, 4)
    origin = np.zeros_like(capsule)
    origin[..., 1] = np.minimum(chart[..., 1], DOME_HEIGHT)
    ray = (capsule - origin) / CAPSULE_RADIUS
    origin[..., 2] += AXIS_Z
    smooth = origin + radius[..., None] * ray
    height = _relief(smooth.reshape(-1, 3)).reshape(radius.shape)
    return smooth + height[..., None] * ray


def evaluate_frontal(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Depth z (...,) of the skin of the face at frontal positions, mm."""
    x, y = np.broadcast_arrays(x, y)
    z = np.zeros(x.shape)
    for _ in range(12):
        chart = point_to_chart(np.stack([x, y, z], -1))
        found = evaluate(chart)
        # along the ray x is off by a little; slide to the wanted x
        radius = np.hypot(found[..., 0], found[..., 2] - AXIS_Z)
        depth = np.sqrt(np.maximum(radius**2 - x**2, 1.)) + AXIS_Z
        z = z + .7 * (depth - z)
    return z
