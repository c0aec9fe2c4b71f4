# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Kernels of the Triton rasterizer (imports triton when imported).

All arithmetic on positions is float64 in the order of ``base.py``. The
kernels must be launched with ``enable_fp_fusion=False``: a product fused into
a difference is not rounded, E(u, v) would no longer be -E(v, u), and cracks
would open between faces. Sizes are not specialized, so that a size of 1
stays a tensor and no new kernel is compiled for another batch.
"""

import triton
import triton.language as tl

from . import base

MIN_DOUBLE_AREA = tl.constexpr(base.MIN_DOUBLE_AREA)
BOX_SLACK = tl.constexpr(1e-6)
INFINITY = tl.constexpr(float('inf'))
EMPTY = tl.constexpr(2**63 - 1)
SIZES = ('batch', 'num_faces', 'num_vertices', 'height', 'width')


@triton.jit
def _edges(ax, ay, bx, by, cx, cy):
    """Edge functions of corners relative to the pixel."""
    return bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx


@triton.jit
def _center(pixel, size):
    """NDC of the centre of a pixel."""
    return (2 * pixel.to(tl.float64) + 1) / size.to(tl.float64) - 1


@triton.jit
def _corner(vertices, faces, face, item, corner, num_vertices, mask):
    """x, y, z in float64 of a corner of faces."""
    vertex = tl.load(faces + face.to(tl.int64) * 3 + corner, mask, other=0)
    row = vertices + (item.to(tl.int64) * num_vertices + vertex) * 3
    return (tl.load(row, mask, other=0).to(tl.float64),
            tl.load(row + 1, mask, other=0).to(tl.float64),
            tl.load(row + 2, mask, other=0).to(tl.float64))


@triton.jit
def _span(a, b, c, size, valid):
    """First pixel of an axis and number of pixels of a face's box."""
    length = size.to(tl.float64)
    low = ((tl.minimum(tl.minimum(a, b), c) + 1) * length - 1) / 2
    high = ((tl.maximum(tl.maximum(a, b), c) + 1) * length - 1) / 2
    # Clamped before the conversion: huge floats overflow integers.
    low = tl.minimum(tl.maximum(low - BOX_SLACK, 0.), length)
    high = tl.minimum(tl.maximum(high + BOX_SLACK, -1.), length - 1)
    first = tl.where(valid, tl.ceil(low), 0.).to(tl.int32)
    last = tl.where(valid, tl.floor(high), -1.).to(tl.int32)
    return first, tl.maximum(last - first + 1, 0)


@triton.jit
def _finite(x, y, z):
    """Whether three numbers are finite."""
    return ((tl.abs(x) < INFINITY) & (tl.abs(y) < INFINITY)
            & (tl.abs(z) < INFINITY))


@triton.jit
def _faces_and_boxes(vertices, faces, index, batch, num_faces, num_vertices,
                     height, width):
    """Corners and pixel boxes of faces of all images; skipped: no pixels."""
    mask = index < batch * num_faces
    item, face = index // num_faces, index % num_faces
    ax, ay, az = _corner(vertices, faces, face, item, 0, num_vertices, mask)
    bx, by, bz = _corner(vertices, faces, face, item, 1, num_vertices, mask)
    cx, cy, cz = _corner(vertices, faces, face, item, 2, num_vertices, mask)
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    # A bare constant would be rounded to float32 in a comparison.
    floor = tl.full((), MIN_DOUBLE_AREA, tl.float64)
    valid = (mask & _finite(ax, ay, az) & _finite(bx, by, bz)
             & _finite(cx, cy, cz) & (tl.abs(area) > floor))
    left, columns = _span(ax, bx, cx, width, valid)
    top, rows = _span(ay, by, cy, height, valid)
    return (item, face, ax, ay, az, bx, by, bz, cx, cy, cz, left, top,
            columns, columns * rows)


@triton.jit
def _ordered_bits(depth):
    """Signed integers in the order of the floats, which are not NaN."""
    # Zero and minus zero are equal, and so must be their bits.
    depth = tl.where(depth == 0, 0., depth)
    if depth.dtype == tl.float32:
        bits = depth.to(tl.int32, bitcast=True)
        ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.int64)
    else:
        bits = depth.to(tl.int64, bitcast=True)
        ordered = bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)
    return ordered


@triton.jit(do_not_specialize=SIZES)
def draw_faces(vertices, faces, keys, winners, batch, num_faces, num_vertices,
               height, width, STEP: tl.constexpr, FACES: tl.constexpr,
               PIXELS: tl.constexpr):
    """Z-buffer by atomic minima, whose order does not matter.

    Args:
        vertices: (B, V, 3) NDC, float32 or float64.
        faces: (F, 3) int64.
        keys: (B, H, W) int64, lowered.
        winners: (B, H, W) int32, lowered by the step 'index' only.
        batch: B.
        num_faces: F.
        num_vertices: V.
        height: H.
        width: W.
        STEP: 'packed' lowers keys to (depth bits << 32) | face, for float32;
            'depth' to the bits of float64 depths; 'index' lowers the winners
            to the faces whose depth 'depth' has found.
        FACES: Of a program, a power of 2.
        PIXELS: Of each face's box at once, a power of 2.
    """
    index = tl.program_id(0) * FACES + tl.arange(0, FACES)[:, None]
    (item, face, ax, ay, az, bx, by, bz, cx, cy, cz, left, top, columns,
     area) = _faces_and_boxes(vertices, faces, index, batch, num_faces,
                              num_vertices, height, width)
    longest = tl.max(tl.max(area, 1), 0)
    across = tl.maximum(columns, 1)
    for start in range(0, longest, PIXELS):
        place = start + tl.arange(0, PIXELS)[None, :]
        column, row = left + place % across, top + place // across
        px, py = _center(column, width), _center(row, height)
        e0, e1, e2 = _edges(ax - px, ay - py, bx - px, by - py, cx - px,
                            cy - py)
        total = e0 + e1 + e2
        hit = ((place < area) & (total != 0)
               & (((e0 >= 0) & (e1 >= 0) & (e2 >= 0))
                  | ((e0 <= 0) & (e1 <= 0) & (e2 <= 0))))
        inverse = 1. / tl.where(hit, total, 1.)
        depth = ((e0 * inverse) * az + (e1 * inverse) * bz
                 + (e2 * inverse) * cz)
        depth = depth.to(vertices.dtype.element_ty)
        hit = hit & (depth < INFINITY)
        bits = _ordered_bits(tl.where(hit, depth, 0.))
        pixel = (item.to(tl.int64) * height + row) * width + column
        if STEP == 'packed':
            tl.atomic_min(keys + pixel, (bits << 32) | face.to(tl.int64),
                          mask=hit, sem='relaxed')
        elif STEP == 'depth':
            tl.atomic_min(keys + pixel, bits, mask=hit, sem='relaxed')
        else:
            nearest = tl.load(keys + pixel, hit, other=EMPTY)
            face_here = face + tl.zeros_like(place)
            tl.atomic_min(winners + pixel, face_here,
                          mask=hit & (bits == nearest), sem='relaxed')


@triton.jit(do_not_specialize=SIZES)
def resolve_pixels(vertices, faces, keys, winners, face_index, barycentrics,
                   depth, batch, num_faces, num_vertices, height, width,
                   PACKED: tl.constexpr, PIXELS: tl.constexpr):
    """Face index, barycentrics and depth of a filled z-buffer.

    Args:
        vertices: (B, V, 3).
        faces: (F, 3) int64.
        keys: (B, H, W) int64.
        winners: (B, H, W) int32, read unless packed.
        face_index: (B, H, W) int64 written.
        barycentrics: (B, H, W, 3) written.
        depth: (B, H, W) written.
        batch: B.
        num_faces: F.
        num_vertices: V.
        height: H.
        width: W.
        PACKED: Whether the keys hold the faces.
        PIXELS: Of a program, a power of 2.
    """
    pixel = (tl.program_id(0).to(tl.int64) * PIXELS
             + tl.arange(0, PIXELS).to(tl.int64))
    area = height.to(tl.int64) * width
    mask = pixel < batch * area
    key = tl.load(keys + pixel, mask, other=EMPTY)
    hit = mask & (key != EMPTY)
    if PACKED:
        face = key & 0xFFFFFFFF
    else:
        face = tl.load(winners + pixel, hit, other=0).to(tl.int64)
    face = tl.where(hit, face, 0)
    item, place = pixel // area, pixel % area
    ax, ay, az = _corner(vertices, faces, face, item, 0, num_vertices, hit)
    bx, by, bz = _corner(vertices, faces, face, item, 1, num_vertices, hit)
    cx, cy, cz = _corner(vertices, faces, face, item, 2, num_vertices, hit)
    px, py = _center(place % width, width), _center(place // width, height)
    e0, e1, e2 = _edges(ax - px, ay - py, bx - px, by - py, cx - px, cy - py)
    inverse = 1. / tl.where(hit, e0 + e1 + e2, 1.)
    w0, w1, w2 = e0 * inverse, e1 * inverse, e2 * inverse
    z = tl.where(hit, w0 * az + w1 * bz + w2 * cz, INFINITY)
    tl.store(face_index + pixel, tl.where(hit, face, -1), mask)
    tl.store(depth + pixel, z.to(depth.dtype.element_ty), mask)
    kind: tl.constexpr = barycentrics.dtype.element_ty
    out = barycentrics + pixel * 3
    tl.store(out, tl.where(hit, w0, 0.).to(kind), mask)
    tl.store(out + 1, tl.where(hit, w1, 0.).to(kind), mask)
    tl.store(out + 2, tl.where(hit, w2, 0.).to(kind), mask)
