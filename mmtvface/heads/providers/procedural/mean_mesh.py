# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Assembly of the mean head: patches, free skin, eyeballs, both halves."""

from dataclasses import dataclass

import numpy as np

from . import ear, eye, mouth, surface
from .patches import Patch
from .skin_mesh import edge_length, spread_vertices, triangulate

_FREE_VERTICES = 1250


@dataclass(frozen=True)
class MeanMesh:
    """The mean head and where its parts are.

    Attributes:
        vertices: (V, 3) mm, bitwise symmetric.
        faces: (F, 3), counter-clockwise seen from outside.
        charts: (V, 2) UV map chart (theta, s); eyeballs have NaN.
        mirror: (V,) the vertex at the mirrored place.
        eyelids: Two grids (rings, N), left and right, of vertex numbers.
        lips: Two grids (rings, N), left and right half of the mouth.
        ears: Two grids (rings, N).
        eyeballs: Two arrays of vertex numbers.
        mouth_cap: The vertex that closes the mouth bag.
        back_seam: Vertices on the back of the midline, where the UV map is
            cut.
    """

    vertices: np.ndarray
    faces: np.ndarray
    charts: np.ndarray
    mirror: np.ndarray
    eyelids: tuple[np.ndarray, np.ndarray]
    lips: tuple[np.ndarray, np.ndarray]
    ears: tuple[np.ndarray, np.ndarray]
    eyeballs: tuple[np.ndarray, np.ndarray]
    mouth_cap: int
    back_seam: np.ndarray


def _graded(start: float, stop: float, theta: float) -> np.ndarray:
    """Arc heights between two ends with the wanted spacing, ends left out."""
    fine = np.linspace(start, stop, 400)
    chart = np.stack([np.full_like(fine, theta), fine], -1)
    points = surface.evaluate(chart)
    step = np.linalg.norm(np.diff(points, axis=0), axis=1)
    density = step / (.92 * edge_length(points[1:]))
    total = np.insert(np.cumsum(density), 0, 0.)
    count = max(int(round(total[-1])), 1)
    return np.interp(np.arange(1, count) / count * total[-1], total, fine)


def _fixed_lines(lips: Patch) -> np.ndarray:
    """Chart points of the midline (lips left out) and of the lower edge."""
    top = surface.DOME_HEIGHT + surface.CAPSULE_RADIUS * np.pi / 2
    low = surface.NECK_BOTTOM
    upper_lip, lower_lip = lips.charts[0, 0, 1], lips.charts[0, -1, 1]
    front = np.concatenate([
        _graded(upper_lip, top, 0.), _graded(low, lower_lip, 0.), [low]])
    back = np.append(_graded(low, top, np.pi), low)
    edge = np.pi * np.arange(1, 20) / 20
    return np.concatenate([
        np.stack([np.zeros_like(front), front], -1), [[0., top]],
        np.stack([np.full_like(back, np.pi), back], -1),
        np.stack([edge, np.full_like(edge, low)], -1)
    ])


def _split(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _fan(ring: np.ndarray, center: int, closed: bool) -> np.ndarray:
    """Triangles between the innermost ring and its cap."""
    following = np.roll(ring, -1) if closed else ring[1:]
    start = ring if closed else ring[:-1]
    return np.stack([start, np.full(len(start), center), following], -1)


def build_mean_mesh() -> MeanMesh:
    """Make the mean head; the same numbers at every call."""
    patches = [eye.eyelid_patch(), mouth.mouth_patch(), ear.ear_patch()]
    lines = _fixed_lines(patches[1])
    holes = [patch.charts[0].copy() for patch in patches]
    fixed = np.concatenate([*holes, lines])
    fixed[np.abs(fixed[:, 0]) < 1e-9, 0] = 0
    free = spread_vertices(fixed, holes, _FREE_VERTICES)
    chart = np.concatenate([fixed, free])
    faces = [triangulate(chart, holes, surface.NECK_BOTTOM)]
    points = surface.evaluate(chart)
    grids, charts = [], [chart]
    start, total = 0, len(chart)
    vertices = [points]
    caps = []
    for patch in patches:
        rings, count = patch.points.shape[:2]
        points[start:start + count] = patch.points[0]
        inner = total + np.arange((rings - 1) * count).reshape(-1, count)
        grid = np.concatenate([start + np.arange(count)[None], inner])
        vertices.append(patch.points[1:].reshape(-1, 3))
        charts.append(patch.charts[1:].reshape(-1, 2))
        start, total = start + count, total + inner.size
        faces.append(_split(grid.ravel()[patch.quads()]))
        if patch.cap is not None:
            vertices.append(patch.cap[None])
            charts.append(patch.charts[-1].mean(0, keepdims=True))
            faces.append(_fan(grid[-1], total, patch.closed))
            caps.append(total)
            total += 1
        grids.append(grid)
    ball, ball_faces = eye.eyeball()
    balls = total + np.arange(len(ball))
    faces.append(ball_faces + total)
    vertices.append(ball)
    charts.append(np.full((len(ball), 2), np.nan))
    # below a nanometre lies only what the processor made of the last bits
    half = np.round(np.concatenate(vertices), 6)
    charts = np.round(np.concatenate(charts), 9)
    half_faces = np.concatenate(faces)

    middle = np.abs(half[:, 0]) < 1e-6
    middle |= np.abs(np.abs(charts[:, 0]) - np.pi) < 1e-8
    half[middle, 0] = 0
    side = np.flatnonzero(~middle)
    mirror = np.arange(len(half) + len(side))
    mirror[side] = len(half) + np.arange(len(side))
    mirror[mirror[side]] = side
    reflected = mirror[half_faces][:, [0, 2, 1]]
    seam = np.flatnonzero(np.abs(charts[:, 0] - np.pi) < 1e-8)
    return MeanMesh(
        vertices=np.concatenate([half, half[side] * [-1, 1, 1]]),
        faces=np.concatenate([half_faces, reflected]),
        charts=np.concatenate([charts, charts[side] * [-1, 1]]),
        mirror=mirror,
        eyelids=(grids[0], mirror[grids[0]]),
        lips=(grids[1], mirror[grids[1]]),
        ears=(grids[2], mirror[grids[2]]),
        eyeballs=(balls, mirror[balls]),
        mouth_cap=caps[0],
        back_seam=seam)
