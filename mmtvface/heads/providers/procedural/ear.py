# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The outer ear: rings from the side of the head over the rim to the canal."""

import numpy as np

from . import surface
from .patches import Patch, closed_curve, smoothstep

RING_SIZE = 28

#: Outline in the plane of the ear: (backward, up) mm from its centre,
#: starting at the tragus and running over the top.
_OUTLINE = np.array([
    (-12, -4), (-12.5, 4), (-12.5, 12), (-12, 20), (-8, 27.5), (0, 31.5),
    (9, 30.5), (16, 25), (19.5, 16), (19.5, 6), (16.5, -4), (12, -13),
    (7, -22), (1, -29), (-6, -30), (-10, -24), (-11.5, -14)
], dtype=np.float64)

#: The pinna: centre, and axes backward, up and outward.
_CENTER = np.array([79.5, -19., -82.])
_TILT = np.radians(14.)
_FLARE = np.radians(21.)
_UP = np.array([0., np.cos(_TILT), -np.sin(_TILT)])
_BACK = np.array([
    np.sin(_FLARE), -np.cos(_FLARE) * np.sin(_TILT),
    -np.cos(_FLARE) * np.cos(_TILT)])
_OUT = np.cross(_BACK, _UP)
_HOLLOW = np.array([-5., -4.])

#: Rings of the outer face: size relative to the outline, height above the
#: plane of the ear where the rim is free.
_FACE = ((1.0, 1.2), (.955, 2.6), (.905, 2.3), (.82, .3), (.73, .1),
         (.64, 1.5), (.56, 1.1), (.46, -.4), (.35, -2.2), (.21, -3.4))


def _place(plane: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Points (N, 3) of plane coordinates (N, 2) and heights (N,)."""
    return (_CENTER + plane[:, :1] * _BACK + plane[:, 1:] * _UP +
            np.asarray(height)[:, None] * _OUT)


def _onto_skin(points: np.ndarray) -> np.ndarray:
    """Project points (N, 3) along their rays onto the skin."""
    return surface.evaluate(surface.point_to_chart(points))


def ear_patch() -> Patch:
    """The left ear, closed by a cap at the canal."""
    outline = closed_curve(_OUTLINE, RING_SIZE)
    # 0 where the ear is fused with the cheek, 1 at its free edge
    free = smoothstep(outline[:, 0], -11.5, 2.) * smoothstep(
        outline[:, 1], -33, -24) + .6 * smoothstep(outline[:, 1], 22, 30)
    free = np.clip(free, 0, 1)
    lobe = smoothstep(outline[:, 1], -12, -24)
    # the root is narrower than the pinna
    root = outline.copy()
    root[:, 0] += free * -.40 * (outline[:, 0] + 9)
    root[:, 1] = (root[:, 1] + 2) * (1 - .12 * free) - 2
    outer_root = np.stack([1.06 * root[:, 0] - .6, 1.04 * root[:, 1]], -1)
    skin = _onto_skin(_place(outer_root, np.zeros(RING_SIZE)))
    base = _onto_skin(_place(root, np.zeros(RING_SIZE)))
    rim = _place(outline, np.zeros(RING_SIZE))
    # the fused edge starts on the skin, whatever the plane says
    drop = (base - rim) @ _OUT
    behind = .45 * base + .55 * rim - free[:, None] * .5 * _OUT
    points = [skin, base + .3 * (1 - free)[:, None] * _OUT, behind]
    rear = _place(.985 * (outline - _HOLLOW) + _HOLLOW, -.8 * free)
    points.append(rear + ((1 - free) * drop)[:, None] * _OUT)
    for size, height in _FACE:
        plane = _HOLLOW + size * (outline - _HOLLOW)
        relief = height * np.where(height > 0, .35 + .65 * free, 1.)
        # the lobe is smooth and flat
        relief = relief * (1 - lobe * smoothstep(size, .4, .6))
        relief = relief + lobe * 1.2 * smoothstep(size, .4, .6)
        # the tragus guards the canal
        tragus = np.exp(-np.sum(
            ((plane - [-9.5, -6]) / [3., 5.])**2, axis=1))
        fused = (1 - free) * drop * smoothstep(size, .3, 1.)
        points.append(_place(plane, relief + 4.2 * tragus + fused))
    center = _HOLLOW
    cap = _place(center[None], np.array([-4.2]))[0]
    charts = surface.point_to_chart(skin)
    middle = charts.mean(0)
    shrink = np.linspace(1, .07, len(points))
    charts = middle + shrink[:, None, None] * (charts - middle)
    return Patch(np.stack(points), charts, True, cap=cap)
