# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Compiled loops of the numba rasterizer (imports numba when imported).

The kernels are serial and release the GIL; the caller runs several in
threads. Numba's own parallel loops are avoided: their thread pools abort
the process after a fork (data loaders) or when two Python threads enter them
at once (servers). No fast-math, so results equal the PyTorch reference bit by
bit.
"""

from math import ceil, floor, isfinite

import numpy as np
from numba import njit

from .base import MIN_DOUBLE_AREA

BOX_SLACK = 1e-6


@njit(cache=True, nogil=True, inline='always')
def _first_pixel(ndc, size):
    """Smallest pixel whose centre may be >= ndc, clipped to the image."""
    return int(ceil(min(max(((ndc + 1) * size - 1) / 2 - BOX_SLACK, 0.0),
                        float(size))))


@njit(cache=True, nogil=True, inline='always')
def _last_pixel(ndc, size):
    """Largest pixel whose centre may be <= ndc, clipped to the image."""
    return int(floor(min(max(((ndc + 1) * size - 1) / 2 + BOX_SLACK, -1.0),
                         size - 1.0)))


@njit(cache=True, nogil=True)
def _centers(size):
    """NDC of all pixel centres of an axis: a division costs like a test."""
    centers = np.empty(size)
    for pixel in range(size):
        centers[pixel] = (2 * np.float64(pixel) + 1) / size - 1
    return centers


@njit(cache=True, nogil=True)
def rasterize_band(vertices, faces, top, bottom, face_index, barycentrics,
                   depth):
    """Rasterize the rows top..bottom-1 of one image.

    Args:
        vertices: (V, 3) NDC.
        faces: (F, 3).
        top: First row.
        bottom: Row after the last.
        face_index: (H, W) written.
        barycentrics: (H, W, 3) written.
        depth: (H, W) written; its data type decides about ties.
    """
    height, width = face_index.shape
    centers_x, centers_y = _centers(width), _centers(height)
    for row in range(top, bottom):
        for column in range(width):
            face_index[row, column] = -1
            depth[row, column] = np.inf
            barycentrics[row, column, 0] = 0
            barycentrics[row, column, 1] = 0
            barycentrics[row, column, 2] = 0
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ay, by, cy = (np.float64(vertices[a, 1]), np.float64(vertices[b, 1]),
                      np.float64(vertices[c, 1]))
        if not (isfinite(ay) and isfinite(by) and isfinite(cy)):
            continue
        first_row = max(_first_pixel(min(ay, by, cy), height), top)
        last_row = min(_last_pixel(max(ay, by, cy), height), bottom - 1)
        if first_row > last_row:
            continue
        ax, bx, cx = (np.float64(vertices[a, 0]), np.float64(vertices[b, 0]),
                      np.float64(vertices[c, 0]))
        az, bz, cz = (np.float64(vertices[a, 2]), np.float64(vertices[b, 2]),
                      np.float64(vertices[c, 2]))
        if not (isfinite(ax) and isfinite(bx) and isfinite(cx)
                and isfinite(az) and isfinite(bz) and isfinite(cz)):
            continue
        first_column = _first_pixel(min(ax, bx, cx), width)
        last_column = _last_pixel(max(ax, bx, cx), width)
        if first_column > last_column:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if not abs(area) > MIN_DOUBLE_AREA:
            continue
        for row in range(first_row, last_row + 1):
            py = centers_y[row]
            ry, sy, ty = ay - py, by - py, cy - py
            for column in range(first_column, last_column + 1):
                px = centers_x[column]
                rx, sx, tx = ax - px, bx - px, cx - px
                e0 = sx * ty - sy * tx
                e1 = tx * ry - ty * rx
                e2 = rx * sy - ry * sx
                # Without short circuits: one jump to mispredict, not six.
                if not (((e0 >= 0) & (e1 >= 0) & (e2 >= 0)) |
                        ((e0 <= 0) & (e1 <= 0) & (e2 <= 0))):
                    continue
                total = e0 + e1 + e2
                if total == 0:
                    continue
                inverse = 1 / total
                w0, w1, w2 = e0 * inverse, e1 * inverse, e2 * inverse
                depth_here = depth.dtype.type(w0 * az + w1 * bz + w2 * cz)
                # Faces come in order: at a tie the first one stays.
                if depth_here < depth[row, column]:
                    depth[row, column] = depth_here
                    face_index[row, column] = face
                    barycentrics[row, column, 0] = w0
                    barycentrics[row, column, 1] = w1
                    barycentrics[row, column, 2] = w2


@njit(cache=True, nogil=True)
def add_vertex_gradients(vertices, faces, face_index, grad_barycentrics,
                         grad_depth, grad_vertices):
    """Add the gradient of one image to its vertices, see base.py.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        face_index: (H, W).
        grad_barycentrics: (H, W, 3).
        grad_depth: (H, W).
        grad_vertices: (V, 3) float64, added to.
    """
    height, width = face_index.shape
    centers_x, centers_y = _centers(width), _centers(height)
    for row in range(height):
        py = centers_y[row]
        for column in range(width):
            face = face_index[row, column]
            if face < 0:
                continue
            px = centers_x[column]
            a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
            ax, ay = vertices[a, 0] - px, vertices[a, 1] - py
            bx, by = vertices[b, 0] - px, vertices[b, 1] - py
            cx, cy = vertices[c, 0] - px, vertices[c, 1] - py
            e0 = bx * cy - by * cx
            e1 = cx * ay - cy * ax
            e2 = ax * by - ay * bx
            inverse = 1 / (e0 + e1 + e2)
            w0, w1, w2 = e0 * inverse, e1 * inverse, e2 * inverse
            gz = np.float64(grad_depth[row, column])
            g0 = grad_barycentrics[row, column, 0] + gz * vertices[a, 2]
            g1 = grad_barycentrics[row, column, 1] + gz * vertices[b, 2]
            g2 = grad_barycentrics[row, column, 2] + gz * vertices[c, 2]
            mean = g0 * w0 + g1 * w1 + g2 * w2
            h0 = (g0 - mean) * inverse
            h1 = (g1 - mean) * inverse
            h2 = (g2 - mean) * inverse
            grad_vertices[a, 0] += h2 * by - h1 * cy
            grad_vertices[a, 1] += h1 * cx - h2 * bx
            grad_vertices[a, 2] += gz * w0
            grad_vertices[b, 0] += h0 * cy - h2 * ay
            grad_vertices[b, 1] += h2 * ax - h0 * cx
            grad_vertices[b, 2] += gz * w1
            grad_vertices[c, 0] += h1 * ay - h0 * by
            grad_vertices[c, 1] += h0 * bx - h1 * ax
            grad_vertices[c, 2] += gz * w2
