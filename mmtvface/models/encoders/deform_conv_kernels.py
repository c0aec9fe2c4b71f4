# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Compiled loops of the deformable convolution (imports numba).

Layouts: image (G, h * w, c) with the c channels of a deformable group side
by side, columns (pixels, G * taps * c), offsets (G, taps, 2, pixels), masks
(G, taps, pixels). ``channels`` is a tuple of c zeros: its length is part of
its type, so that numba knows c when it compiles and the loops over channels
become vector instructions. The kernels are serial and release the GIL, see
:mod:`mmtvface.utils.threads`.
"""

import numpy as np
from numba import njit

# Pixels whose columns (72 numbers for each of 16 groups) fit into the
# second-level cache.
_TILE = 32
# Sums may be reordered. (An offset that is NaN counts as far outside, as in
# mmcv's operator.)
_MATH = {'contract', 'reassoc', 'nsz', 'arcp'}


@njit(cache=True, nogil=True, inline='always')
def _corners(y, x, height, width):
    """The four pixels around a place.

    Returns their row-major index, -1 for those outside of the image, and
    the place's distances ly, lx from the first of them.
    """
    low_y, low_x = np.floor(y), np.floor(x)
    ly, lx = y - low_y, x - low_x
    top, left = int(low_y), int(low_x)
    here = top * width + left
    up, down = 0 <= top < height, -1 <= top < height - 1
    west, east = 0 <= left < width, -1 <= left < width - 1
    return (here if up and west else -1, here + 1 if up and east else -1,
            here + width if down and west else -1,
            here + width + 1 if down and east else -1, ly, lx)


@njit(cache=True, nogil=True, inline='always')
def _bounded(value, low, high):
    """Far outside is as good as further outside, and fits an integer."""
    return min(max(value, low), high)


@njit(cache=True, nogil=True, fastmath=_MATH)
def gather_columns(image, offset, mask, rows, columns, first, last, start,
                   channels, out):
    """Sample the taps of the pixels first..last-1.

    Args:
        image: (G, h * w, c) of the shape (h, w) given by rows' and columns'
            last entries.
        offset: (G, taps, 2, pixels), (y, x).
        mask: (G, taps, pixels).
        rows: (taps + 1, pixels) y of every tap without offset; the last row
            holds h.
        columns: The same for x and w.
        first: First pixel.
        last: Pixel after the last.
        start: Pixel that is row 0 of ``out``.
        channels: c zeros.
        out: (>= last - start, G * taps * c) written.
    """
    c = len(channels)
    groups, taps = offset.shape[0], offset.shape[1]
    height, width = int(rows[taps, 0]), int(columns[taps, 0])
    kind = image.dtype.type
    zero, one, low = kind(0), kind(1), kind(-2)
    bottom, right = kind(height + 1), kind(width + 1)
    for tile in range(first, last, _TILE):
        end = min(tile + _TILE, last)
        for g in range(groups):
            for tap in range(taps):
                base = (g * taps + tap) * c
                for p in range(tile, end):
                    y = _bounded(offset[g, tap, 0, p] + rows[tap, p],
                                 low, bottom)
                    x = _bounded(offset[g, tap, 1, p] + columns[tap, p],
                                 low, right)
                    i0, i1, i2, i3, ly, lx = _corners(y, x, height, width)
                    m = mask[g, tap, p]
                    w0 = (one - ly) * (one - lx) * m if i0 >= 0 else zero
                    w1 = (one - ly) * lx * m if i1 >= 0 else zero
                    w2 = ly * (one - lx) * m if i2 >= 0 else zero
                    w3 = ly * lx * m if i3 >= 0 else zero
                    i0, i1, i2, i3 = max(i0, 0), max(i1, 0), max(i2, 0), max(
                        i3, 0)
                    row = p - start
                    for k in range(c):
                        out[row, base + k] = (
                            w0 * image[g, i0, k] + w1 * image[g, i1, k]
                            + w2 * image[g, i2, k] + w3 * image[g, i3, k])


@njit(cache=True, nogil=True, fastmath=_MATH)
def scatter_gradients(image, offset, mask, rows, columns, first, last, group,
                      channels, grad_columns, values, grad_image,
                      grad_offset, grad_mask):
    """Gradients of a deformable group from those of its columns.

    Args:
        image: (G, h * w, c).
        offset: (G, taps, 2, pixels).
        mask: (G, taps, pixels).
        rows: See :func:`gather_columns`.
        columns: See :func:`gather_columns`.
        first: First pixel, row 0 of the columns.
        last: Pixel after the last.
        group: g.
        channels: c zeros.
        grad_columns: (last - first, G * taps * c).
        values: (last - first, G * taps * c) written, the columns themselves.
        grad_image: (G, h * w, c), added to.
        grad_offset: (G, taps, 2, pixels) written.
        grad_mask: (G, taps, pixels) written.
    """
    c = len(channels)
    taps = offset.shape[1]
    height, width = int(rows[taps, 0]), int(columns[taps, 0])
    kind = image.dtype.type
    zero, one, low = kind(0), kind(1), kind(-2)
    bottom, right = kind(height + 1), kind(width + 1)
    for tile in range(first, last, _TILE):
        end = min(tile + _TILE, last)
        for tap in range(taps):
            base = (group * taps + tap) * c
            for p in range(tile, end):
                y = _bounded(offset[group, tap, 0, p] + rows[tap, p], low,
                             bottom)
                x = _bounded(offset[group, tap, 1, p] + columns[tap, p],
                             low, right)
                i0, i1, i2, i3, ly, lx = _corners(y, x, height, width)
                v0 = one if i0 >= 0 else zero
                v1 = one if i1 >= 0 else zero
                v2 = one if i2 >= 0 else zero
                v3 = one if i3 >= 0 else zero
                i0, i1, i2, i3 = max(i0, 0), max(i1, 0), max(i2, 0), max(i3, 0)
                m = mask[group, tap, p]
                w0, w1 = (one - ly) * (one - lx) * v0, (one - ly) * lx * v1
                w2, w3 = ly * (one - lx) * v2, ly * lx * v3
                row = p - first
                dot0 = dot1 = dot2 = dot3 = zero
                for k in range(c):
                    g = grad_columns[row, base + k]
                    a, b = image[group, i0, k], image[group, i1, k]
                    d, e = image[group, i2, k], image[group, i3, k]
                    values[row, base + k] = m * (
                        w0 * a + w1 * b + w2 * d + w3 * e)
                    dot0 += g * a
                    dot1 += g * b
                    dot2 += g * d
                    dot3 += g * e
                # One corner after the other: two may be the same place.
                w0, w1, w2, w3 = w0 * m, w1 * m, w2 * m, w3 * m
                for k in range(c):
                    grad_image[group, i0, k] += (
                        w0 * grad_columns[row, base + k])
                for k in range(c):
                    grad_image[group, i1, k] += (
                        w1 * grad_columns[row, base + k])
                for k in range(c):
                    grad_image[group, i2, k] += (
                        w2 * grad_columns[row, base + k])
                for k in range(c):
                    grad_image[group, i3, k] += (
                        w3 * grad_columns[row, base + k])
                dot0, dot1, dot2, dot3 = (dot0 * v0, dot1 * v1, dot2 * v2,
                                          dot3 * v3)
                grad_mask[group, tap, p] = (
                    (one - ly) * ((one - lx) * dot0 + lx * dot1)
                    + ly * ((one - lx) * dot2 + lx * dot3))
                grad_offset[group, tap, 0, p] = m * (
                    (one - lx) * (dot2 - dot0) + lx * (dot3 - dot1))
                grad_offset[group, tap, 1, p] = m * (
                    (one - ly) * (dot1 - dot0) + ly * (dot3 - dot2))
