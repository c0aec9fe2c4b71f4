# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Corresponding places of a head and of the built-in head."""

import numpy as np
from scipy.spatial.distance import cdist

from mmtvface.geometry.alignment import apply_similarity, procrustes

_REACH = 25.
_RIGIDITY = .05


class Warp:
    """Smooth map that takes one set of landmarks nearly onto another.

    A similarity, plus what it misses at the landmarks, spread with Gaussians
    of 25 mm: far from the face it is the similarity.

    Args:
        source: (N, 3) mm.
        target: (N, 3) mm.
    """

    def __init__(self, source: np.ndarray, target: np.ndarray) -> None:
        self.similarity = procrustes(source, target)
        missing = target - apply_similarity(source, self.similarity)
        self.source = source
        gram = self._kernel(source) + _RIGIDITY * np.eye(len(source))
        self.weights = np.linalg.solve(gram, missing)

    def _kernel(self, points: np.ndarray) -> np.ndarray:
        square = cdist(points, self.source, 'sqeuclidean')
        return np.exp(-.5 * square / _REACH**2)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Map points (N, 3) mm."""
        return (apply_similarity(points, self.similarity) +
                self._kernel(points) @ self.weights)
