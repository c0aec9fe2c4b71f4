# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Gradient kernels of the Triton rasterizer (imports triton).

No atomics on floats: each face sums over the pixels it won, in the order of
its box, and each vertex sums over its faces, in the order of their indices.
So the sums do not change from run to run.
"""

import triton
import triton.language as tl

from .triton_kernels import SIZES, _center, _edges, _faces_and_boxes


@triton.jit
def _store_corner(out, mask, gx, gy, gz):
    """Sum over the pixels of a face and store (FACES, 1) rows."""
    tl.store(out, tl.sum(gx, 1, keep_dims=True), mask)
    tl.store(out + 1, tl.sum(gy, 1, keep_dims=True), mask)
    tl.store(out + 2, tl.sum(gz, 1, keep_dims=True), mask)


@triton.jit(do_not_specialize=SIZES)
def sum_over_pixels(vertices, faces, face_index, grad_barycentrics,
                    grad_depth, grad_corners, batch, num_faces, num_vertices,
                    height, width, FACES: tl.constexpr,
                    PIXELS: tl.constexpr):
    """Gradient of each corner of each face, see ``base.py``.

    Args:
        vertices: (B, V, 3).
        faces: (F, 3) int64.
        face_index: (B, H, W) int64.
        grad_barycentrics: (B, H, W, 3).
        grad_depth: (B, H, W).
        grad_corners: (B, F, 3, 3) float64 written.
        batch: B.
        num_faces: F.
        num_vertices: V.
        height: H.
        width: W.
        FACES: Of a program, a power of 2.
        PIXELS: Of each face's box at once, a power of 2.
    """
    index = tl.program_id(0) * FACES + tl.arange(0, FACES)[:, None]
    (item, face, ax, ay, az, bx, by, bz, cx, cy, cz, left, top, columns,
     area) = _faces_and_boxes(vertices, faces, index, batch, num_faces,
                              num_vertices, height, width)
    longest = tl.max(tl.max(area, 1), 0)
    across = tl.maximum(columns, 1)
    gax = tl.zeros((FACES, PIXELS), tl.float64)
    gay, gaz, gbx, gby, gbz, gcx, gcy, gcz = (gax, gax, gax, gax, gax, gax,
                                              gax, gax)
    for start in range(0, longest, PIXELS):
        place = start + tl.arange(0, PIXELS)[None, :]
        column, row = left + place % across, top + place // across
        pixel = (item.to(tl.int64) * height + row) * width + column
        boxed = place < area
        mine = boxed & (tl.load(face_index + pixel, boxed, other=-1) == face)
        px, py = _center(column, width), _center(row, height)
        # Zeros elsewhere: what is not a number must not be multiplied in.
        rx, ry = tl.where(mine, ax - px, 0.), tl.where(mine, ay - py, 0.)
        sx, sy = tl.where(mine, bx - px, 0.), tl.where(mine, by - py, 0.)
        tx, ty = tl.where(mine, cx - px, 0.), tl.where(mine, cy - py, 0.)
        e0, e1, e2 = _edges(rx, ry, sx, sy, tx, ty)
        inverse = 1. / tl.where(mine, e0 + e1 + e2, 1.)
        w0, w1, w2 = e0 * inverse, e1 * inverse, e2 * inverse
        gz = tl.load(grad_depth + pixel, mine, other=0).to(tl.float64)
        given = grad_barycentrics + pixel * 3
        g0 = tl.load(given, mine, other=0).to(tl.float64) + gz * az
        g1 = tl.load(given + 1, mine, other=0).to(tl.float64) + gz * bz
        g2 = tl.load(given + 2, mine, other=0).to(tl.float64) + gz * cz
        mean = g0 * w0 + g1 * w1 + g2 * w2
        h0, h1, h2 = ((g0 - mean) * inverse, (g1 - mean) * inverse,
                      (g2 - mean) * inverse)
        gax += tl.where(mine, h2 * sy - h1 * ty, 0.)
        gay += tl.where(mine, h1 * tx - h2 * sx, 0.)
        gaz += tl.where(mine, gz * w0, 0.)
        gbx += tl.where(mine, h0 * ty - h2 * ry, 0.)
        gby += tl.where(mine, h2 * rx - h0 * tx, 0.)
        gbz += tl.where(mine, gz * w1, 0.)
        gcx += tl.where(mine, h1 * ry - h0 * sy, 0.)
        gcy += tl.where(mine, h0 * sx - h1 * rx, 0.)
        gcz += tl.where(mine, gz * w2, 0.)
    out = grad_corners + index.to(tl.int64) * 9
    exists = index < batch * num_faces
    _store_corner(out, exists, gax, gay, gaz)
    _store_corner(out + 3, exists, gbx, gby, gbz)
    _store_corner(out + 6, exists, gcx, gcy, gcz)


@triton.jit(do_not_specialize=SIZES)
def sum_over_faces(grad_corners, corners, begin, grad_vertices, batch,
                   num_faces, num_vertices, VERTICES: tl.constexpr):
    """Gradient of each vertex.

    Args:
        grad_corners: (B, F, 3, 3) float64.
        corners: (3 F,) int64, indices face * 3 + corner, sorted by vertex
            and then by index.
        begin: (V + 1,) int64, where each vertex's corners begin.
        grad_vertices: (B, V, 3) written.
        batch: B.
        num_faces: F.
        num_vertices: V.
        VERTICES: Of a program, a power of 2.
    """
    index = tl.program_id(0) * VERTICES + tl.arange(0, VERTICES)
    mask = index < batch * num_vertices
    item, vertex = index // num_vertices, index % num_vertices
    first = tl.load(begin + vertex, mask, other=0)
    count = tl.load(begin + vertex + 1, mask, other=0) - first
    x = tl.zeros((VERTICES, ), tl.float64)
    y, z = x, x
    most = tl.max(count, 0).to(tl.int32)
    for step in range(0, most):
        there = step < count
        corner = tl.load(corners + first + step, there, other=0)
        row = grad_corners + (item.to(tl.int64) * num_faces * 3 + corner) * 3
        x += tl.load(row, there, other=0)
        y += tl.load(row + 1, there, other=0)
        z += tl.load(row + 2, there, other=0)
    out = grad_vertices + index.to(tl.int64) * 3
    kind: tl.constexpr = grad_vertices.dtype.element_ty
    tl.store(out, x.to(kind), mask)
    tl.store(out + 1, y.to(kind), mask)
    tl.store(out + 2, z.to(kind), mask)
