# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Eyelids as rings around the eye opening, and the eyeball."""

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from . import anatomy, surface
from .patches import Patch, smoothstep

#: Vertices around the eye: the inner corner is 0, the outer one half of it;
#: the upper eyelid lies between them.
RING_SIZE = 32
#: Rings from the skin towards the eye; the margin of the eyelid is MARGIN.
MARGIN = 5
NUM_RINGS = 8

EYELID_RADIUS = 12.95
_INNER_X, _OUTER_X = 18., 45.

#: Where each outer ring lies between margin (0) and border of the patch (1).
_SPREAD = (1., .80, .62, .42, .17, 0.)
#: How far each outer ring follows the eyeball rather than the skin.
_HUG = (0., .12, .5, .9, 1., 1.)
#: Relief of the upper eyelid, mm: the fold overhangs the crease.
_UPPER_RELIEF = (0., 1.1, -1.5, .5, .45, 0.)
_LOWER_RELIEF = (0., 0., -.25, .35, .45, 0.)


def _margin() -> np.ndarray:
    """(N, 2) frontal x, y of the eyelid rim, starting at the inner corner."""
    half = RING_SIZE // 2
    upper = CubicSpline([18, 22, 28, 34, 39, 45],
                        [.2, 4.2, 6.9, 7.4, 6.1, 2])
    lower = PchipInterpolator([18, 22, 27, 33, 39, 43, 45],
                              [.2, -1.2, -2.2, -2.8, -2.2, -.2, 2])
    turn = np.linspace(0, np.pi, half + 1)
    x = (_INNER_X + _OUTER_X) / 2 - (_OUTER_X - _INNER_X) / 2 * np.cos(turn)
    upper_eyelid = np.stack([x, upper(x)], -1)
    lower_eyelid = np.stack([x, lower(x)], -1)[-2:0:-1]
    return np.concatenate([upper_eyelid, lower_eyelid])


def _border() -> np.ndarray:
    """(N, 2) frontal x, y of the outer border of the patch."""
    turn = np.pi - np.arange(RING_SIZE) / RING_SIZE * 2 * np.pi
    across = np.cos(turn)
    x = 32 + np.where(across < 0, 18.5, 19.) * across
    y = 3 + np.where(np.sin(turn) > 0, 12.6, 12.) * np.sin(turn)
    return np.stack([x, y], -1)


def _depth(position: np.ndarray, hug: float, radius: float) -> np.ndarray:
    """Depth of the eyelid skin at frontal positions (N, 2)."""
    x, y = position.T
    skin = surface.evaluate_frontal(x, y)
    offset = position - anatomy.EYE_CENTER[:2]
    distance = np.linalg.norm(offset, axis=1)
    ball = anatomy.EYE_CENTER[2] + np.sqrt(
        np.maximum(radius**2 - distance**2, 1.))
    corner = np.where(x < anatomy.EYE_CENTER[0], -.3, -6.)
    # past the ball the eyelids run to the corners
    on_ball = smoothstep(distance, radius + .6, radius - 3.4)
    eyelid = on_ball * ball + (1 - on_ball) * corner
    return hug * eyelid + (1 - hug) * skin


def eyelid_patch() -> Patch:
    """The skin around the left eye, the eyelid margin and its inner side."""
    margin, border = _margin(), _border()
    turn = np.arange(RING_SIZE) / RING_SIZE * 2 * np.pi
    upper = np.clip(np.sin(turn), 0, None)**.6
    lower = np.clip(-np.sin(turn), 0, None)**.6
    points = []
    for ring in range(MARGIN + 1):
        position = margin + _SPREAD[ring] * (border - margin)
        z = _depth(position, _HUG[ring], EYELID_RADIUS)
        z += upper * _UPPER_RELIEF[ring] + lower * _LOWER_RELIEF[ring]
        points.append(np.insert(position, 2, z, axis=1))
    center = anatomy.EYE_CENTER
    edge = points[-1] - center
    unit = edge / np.linalg.norm(edge, axis=1, keepdims=True)
    # the rear edge of the margin rests on the ball, then dives behind it
    points.append(center + unit * (anatomy.EYE_RADIUS + .05))
    away = np.insert(margin - [31.5, 2.5], 2, 0., axis=1)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    hidden = unit * 10.6 + 2.6 * away
    points.append(center + hidden)
    charts = np.stack(
        [surface.point_to_chart(ring) for ring in points[:MARGIN + 1]])
    middle = charts[MARGIN].mean(0)
    inner = [middle + (charts[MARGIN] - middle) * f for f in (.8, .62)]
    return Patch(np.stack(points), np.concatenate([charts, inner]), True)


def eyeball(stacks: int = 12, slices: int = 20) -> tuple[np.ndarray,
                                                         np.ndarray]:
    """Left eyeball: a sphere whose pole is the pupil.

    Returns:
        (V, 3) mm, (F, 3). The first vertex is the front pole, then rings of
        ``slices`` vertices, the last vertex is the rear pole.
    """
    # denser towards the front, where the iris is
    polar = np.pi * np.linspace(0, 1, stacks + 1)[1:-1]**1.25
    turn = np.arange(slices) / slices * 2 * np.pi
    ring = np.stack([
        np.sin(polar)[:, None] * np.cos(turn),
        np.sin(polar)[:, None] * np.sin(turn),
        np.broadcast_to(np.cos(polar)[:, None], (stacks - 1, slices))
    ], -1).reshape(-1, 3)
    unit = np.concatenate([[[0, 0, 1.]], ring, [[0, 0, -1.]]])
    # a hint of the cornea
    bulge = 1 + .04 * smoothstep(unit[:, 2], .86, .97)
    vertices = anatomy.EYE_CENTER + anatomy.EYE_RADIUS * unit * bulge[:, None]
    index = 1 + np.arange((stacks - 1) * slices).reshape(-1, slices)
    right = np.roll(index, -1, axis=1)
    a, b = index[:-1].ravel(), right[:-1].ravel()
    c, d = right[1:].ravel(), index[1:].ravel()
    last = len(vertices) - 1
    faces = np.concatenate([
        np.stack([np.zeros(slices, int), index[0], right[0]], 1),
        np.stack([a, d, c], 1), np.stack([a, c, b], 1),
        np.stack([np.full(slices, last), right[-1], index[-1]], 1)
    ])
    return vertices, faces
