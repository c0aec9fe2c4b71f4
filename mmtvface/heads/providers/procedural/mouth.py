# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Lips as arcs around the mouth slit, continued into a closed mouth bag."""

import numpy as np
from scipy.interpolate import PchipInterpolator

from . import surface
from .patches import Patch

#: Segments from the middle of a lip to the corner.
LIP_SEGMENTS = 12
#: Index of the mouth corner in every ring; smaller is the upper lip.
CORNER = LIP_SEGMENTS
RING_SIZE = 2 * LIP_SEGMENTS + 1
#: Ring numbers: border of the red, the line where the lips meet, the inside
#: of the lips, teeth.
BORDER, CONTACT, INSIDE, TEETH, TEETH_EDGE = 2, 5, 6, 8, 9

NUM_RINGS = 13
_SLIT_HEIGHT = -66.5


def _upper(outer: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if outer:
        return (np.array([0, 3, 7, 12, 17, 21.5, 25.]),
                np.array([-57.6, -57., -56.8, -58, -60.2, -63.6, -67.5]),
                np.array([26.2, 26, 25, 23.1, 19.6, 15.3, 10.]))
    return (np.array([0, 5, 10, 16, 22.]),
            np.array([-66.4, -65.8, -65.5, -66.0, -67.05]),
            np.array([21, 20.6, 19, 15.1, 9.]))


def _lower(outer: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if outer:
        return (np.array([0, 5, 10, 18, 22, 25.]),
                np.array([-76.4, -76.3, -75.8, -72.8, -70.2, -67.5]),
                np.array([24, 23.6, 22, 16.8, 13.2, 10.]))
    return (np.array([0, 5, 11, 16, 22.]),
            np.array([-66.45, -65.85, -65.65, -66.35, -67.05]),
            np.array([21, 20.5, 18.2, 14.8, 9.]))


def _arc(outer: bool) -> np.ndarray:
    """(N, 3) from the middle of the upper lip over the corner to the lower."""
    turn = np.sin(np.linspace(0, np.pi / 2, LIP_SEGMENTS + 1))
    halves = []
    for table in (_upper(outer), _lower(outer)):
        x, y, z = table
        across = turn * x[-1]
        halves.append(np.stack([
            across, PchipInterpolator(x, y)(across),
            PchipInterpolator(x, z)(across)
        ], -1))
    return np.concatenate([halves[0], halves[1][-2::-1]])


def mouth_patch() -> Patch:
    """Skin beside the lips, the red of the lips and the mouth bag."""
    border, contact = _arc(True), _arc(False)
    turn = np.linspace(0, np.pi, RING_SIZE)  # 0 upper, pi lower
    side = np.cos(turn)  # +1 upper middle, 0 corner, -1 lower middle
    across = np.sin(turn)
    openness = np.sqrt(np.abs(side))
    upper = side > 0
    points = []
    # skin: pushed outwards from the border of the red
    away = np.stack([.75 * across, .9 * side], -1)
    gap = border[:, 2] - surface.evaluate_frontal(*border[:, :2].T)
    for reach, follow in ((6.2, .25), (2.6, .7)):
        position = border[:, :2] + reach * away
        z = surface.evaluate_frontal(*position.T) + follow * gap
        points.append(np.insert(position, 2, z, axis=1))
    rim = border.copy()
    rim[:, 2] += .3 * openness
    points.append(rim)
    # the red of the lips bulges forward
    for mix, bulge_upper, bulge_lower in ((.34, 2.5, 2.3), (.7, 3.2, 3.3)):
        ring = border + mix * (contact - border)
        ring[:, 2] += openness**1.4 * np.where(upper, bulge_upper,
                                               bulge_lower)
        points.append(ring)
    points.append(contact)
    # the inside of the lips, the vestibule, the row of teeth, the bag
    inside = contact.copy()
    inside[:, 0] *= .97
    inside[:, 1] -= .3 * side
    inside[:, 2] -= 2.5
    points.append(inside)

    def cavity(width: float, height: float, depth: float,
               arch: float) -> np.ndarray:
        x = width * across
        return np.stack([
            x, _SLIT_HEIGHT + height * np.sign(side) * openness,
            depth - arch * x**2
        ], -1)

    points += [
        cavity(24, 9.5, 16.2, 1 / 24), cavity(22, 7.5, 15.2, 1 / 25),
        cavity(21, .25, 14.6, 1 / 26), cavity(19.5, .6, 11.5, 1 / 26),
        cavity(17, 8, -2, 1 / 40), cavity(14, 8, -26, 0)
    ]
    charts = np.stack([surface.point_to_chart(ring) for ring in points])
    # evenly over the red, whatever its bulge
    for ring, mix in ((BORDER + 1, .34), (BORDER + 2, .7)):
        charts[ring] = charts[BORDER] + mix * (charts[CONTACT] -
                                               charts[BORDER])
    return Patch(np.stack(points), charts, False,
                 cap=np.array([0., _SLIT_HEIGHT, -31.]))
