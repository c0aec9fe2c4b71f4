# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Structured pieces of the mesh: rings of vertices around an opening.

A patch is a grid of vertices, ring after ring. Its first ring lies on the
skin surface and borders the freely triangulated rest; further rings go
towards the opening and through it. Everything is made for the left half of
the head and mirrored afterwards.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline


@dataclass(frozen=True)
class Patch:
    """Rings of vertices of the left half, clockwise seen from outside.

    Attributes:
        points: (rings, N, 3) mm.
        charts: (rings, N, 2) where the vertices lie in the UV map chart.
        closed: Whether the rings are loops (eye, ear) or arcs that start
            and end in the plane of symmetry (mouth).
        cap: (3,) mm centre that closes the innermost ring, or None.
    """

    points: np.ndarray
    charts: np.ndarray
    closed: bool
    cap: np.ndarray | None = None

    def quads(self) -> np.ndarray:
        """(Q, 4) vertex numbers in the flattened grid, facing outwards."""
        rings, count = self.points.shape[:2]
        index = np.arange(rings * count).reshape(rings, count)
        following = np.roll(index, -1, axis=1)
        last = count if self.closed else count - 1
        return np.stack([
            index[:-1, :last], index[1:, :last], following[1:, :last],
            following[:-1, :last]
        ], -1).reshape(-1, 4)


def smoothstep(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between (either order)."""
    t = np.clip((np.asarray(value, float) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def closed_curve(points: np.ndarray, count: int) -> np.ndarray:
    """Smooth loop through points (K, D), sampled at ``count`` places.

    The samples are equally spaced along the curve.
    """
    loop = np.concatenate([points, points[:1]])
    knots = np.insert(np.cumsum(
        np.linalg.norm(np.diff(loop, axis=0), axis=1)), 0, 0.)
    spline = CubicSpline(knots, loop, bc_type='periodic')
    fine = np.linspace(0, knots[-1], 40 * count + 1)
    dense = spline(fine)
    length = np.insert(np.cumsum(
        np.linalg.norm(np.diff(dense, axis=0), axis=1)), 0, 0.)
    wanted = np.arange(count) / count * length[-1]
    return spline(np.interp(wanted, length, fine))
