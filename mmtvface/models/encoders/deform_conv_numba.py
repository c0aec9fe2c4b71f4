# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Modulated deformable convolution for CPUs: gather, then one product.

The compiled operators of mmcv and torchvision compute one sample at a time on
the CPU, and their backward pass looks at a whole neighbourhood per sample.
Here the channels of a deformable group lie side by side, so that a bilinear
sample is a few vector instructions; blocks of pixels become rows of a column
matrix that stays in the cache for its product with the weights. The columns
are sampled again in the backward pass instead of being kept.

Layouts of the compiled loops: image (G, h * w, c) with the c channels of a
deformable group side by side, columns (pixels, G * taps * c), offsets (G,
taps, 2, pixels), masks (G, taps, pixels). ``channels`` is a tuple of c zeros:
its length is part of its type, so that numba knows c when it compiles and the
loops over channels become vector instructions. The kernels are serial and
release the GIL, see :mod:`mmtvface.utils.threads`. Importing this module
imports numba.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import nn
from torch.autograd.function import once_differentiable

from mmtvface.utils.threads import run_in_threads

# Pixels per block: columns of 38 MB at 128 channels. Starting threads for
# smaller blocks costs more than what their place in the cache saves.
_BLOCK = 8192
# Up to so many samples (taps of groups) one thread is as fast.
_SERIAL = 50_000


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


def _threads(samples: int) -> int:
    """Threads for so many samples; a start costs as much as thousands."""
    return 1 if samples < _SERIAL else torch.get_num_threads()


def _tap_positions(conv: nn.Module, size: tuple[int, int],
                   out_size: tuple[int, int],
                   dtype: torch.dtype) -> list[torch.Tensor]:
    """Rows and columns of all taps without offsets: (taps + 1, pixels).

    The last row holds the size of the image on that axis.
    """
    taps = torch.arange(conv.kernel_size[0] * conv.kernel_size[1])
    index = (taps // conv.kernel_size[1], taps % conv.kernel_size[1])
    positions = []
    for axis in (0, 1):
        out = torch.arange(out_size[axis]) * conv.stride[axis]
        out = out - conv.padding[axis]
        grid = out[:, None] if axis == 0 else out[None]
        tap = index[axis] * conv.dilation[axis]
        places = tap[:, None, None] + grid.expand(out_size)
        limit = torch.full((1, *out_size), size[axis])
        positions.append(
            torch.cat([places, limit]).flatten(1).to(dtype).contiguous())
    return positions


def _by_group(x: torch.Tensor, groups: int) -> torch.Tensor:
    """(n, C, h, w) -> (n, G, h * w, C / G)."""
    return x.unflatten(1, (groups, -1)).flatten(3).mT.contiguous()


def _weight_matrix(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """(Cout, C, kh, kw) -> (Cout, G * taps * C / G)."""
    return weight.flatten(2).unflatten(1, (groups, -1)).transpose(
        2, 3).flatten(1).contiguous()


class _DeformConv(torch.autograd.Function):
    """See :func:`numba_deform_conv`."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, offset: torch.Tensor,
                mask: torch.Tensor, weight: torch.Tensor,
                conv: nn.Module) -> torch.Tensor:
        """Blocks of columns times the weights."""
        groups, taps = conv.deform_groups, weight[0, 0].numel()
        out_size = tuple(offset.shape[-2:])
        ctx.save_for_backward(x, offset, mask, weight)
        ctx.conv = conv
        matrix = _weight_matrix(weight, groups)
        out = x.new_empty(len(x), len(weight), *out_size)
        for index, (images, offsets, masks, grids) in enumerate(
                _items(x, offset, mask, conv)):
            flat = out[index].flatten(1)
            for start, columns in _column_blocks(
                    images, offsets, masks, grids, groups * taps):
                flat[:, start:start + len(columns)] = matrix @ columns.T
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        """All gradients in one pass over the blocks."""
        x, offset, mask, weight = ctx.saved_tensors
        conv = ctx.conv
        groups, taps = conv.deform_groups, weight[0, 0].numel()
        matrix = _weight_matrix(weight, groups)
        grad_matrix = torch.zeros_like(matrix)
        grad_x = x.new_zeros(len(x), groups, x[0, 0].numel(),
                             x.shape[1] // groups)
        grad_offset, grad_mask = (
            torch.empty_like(value, memory_format=torch.contiguous_format)
            for value in (offset, mask))
        grad = grad.contiguous()
        for index, (images, offsets, masks, grids) in enumerate(
                _items(x, offset, mask, conv)):
            flat = grad[index].flatten(1)
            pixels = flat.shape[1]
            views = [
                grad_x[index].numpy(),
                grad_offset[index].view(groups, taps, 2, pixels).numpy(),
                grad_mask[index].view(groups, taps, pixels).numpy()
            ]
            for start in range(0, pixels, _BLOCK):
                end = min(start + _BLOCK, pixels)
                part = flat[:, start:end]
                grad_columns = part.T @ matrix
                values = torch.empty_like(grad_columns)
                # A thread per group: no two write the same pixel's channels.
                run_in_threads(scatter_gradients, [
                    (images, offsets, masks, *grids, start, end, group,
                     (0, ) * images.shape[-1], grad_columns.numpy(),
                     values.numpy(), *views) for group in range(groups)
                ], _threads((end - start) * groups * taps))
                grad_matrix.addmm_(part, values)
        grad_weight = grad_matrix.view(len(weight), groups, taps, -1)
        return (grad_x.mT.reshape(x.shape), grad_offset, grad_mask,
                grad_weight.transpose(2, 3).reshape(weight.shape), None)


def _items(x: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor,
           conv: nn.Module) -> Any:
    """Arrays of each image of the batch, see the kernels."""
    groups = conv.deform_groups
    grids = [grid.numpy() for grid in _tap_positions(
        conv, tuple(x.shape[-2:]), tuple(offset.shape[-2:]), x.dtype)]
    images = _by_group(x.detach(), groups).numpy()
    offsets = offset.detach().contiguous().view(
        len(x), groups, -1, 2, offset[0, 0].numel()).numpy()
    masks = mask.detach().contiguous().view(
        len(x), groups, -1, mask[0, 0].numel()).numpy()
    for item in zip(images, offsets, masks, strict=True):
        yield (*item, grids)


def _column_blocks(images: Any, offsets: Any, masks: Any, grids: Any,
                   samples: int) -> Any:
    """First pixel and columns (pixels, K) of each block."""
    pixels, channels = offsets.shape[-1], images.shape[-1]
    threads = _threads(min(_BLOCK, pixels) * samples)
    buffer = torch.empty(
        min(_BLOCK, pixels), samples * channels,
        dtype=torch.from_numpy(images).dtype)
    for start in range(0, pixels, _BLOCK):
        end = min(start + _BLOCK, pixels)
        borders = [start + (end - start) * i // threads
                   for i in range(threads + 1)]
        run_in_threads(gather_columns, [
            (images, offsets, masks, *grids, first, last, start,
             (0, ) * channels, buffer.numpy())
            for first, last in zip(borders, borders[1:], strict=False)
        ], threads)
        yield start, buffer[:end - start]


def numba_deform_conv(x: torch.Tensor, offset: torch.Tensor,
                      mask: torch.Tensor, conv: nn.Module) -> torch.Tensor:
    """Modulated deformable convolution (Zhu et al., CVPR 2019) on the CPU.

    Args and result as of :func:`mmtvface.models.encoders.deform_conv.
    deform_conv`; float32 or float64, ``conv.groups`` 1.
    """
    out = _DeformConv.apply(x, offset, mask, conv.weight, conv)
    return out if conv.bias is None else out + conv.bias[:, None, None]
