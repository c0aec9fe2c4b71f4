# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Expressions as displacements of landmarks at full activation.

Millimetres, for the left half; the right half is mirrored. Only what moves is
listed; the other landmarks stay. Besides landmark numbers, named places on the
skin may be moved. The strongest displacements follow measured averages, the
weaker ones fill in what the muscles move along (FACS, Ekman and Friesen 1978).
"""

from typing import NamedTuple

Vector = tuple[float, float, float]

#: Places on the left half that are no landmarks.
PLACES: dict[str, Vector] = {
    'cheek': (42., -28., 4.),
    'cheek_low': (44., -52., 3.),
    'fold': (27., -46., 14.),
    'jowl': (38., -78., 1.),
    'forehead': (28., 52., 8.),
    'forehead_middle': (0., 50., 9.),
    'under_eye': (32., -10., 5.),
    'nose_side': (13., -18., 17.),
    'wing': (17., -38., 18.),
    'crow': (56., -2., -10.),
    'glabella': (0., 20., 16.),
    'under_lip': (0., -86., 18.),
    'philtrum': (0., -51., 23.),
}


class Expression(NamedTuple):
    """One expression component.

    Attributes:
        moves: Landmark number or named place -> displacement in mm.
        sides: True if left and right are separate components.
        blink: Motion (mm) of the middle of the upper and the lower eyelid
            margin, or None.
    """

    moves: dict[int | str, Vector]
    sides: bool = False
    blink: tuple[float, float] | None = None


EXPRESSIONS: dict[str, Expression] = {
    'smile': Expression({
        54: (7, 10, -9), 64: (6.5, 9, -8), 53: (5, 6, -6), 55: (4, 6, -6),
        63: (3, 3.5, -4), 65: (2.5, 3, -4), 52: (2, 2.2, -3),
        56: (1.6, 3, -3), 51: (0, 1, -2), 57: (0, 2.6, -2),
        62: (0, 1.6, -2), 66: (0, 2.2, -2), 35: (2, 1.5, -1),
        'fold': (5, 7, -1), 'cheek': (2, 5, 4), 'cheek_low': (6, 6, 2),
        46: (0, 1, 0), 47: (0, .8, 0), 'under_eye': (0, 2, 1),
        'wing': (2, 2, -.5), 'jowl': (4, 3, -1)}, sides=True),
    'eyeBlink': Expression({'under_eye': (0, .5, 0)}, sides=True,
                           blink=(-9.4, .5)),
    'browInnerUp': Expression({
        22: (1, 5, -1), 23: (1, 5, -1), 24: (0, 2, 0), 21: (-1, 5, -1),
        20: (-1, 5, -1), 19: (0, 2, 0), 27: (0, .5, 0),
        'forehead_middle': (0, 4, -.5), 'forehead': (0, 2, 0),
        'glabella': (0, 3, 0)}),
    'browOuterUp': Expression({
        24: (2, 8, -2), 25: (2, 8, -3), 26: (1, 6, -2), 23: (.5, 3, -1),
        'forehead': (0, 5, -.5), 'crow': (0, .8, 0)}, sides=True),
    'browDown': Expression({
        22: (-3, -3, 2), 23: (-4, -3, 2), 24: (-5, -4, 3), 25: (-4, -2, 3),
        26: (-1, -1, 1), 'forehead': (-2, -2, 0), 'glabella': (0, -1.5, .5)},
        sides=True, blink=(-1., .3)),
    'pucker': Expression({
        48: (5, 2, 10), 54: (-5, 2, 10), 60: (5, 2, 9), 64: (-5, 2, 9),
        49: (3.5, 1.5, 7), 53: (-3.5, 1.5, 7), 59: (3.5, 1, 7),
        55: (-3.5, 1, 7), 50: (1.2, 1, 5), 52: (-1.2, 1, 5), 51: (0, 1, 5),
        57: (0, 1, 5.5), 58: (1.5, 1, 6), 56: (-1.5, 1, 6), 61: (2, .5, 6),
        63: (-2, .5, 6), 62: (0, .5, 6), 66: (0, .6, 6), 65: (-2, .6, 6),
        67: (2, .6, 6), 'fold': (-2, -1, 2), 'cheek_low': (-1, 0, -2),
        'philtrum': (0, 0, 1.5), 'under_lip': (0, 1.5, 1)}),
    'funnel': Expression({
        48: (4, -1, 6), 54: (-4, -1, 6), 60: (4, -1, 7), 64: (-4, -1, 7),
        49: (2, 2.5, 6), 53: (-2, 2.5, 6), 50: (.5, 3.5, 5),
        52: (-.5, 3.5, 5), 51: (0, 3.5, 5), 57: (0, -9, 4), 58: (.5, -8, 5),
        56: (-.5, -8, 5), 59: (2, -5, 6), 55: (-2, -5, 6), 61: (1, 3, 8),
        63: (-1, 3, 8), 62: (0, 3, 8), 66: (0, -7, 8), 65: (-1, -7, 9),
        67: (1, -7, 9), 'philtrum': (0, 1, 1.5), 'under_lip': (0, -3, 1)}),
    'noseSneer': Expression({
        35: (0, 5, 0), 34: (0, 2, 0), 53: (1, 7, 0), 52: (.5, 5, 0),
        51: (0, 4.5, 0), 54: (1, 3, 0), 63: (.5, 4, 0), 62: (0, 3.4, 0),
        'wing': (0, 6, 1), 'nose_side': (-1, 3, 2), 'fold': (1, 5, 2),
        22: (-1, -1.5, 1), 47: (0, .8, 0), 'under_eye': (-1, 2, 1)},
        sides=True),
    'frown': Expression({
        54: (2, -5, -2), 64: (1.6, -4.4, -1.6), 53: (.8, -1.5, -.5),
        55: (1.2, -3, -1), 'jowl': (1, -3, 0), 'fold': (.5, -1.5, 0)},
        sides=True),
    'cheekPuff': Expression({
        54: (-2, 1, 7), 64: (-2, 1, 5), 53: (-1, 0, 3), 55: (-1, 0, 3),
        'cheek_low': (7, 0, 8), 'fold': (2, 0, 7), 'jowl': (5, 0, 7),
        'cheek': (1.5, 0, 2)}, sides=True),
    'eyeWide': Expression({25: (0, 1, 0), 24: (0, 1, 0)}, sides=True,
                          blink=(3., -.8)),
    'eyeSquint': Expression({'under_eye': (-1, 2.5, 1.2),
                             'crow': (-1, .5, 0)}, sides=True,
                            blink=(-1.2, 2.2)),
    'stretch': Expression({
        54: (7, -3, -7), 64: (6, -2.8, -6), 53: (3, -.5, -4),
        55: (3.5, -2.5, -4), 63: (2, 0, -2.5), 65: (2, -1.5, -2.5),
        'fold': (3, -1, -1), 'cheek_low': (3, -1, 0), 'jowl': (3, -3, -1)},
        sides=True),
    'upperUp': Expression({
        53: (2, 7, 0), 52: (1, 6, -1), 51: (0, 5.4, -.5),
        63: (1, 5.4, -.5), 62: (0, 5, -.5), 54: (.5, 2, 0), 'fold': (1, 4, 1),
        'wing': (.5, 1.5, 0)}, sides=True),
    'lowerDown': Expression({
        56: (1, -4, -1), 55: (1.5, -3, -1), 57: (0, -4, -.5),
        65: (.8, -4.5, -1), 66: (0, -4.4, -.5), 'under_lip': (0, -1.5, 0)},
        sides=True),
    'jawForward': Expression({}),
    'jawSide': Expression({}),
    'jawDrop': Expression({}),
    'mouthSide': Expression({
        48: (10, 0, -3), 60: (9, 0, -3), 54: (10, 0, 5), 64: (9.5, 0, 4),
        49: (9, 0, -1), 50: (9, 0, 0), 51: (9, 0, 0), 52: (9, 0, 1),
        53: (9, 0, 3), 55: (10, 0, 3), 56: (10, 0, 1), 57: (10, 0, 0),
        58: (10, 0, 0), 59: (10, 0, -1), 61: (9, 0, 0), 62: (9, 0, 0),
        63: (9, 0, 1), 65: (10, 0, 1), 66: (10, 0, 0), 67: (10, 0, 0),
        'under_lip': (5, 0, 0), 'philtrum': (4, 0, 0),
        'fold': (3, 0, 1), 'cheek_low': (2, 0, 2)}),
    'dimple': Expression({
        54: (1, 3, -6), 64: (1, 2.6, -5), 53: (.5, 1, -2),
        55: (.5, 1, -2), 'cheek_low': (1, 1, 1)}, sides=True),
    'cheekRaiser': Expression({
        'cheek': (0, 4, 3), 'under_eye': (0, 3.5, 1.5), 13: (0, 1, 1),
        'crow': (-.5, 1.5, .5)}, sides=True, blink=(-.4, 1.8)),
    'rollLower': Expression({
        57: (0, 3, -4), 58: (0, 3, -4), 56: (0, 3, -4), 59: (0, 2, -3),
        55: (0, 2, -3), 66: (0, 1, -7), 65: (0, .8, -6), 67: (0, .8, -6),
        'under_lip': (0, 1.5, -.5)}),
    'rollUpper': Expression({
        51: (0, -2, -3), 50: (0, -2, -3), 52: (0, -2, -3), 49: (0, -1, -2),
        53: (0, -1, -2), 62: (0, -.4, -6), 61: (0, -.3, -5),
        63: (0, -.3, -5)}),
    'shrugLower': Expression({
        8: (0, 8, 4), 7: (0, 6, 3), 9: (0, 6, 3), 57: (0, 8, 5),
        58: (0, 7, 4.5), 56: (0, 7, 4.5), 59: (0, 5, 3), 55: (0, 5, 3),
        66: (0, 5, 4), 65: (0, 4.5, 3.5), 67: (0, 4.5, 3.5), 62: (0, 4, 3),
        61: (0, 3.5, 3), 63: (0, 3.5, 3), 51: (0, 2.5, 2), 50: (0, 2.3, 2),
        52: (0, 2.3, 2), 'under_lip': (0, 8, 4)}),
    'shrugUpper': Expression({
        51: (0, 6, 0), 50: (0, 5.5, 0), 52: (0, 5.5, 0), 49: (0, 4, 0),
        53: (0, 4, 0), 62: (0, 5, 0), 61: (0, 4, 0), 63: (0, 4, 0),
        66: (0, 4.5, 0), 65: (0, 3.6, 0), 67: (0, 3.6, 0), 57: (0, 2, 0),
        56: (0, 1.8, 0), 58: (0, 1.8, 0), 'philtrum': (0, 3, .5)}),
    'press': Expression({
        55: (0, 3, 1), 56: (0, 2, 0), 53: (0, -1.5, 0), 52: (0, -1, -.5),
        54: (.5, 1, -1), 65: (0, .6, -1.5), 63: (0, .6, -1.5)}, sides=True),
}
