# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Landmarks picked on scans: MeshLab, NumPy and text files."""

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from mmtvface.utils.assets import require_file

#: Endings in the order in which they are looked for.
LANDMARK_SUFFIXES = ('.pp', '.npy', '.txt', '.bnd')
_REMEDY = ('Landmarks are a MeshLab file of picked points (.pp), a NumPy '
           'array (.npy) or text with three numbers per line (.txt, .bnd).')


def _picked_points(path: Path) -> list[list[float]]:
    """Active points of a MeshLab file, in its order."""
    root = ElementTree.parse(path).getroot()
    points = [point for point in root.iter('point')
              if point.get('active', '1') not in ('0', 'false')]
    return [[float(point.attrib[axis]) for axis in 'xyz'] for point in points]


def _text_points(path: Path) -> list[list[float]]:
    """Rows of three numbers; a first column with an index is dropped."""
    rows = []
    for line in path.read_text(encoding='utf-8').splitlines():
        words = re.split(r'[\s,;]+', line.partition('#')[0].strip())
        if words != ['']:
            values = [float(word) for word in words]
            if len(values) not in (3, 4):
                raise ValueError(f'the line {line.strip()!r} has '
                                 f'{len(values)} numbers instead of 3')
            rows.append(values[-3:])
    return rows


def read_scan_landmarks(path: str | os.PathLike) -> np.ndarray:
    """Read points picked on a scan.

    Args:
        path: ``.pp`` (XML of MeshLab's "Pick Points"), ``.npy`` (N, 3), or
            ``.txt`` / ``.bnd`` with ``x y z`` or ``index x y z`` per line.

    Returns:
        (N, 3) float64 in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or holds no or bad points.
    """
    path = require_file(path, 'Landmarks of the scan', _REMEDY)
    readers = {'.pp': _picked_points, '.txt': _text_points,
               '.bnd': _text_points,
               '.npy': lambda p: np.load(p, allow_pickle=False)}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path}: landmarks cannot be read from "
                         f"'{path.suffix}' files. {_REMEDY}")
    try:
        points = np.asarray(readers[path.suffix.lower()](path), np.float64)
    # A damaged file makes the readers raise errors of many kinds.
    except Exception as error:
        raise ValueError(f'{path} holds no landmarks that can be read '
                         f'({error}). {_REMEDY}') from error
    if points.ndim != 2 or points.shape[1:] != (3, ):
        raise ValueError(f'{path}: landmarks must be an array (N, 3), but '
                         f'the shape is {points.shape}.')
    if not np.isfinite(points).all():
        raise ValueError(f'{path}: some landmarks are not finite.')
    return points
