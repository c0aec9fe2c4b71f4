# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Free triangulation of the skin between the structured patches.

Vertices are spread by Lloyd's algorithm (Lloyd, IEEE Trans. Inf. Theory 1982)
with a density that rises towards eyes, nose, mouth and ears, and are joined by
the Delaunay triangulation of their directions on a sphere, which is the convex
hull there. The capsule maps onto the sphere conformally (Mercator), so round
triangles stay round.
"""

import numpy as np
from scipy.spatial import ConvexHull, cKDTree

from . import surface

_SEED = 68
_CANDIDATES = 36000
_ITERATIONS = 24

#: Wanted edge length (mm): centre, size there, rate of growth per mm.
_FOCI = (
    ((32., 3., 0.), 3.1, .10), ((0., -66., 22.), 3.3, .10),
    ((12., -66., 20.), 3.3, .10), ((25., -67., 10.), 3.3, .10),
    ((0., -38., 34.), 2.7, .10), ((13., -40., 20.), 2.6, .10),
    ((0., -15., 30.), 3.6, .10), ((80., -20., -80.), 4.0, .17),
    ((0., -100., 15.), 4.6, .10), ((30., 25., 8.), 3.8, .10),
)
_FACE_EDGE, _COARSEST_EDGE = 6.3, 13.


def edge_length(points: np.ndarray) -> np.ndarray:
    """Wanted edge length (N,) in mm at points (N, 3) of the left half."""
    length = np.full(len(points), _COARSEST_EDGE)
    for center, size, growth in _FOCI:
        distance = np.linalg.norm(points - np.array(center), axis=1)
        length = np.minimum(length, size + growth * distance)
    behind = np.clip((-30 - points[:, 2]) / 60, 0, 1)
    return np.minimum(length, _FACE_EDGE +
                      (_COARSEST_EDGE - _FACE_EDGE) * behind)


def sphere_direction(chart: np.ndarray) -> np.ndarray:
    """Unit vectors (N, 3) of chart coordinates (N, 2), conformally."""
    theta, arc = chart[:, 0], chart[:, 1]
    height = (arc - surface.DOME_HEIGHT) / surface.CAPSULE_RADIUS
    latitude = np.where(height > 0, height,
                        2 * np.arctan(np.exp(np.minimum(height, 0))) -
                        np.pi / 2)
    ring = np.cos(latitude)
    return np.stack(
        [ring * np.sin(theta), np.sin(latitude), ring * np.cos(theta)], -1)


def inside_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Even-odd test of points (N, 2) against a polygon (M, 2)."""
    x, y = points[:, :1], points[:, 1:]
    ax, ay = polygon[:, 0], polygon[:, 1]
    bx, by = np.roll(ax, -1), np.roll(ay, -1)
    crosses = (ay > y) != (by > y)
    slope = np.where(by == ay, 1., by - ay)
    left = x < (bx - ax) * (y - ay) / slope + ax
    return np.count_nonzero(crosses & left, axis=1) % 2 == 1


def _candidates(holes: list[np.ndarray],
                rng: np.random.Generator) -> np.ndarray:
    """Chart points (N, 2) of the left half, dense where edges are short."""
    top = surface.DOME_HEIGHT + surface.CAPSULE_RADIUS * np.pi / 2
    theta = np.linspace(0, np.pi, 121)
    arc = np.linspace(surface.NECK_BOTTOM, top, 180)
    grid = np.stack(np.meshgrid(theta, arc), -1)
    points = surface.evaluate(grid)
    across = points[:-1, 1:] - points[:-1, :-1]
    along = points[1:, :-1] - points[:-1, :-1]
    area = np.linalg.norm(np.cross(across, along), axis=-1)
    middle = (points[:-1, :-1] + points[1:, 1:]) / 2
    size = edge_length(middle.reshape(-1, 3)).reshape(area.shape)
    weight = (area / size**2).ravel()
    cell = rng.choice(weight.size, _CANDIDATES, p=weight / weight.sum())
    row, column = np.unravel_index(cell, area.shape)
    jitter = rng.random((_CANDIDATES, 2))
    chart = np.stack([
        theta[column] + jitter[:, 0] * (theta[1] - theta[0]),
        arc[row] + jitter[:, 1] * (arc[1] - arc[0])
    ], -1)
    for hole in holes:
        chart = chart[~inside_polygon(chart, hole)]
    return chart


def spread_vertices(fixed: np.ndarray, holes: list[np.ndarray],
                    count: int) -> np.ndarray:
    """Place free vertices between fixed ones.

    Args:
        fixed: (K, 2) chart coordinates of vertices that stay.
        holes: Polygons (M, 2) in the chart that get no vertices.
        count: Number of free vertices.

    Returns:
        (count, 2) chart coordinates.
    """
    rng = np.random.default_rng(_SEED)
    candidates = _candidates(holes, rng)
    samples = surface.chart_to_capsule(candidates)
    anchors = surface.chart_to_capsule(fixed)
    sites = samples[rng.choice(len(samples), count, replace=False)]
    for _ in range(_ITERATIONS):
        _, owner = cKDTree(np.concatenate([anchors, sites])).query(samples)
        owner -= len(anchors)
        samples_in = owner >= 0
        owner = owner[samples_in]
        members = np.bincount(owner, minlength=count)
        center = np.stack([
            np.bincount(owner, samples[samples_in, axis], count)
            for axis in range(3)
        ], -1)
        alive = members > 0
        sites[alive] = center[alive] / members[alive, None]
    chart = surface.point_to_chart(sites + [0, 0, surface.AXIS_Z])
    # off the midline, so that no triangle reaches across it
    ring = np.hypot(sites[:, 0], sites[:, 2])
    least = .55 * edge_length(surface.evaluate(chart)) / np.maximum(ring, 5.)
    least = np.minimum(least, .5)
    chart[:, 0] = np.clip(chart[:, 0], least, np.pi - least)
    return chart


def triangulate(chart: np.ndarray, holes: list[np.ndarray],
                bottom: float) -> np.ndarray:
    """Delaunay triangles of the left half.

    Args:
        chart: (N, 2); vertices in the plane of symmetry have theta 0 or pi.
        holes: Polygons (M, 2) that stay open.
        bottom: Arc height of the open lower edge.

    Returns:
        (F, 3), counter-clockwise seen from outside.
    """
    direction = sphere_direction(chart)
    on_plane = (chart[:, 0] < 1e-9) | (chart[:, 0] > np.pi - 1e-9)
    direction[on_plane, 0] = 0
    mirrored = np.flatnonzero(~on_plane)
    everything = np.concatenate([direction, direction[mirrored] * [-1, 1, 1]])
    faces = ConvexHull(everything).simplices
    a, b, c = (everything[faces[:, i]] for i in range(3))
    inward = np.sum(np.cross(b - a, c - a) * (a + b + c), axis=1) < 0
    faces[inward] = faces[inward][:, [0, 2, 1]]
    faces = faces[(faces < len(chart)).all(1)]
    faces = faces[~on_plane[faces].all(1)]
    open_edge = (chart[faces][..., 1] < bottom + 1e-6).all(1)
    faces = faces[~open_edge]
    center = chart[faces].mean(1)
    for hole in holes:
        inside = inside_polygon(center, hole)
        faces, center = faces[~inside], center[~inside]
    # a canonical order, whatever the hull's
    first = np.argmin(faces, axis=1)
    faces = np.stack([
        np.take_along_axis(faces, ((first + i) % 3)[:, None], 1)[:, 0]
        for i in range(3)], -1)
    return faces[np.lexsort(faces.T[::-1])].astype(np.int64)
