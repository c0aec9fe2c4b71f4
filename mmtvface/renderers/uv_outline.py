# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Where the charts of a UV map end: their borders and the slits in them.

Places are in texels: the centre of the texel in row r and column c is (c, r),
rows run downwards.
"""

from typing import NamedTuple

import numpy as np

_TOUCH = 1e-6
"""Texels by which lines may overlap and count as touching."""
_CHORD = .3
"""The same for lines from border to border, which cut corners."""


class Outline(NamedTuple):
    """The E edges that belong to one triangle of the UV map only.

    Attributes:
        start: (E, 2) place of the first end.
        stop: (E, 2) place of the second end.
        vertices: (E, 2) the mesh's vertices at both ends.
    """

    start: np.ndarray
    stop: np.ndarray
    vertices: np.ndarray


class OutlinePoints(NamedTuple):
    """Points on an outline.

    Attributes:
        places: (N, 2).
        vertices: (N, 2) ends of their edges.
        along: (N,) from 0 at the first end to 1 at the second.
    """

    places: np.ndarray
    vertices: np.ndarray
    along: np.ndarray


def uv_to_texels(uv: np.ndarray, size: int) -> np.ndarray:
    """(..., 2) UV coordinates, v upwards, to places in a map of S texels."""
    return np.asarray(uv, np.float64) * [size, -size] + [-.5, size - .5]


def find_outline(faces: np.ndarray, uv_coords: np.ndarray,
                 uv_faces: np.ndarray, size: int) -> Outline:
    """Outline of a UV map.

    Args:
        faces: (F, 3) int, vertices of the mesh.
        uv_coords: (Vt, 2), v upwards.
        uv_faces: (F, 3) int.
        size: Side of the map in texels.
    """
    turns = ([0, 1], [1, 2], [2, 0])
    edges = np.concatenate([uv_faces[:, turn] for turn in turns])
    ends = np.concatenate([faces[:, turn] for turn in turns])
    _, first, count = np.unique(np.sort(edges, 1), axis=0, return_index=True,
                                return_counts=True)
    border = np.sort(first[count == 1])
    places = uv_to_texels(uv_coords, size)
    return Outline(places[edges[border, 0]], places[edges[border, 1]],
                   ends[border])


def nearest_on_outline(places: np.ndarray,
                       outline: Outline) -> OutlinePoints:
    """The nearest points of an outline.

    Args:
        places: (N, 2).
        outline: With at least one edge.
    """
    step = outline.stop - outline.start
    length = np.maximum((step**2).sum(1), 1e-12)
    offset = places[:, None] - outline.start
    along = ((offset * step).sum(-1) / length).clip(0, 1)
    gap = offset - along[..., None] * step
    best = (gap**2).sum(-1).argmin(1)
    along = along[np.arange(len(places)), best]
    return OutlinePoints(outline.start[best] + along[:, None] * step[best],
                         outline.vertices[best], along)


def _distance(a: np.ndarray, b: np.ndarray, p: np.ndarray,
              tolerance: np.ndarray | float) -> np.ndarray:
    """Signed distance of points from lines a b; 0 within the tolerance."""
    u, v = b - a, p - a
    cross = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    length = np.maximum(np.hypot(u[..., 0], u[..., 1]), 1e-12)
    distance = cross / length
    return np.where(np.abs(distance) > tolerance, distance, 0.)


def segments_cross(a: np.ndarray, b: np.ndarray, p: np.ndarray,
                   q: np.ndarray, tolerance: np.ndarray | float = _TOUCH
                   ) -> np.ndarray:
    """Whether segments a b and p q cross; not if they only touch.

    Args:
        a: (N, 2), as the others.
        b: Other end.
        p: One end of the second segments.
        q: Other end.
        tolerance: How far p and q must lie beyond a b.

    Returns:
        (N,) bool.
    """
    return ((_distance(a, b, p, tolerance)
             * _distance(a, b, q, tolerance) < 0)
            & (_distance(p, q, a, _TOUCH) * _distance(p, q, b, _TOUCH) < 0))


def _near_cells(outline: Outline, size: int, reach: int
                ) -> tuple[np.ndarray, np.ndarray]:
    """Edges (K,) and cells (K, 2), column and row, that may meet them."""
    low = np.floor(np.minimum(outline.start, outline.stop)) - reach
    high = np.floor(np.maximum(outline.start, outline.stop)) + reach
    low, high = (side.clip(0, size - 2).astype(np.int64)
                 for side in (low, high))
    extent = high - low + 1
    counts = extent.prod(1)
    edge = np.repeat(np.arange(len(low)), counts)
    place = np.arange(len(edge)) - np.repeat(counts.cumsum() - counts, counts)
    columns = extent[edge, 0]
    return edge, low[edge] + np.stack([place % columns, place // columns], 1)


def cut_triangles(places: np.ndarray, outline: Outline,
                  on_border: np.ndarray | None = None) -> np.ndarray:
    """Triangles between texels that an outline cuts.

    Texels on both sides of a slit (between the lips, the eyelids, two
    charts) must not be joined, however narrow the slit is.

    Args:
        places: (S, S, 2) of the texels, each less than 2 from (c, r).
        outline: Of the UV map.
        on_border: (S, S) bool, texels that were put on the outline; default:
            none.

    Returns:
        (S - 1, S - 1, 2) bool, for the upper left and the lower right
        triangle of the square between the rows r, r + 1 and the columns c,
        c + 1 (the order of
        :func:`mmtvface.geometry.grid_mesh.grid_faces`).
    """
    size = len(places)
    edge, cell = _near_cells(outline, size, reach=3)
    a, b = outline.start[edge], outline.stop[edge]
    column, row = cell.T
    corners = {(i, j): places[row + i, column + j]
               for i in (0, 1) for j in (0, 1)}

    if on_border is None:
        on_border = np.zeros((size, size), bool)

    def crossed(first: tuple[int, int], last: tuple[int, int]) -> np.ndarray:
        chord = (on_border[row + first[0], column + first[1]]
                 & on_border[row + last[0], column + last[1]])
        return segments_cross(a, b, corners[first], corners[last],
                              np.where(chord, _CHORD, _TOUCH))

    diagonal = crossed((1, 0), (0, 1))
    upper = diagonal | crossed((0, 0), (0, 1)) | crossed((0, 0), (1, 0))
    lower = diagonal | crossed((1, 1), (0, 1)) | crossed((1, 1), (1, 0))
    cut = np.zeros((size - 1, size - 1, 2), bool)
    np.logical_or.at(cut[..., 0], (row, column), upper)
    np.logical_or.at(cut[..., 1], (row, column), lower)
    return cut
