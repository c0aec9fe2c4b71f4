# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Values along the edges of a mesh."""

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components


def neighbor_matrix(faces: np.ndarray, count: int) -> csr_matrix:
    """(count, count) matrix, 1 for each pair of vertices with an edge."""
    rows = faces[:, [0, 1, 2, 1, 2, 0]].ravel()
    columns = faces[:, [1, 2, 0, 0, 1, 2]].ravel()
    links = coo_matrix((np.ones(len(rows)), (rows, columns)),
                       (count, count)).tocsr()
    links.data[:] = 1
    return links


def smooth_values(values: np.ndarray, faces: np.ndarray, fixed: np.ndarray,
                  rounds: int = 3) -> np.ndarray:
    """Average values (V,) half with those of the neighbours, a few times.

    Args:
        values: (V,).
        faces: (F, 3).
        fixed: (V,) bool, vertices that keep their value.
        rounds: How often.

    Returns:
        A new array.
    """
    links = neighbor_matrix(faces, len(values))
    degree = np.maximum(np.asarray(links.sum(1)).ravel(), 1)
    for _ in range(rounds):
        mean = .5 * values + .5 * (links @ values) / degree
        values = np.where(fixed, values, mean)
    return values


def pieces(faces: np.ndarray, members: np.ndarray) -> list[np.ndarray]:
    """Connected pieces of the vertices in ``members`` (V,) bool."""
    inside = faces[members[faces].all(1)]
    links = neighbor_matrix(inside, len(members))
    _, label = connected_components(links, directed=False)
    index = np.flatnonzero(members)
    order = index[np.argsort(label[index], kind='stable')]
    sizes = np.unique(label[order], return_counts=True)[1]
    return np.split(order, np.cumsum(sizes)[:-1]) if len(order) else []
