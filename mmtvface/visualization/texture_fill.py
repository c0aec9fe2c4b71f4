# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Filling what an image does not show, without a visible step.

Weights and colour gains live on the vertices of the head, not in the UV map:
on the mesh the charts are one surface, so that what is smooth there has no
step at the seams of the UV map either.
"""

from typing import TypeVar

import cv2
import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import splu

Array = TypeVar('Array', np.ndarray, torch.Tensor)
GAIN_LIMIT = 3.
"""Largest logarithm of a colour gain."""
_FLOOR = .02


def nearest_covered(covered: np.ndarray) -> np.ndarray:
    """For every texel the nearest one of the charts, itself if it is in one.

    Colours that are continued over the border of a chart keep bilinear
    sampling and mipmaps free of the empty colour.

    Args:
        covered: (S, S) bool, some true.

    Returns:
        (S * S,) int64 flat texels.
    """
    flat = np.flatnonzero(covered)
    _, label = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE,
        labelType=cv2.DIST_LABEL_PIXEL)
    # OpenCV numbers the zero pixels as it likes; read the numbers there.
    texel_of = np.zeros(label.max() + 1, np.int64)
    texel_of[label.ravel()[flat]] = flat
    return texel_of[label.ravel()]


def mesh_adjacency(faces: np.ndarray, count: int) -> sp.csr_matrix:
    """(V, V) matrix of ones where an edge joins two vertices.

    Args:
        faces: (F, 3) int.
        count: Number of vertices V.
    """
    first = np.concatenate([faces[:, i] for i in range(3)])
    second = np.concatenate([faces[:, (i + 1) % 3] for i in range(3)])
    matrix = sp.coo_matrix(
        (np.ones(len(first)), (first, second)), (count, count)).tocsr()
    matrix = matrix + matrix.T
    matrix.data[:] = 1.
    return matrix


def soften(weights: np.ndarray, adjacency: sp.csr_matrix) -> np.ndarray:
    """Let weights fall off towards zero vertices; zero stays zero.

    Args:
        weights: (V,) in [0, 1].
        adjacency: See :func:`mesh_adjacency`.

    Returns:
        (V,) weight times the mean weight of the neighbours.
    """
    degree = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1)
    return weights * (adjacency @ weights) / degree


def extend_over_mesh(values: np.ndarray, weights: np.ndarray,
                     adjacency: sp.csr_matrix, stiffness: float = 1.,
                     recall: float = 2e-3) -> np.ndarray:
    """Smooth values on a mesh from values that are known in parts.

    The minimum of sum w (g - value)^2 + stiffness * sum over edges
    (g_i - g_j)^2 + stiffness * recall * sum (g - mean)^2, a screened Poisson
    equation: near the known part it continues it, far away it returns to
    the known mean, on parts of the mesh without known values too.

    Args:
        values: (V, C).
        weights: (V,) of the values, 0 where they are not known.
        adjacency: See :func:`mesh_adjacency`.
        stiffness: Smoothness; details smaller than about its square root in
            edges are averaged.
        recall: The inverse square of the distance, in edges, within which
            it returns to the mean.

    Returns:
        (V, C); 0 if nothing is known.
    """
    total = weights.sum()
    if total <= 0:
        return np.zeros_like(values, dtype=np.float64)
    mean = weights @ values / total
    degree = np.asarray(adjacency.sum(1)).ravel()
    matrix = sp.diags(weights + stiffness * (degree + recall)
                      ) - stiffness * adjacency
    known = weights[:, None] * (values - mean)
    return splu(matrix.tocsc()).solve(known) + mean


def log_color(colors: np.ndarray) -> np.ndarray:
    """Logarithm of colours, floored: dark texels have noisy ratios."""
    return np.log(colors.clip(0) + _FLOOR)


def color_gain(target: np.ndarray, source: np.ndarray, weights: np.ndarray,
               adjacency: sp.csr_matrix) -> np.ndarray:
    """Gains that bring one colouring of a mesh to the tone of another.

    Args:
        target: (V, 3) colours that are to be met, where weighted.
        source: (V, 3) colours that are to be changed.
        weights: (V,) how well the target is known.
        adjacency: See :func:`mesh_adjacency`.

    Returns:
        (V, 3) gains for :func:`apply_gain`, smooth over the mesh and within
        exp(+-:data:`GAIN_LIMIT`).
    """
    ratio = log_color(target) - log_color(source)
    gain = extend_over_mesh(ratio, weights, adjacency)
    return np.exp(gain.clip(-GAIN_LIMIT, GAIN_LIMIT))


def apply_gain(colors: Array, gain: Array) -> Array:
    """Change colours so that :func:`log_color` grows by the log of gains."""
    return (colors + _FLOOR) * gain - _FLOOR
