# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The kit's UV coordinates packed into one UV map.

The kit may give each material a tile of its own (UDIM) or lay the charts of
several materials over each other. mmtvface has one texture: charts that share
a tile without overlapping stay together as a sheet; the sheet of the face
keeps most of the UV map, the others get a cell beside it each.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mmtvface.heads.providers.procedural.uv_layout import UVLayout
from mmtvface.heads.providers.procedural.uv_raster import rasterize_uv_map

_PROBE = 256
#: Texels of a group that may lie on others before it counts as overlapping.
_OVERLAP = .02
_MARGIN = .03
_LEAST_CELLS = 4
#: How far charts may reach over the border of their tile.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Sheet:
    """Charts that are placed together.

    A point (u, v) of the kit goes to ``offset + scale * (u, v)``.

    Attributes:
        parts: Names of what is on it.
        scale: Of both axes.
        offset: Of u and v.
    """

    parts: tuple[str, ...]
    scale: tuple[float, float] = (1., 1.)
    offset: tuple[float, float] = (0., 0.)


def _tiles(coords: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 2) int, the tile of each triangle: that of its whole chart."""
    rows = faces[:, [0, 1]].ravel()
    columns = faces[:, [1, 2]].ravel()
    count = len(coords)
    links = coo_matrix((np.ones(len(rows)), (rows, columns)), (count, count))
    number, label = connected_components(links, directed=False)
    used = np.unique(faces)
    low = np.full((number, 2), np.inf)
    high = np.full((number, 2), -np.inf)
    np.minimum.at(low, label[used], coords[used])
    np.maximum.at(high, label[used], coords[used])
    chart = label[faces[:, 0]]
    return np.floor((low[chart] + high[chart]) / 2).astype(np.int64)


def _coverage(coords: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return rasterize_uv_map(UVLayout(coords, faces), _PROBE).face >= 0


def _group(coords: np.ndarray, faces: np.ndarray,
           parts: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray,
                                                       np.ndarray]]:
    """(part, tile, triangles) of all charts."""
    tiles = _tiles(coords, faces)
    groups = []
    for name, members in parts.items():
        rows = np.flatnonzero(members)
        found, which = np.unique(tiles[rows], axis=0, return_inverse=True)
        for number, tile in enumerate(found):
            groups.append((name, tile, rows[which.ravel() == number]))
    return groups


def _sheets(coords: np.ndarray, faces: np.ndarray,
            parts: dict[str, np.ndarray]
            ) -> list[tuple[tuple[str, ...], np.ndarray, np.ndarray]]:
    """(parts, tile, triangles), the sheet of the face first."""
    sheets: list[dict] = []
    groups = _group(coords, faces, parts)
    first = next(iter(parts))
    # the largest piece of the face keeps the first sheet
    groups.sort(key=lambda group: (group[0] != first, -len(group[2])))
    for name, tile, rows in groups:
        covered = _coverage(coords - tile, faces[rows])
        limit = _OVERLAP * max(covered.sum(), 1)
        for sheet in sheets:
            if (tile == sheet['tile']).all() and (
                    (covered & sheet['covered']).sum() <= limit):
                break
        else:
            sheet = dict(tile=tile, parts=[], rows=[],
                         covered=np.zeros_like(covered))
            sheets.append(sheet)
        sheet['parts'].append(name)
        sheet['rows'].append(rows)
        sheet['covered'] = sheet['covered'] | covered
    return [(tuple(sheet['parts']), sheet['tile'],
             np.concatenate(sheet['rows'])) for sheet in sheets]


def _cells(count: int) -> tuple[float, list[tuple[float, float]], float]:
    """Side of the main cell, corners and side of ``count`` small ones.

    The main cell has the upper left corner of the UV map; the small ones
    stand in the column to the right of it and the row below.
    """
    per_side = max(_LEAST_CELLS, (count + 2) // 2)
    side = 1 / per_side
    column = [(1 - side, 1 - side * (i + 1)) for i in range(per_side)]
    row = [(side * (per_side - 2 - i), 0.) for i in range(per_side - 1)]
    return 1 - side, (column + row)[:count], side


def _fit(points: np.ndarray, corner: tuple[float, float],
         side: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Scale and offset that put points into the middle of a square."""
    low, high = points.min(0), points.max(0)
    scale = side * (1 - 2 * _MARGIN) / max(*(high - low), 1e-9)
    offset = np.array(corner) + side / 2 - scale * (low + high) / 2
    return (float(scale), ) * 2, tuple(offset.tolist())


def pack_uv_map(coords: np.ndarray, faces: np.ndarray,
               parts: dict[str, np.ndarray]
               ) -> tuple[UVLayout, tuple[Sheet, ...]]:
    """Bring UV coordinates into one unit square without overlaps.

    Coordinates that are so already are kept, but for unused ones.

    Args:
        coords: (Vt, 2).
        faces: (F, 3) indices into ``coords``.
        parts: Name -> (F,) bool; the most important one first. Every
            triangle belongs to one.

    Returns:
        The UV map, its triangles in the given order, and where its sheets
        came from.
    """
    sheets = _sheets(coords, faces, parts)
    main, corners, side = _cells(len(sheets) - 1)
    new_faces = np.empty_like(faces)
    new_coords, placed, total = [], [], 0
    for number, (names, tile, rows) in enumerate(sheets):
        used, index = np.unique(faces[rows], return_inverse=True)
        points = coords[used]
        sheet = Sheet(names)
        inside = (np.abs(points - tile - .5) <= .5 + _TOLERANCE).all()
        if number:
            scale, offset = _fit(points, corners[number - 1], side)
            sheet = replace(sheet, scale=scale, offset=offset)
        else:
            width = main if len(sheets) > 1 else 1.
            corner = np.array([0., 1. - width])
            if inside:
                sheet = replace(
                    sheet, scale=(width, width),
                    offset=tuple((corner - width * tile).tolist()))
            else:
                scale, offset = _fit(points, tuple(corner), width)
                sheet = replace(sheet, scale=scale, offset=offset)
        new_faces[rows] = total + index.reshape(-1, 3)
        new_coords.append(np.array(sheet.offset) +
                          points * np.array(sheet.scale))
        total += len(used)
        placed.append(sheet)
    return (UVLayout(np.concatenate(new_coords).clip(0, 1), new_faces),
            tuple(placed))
