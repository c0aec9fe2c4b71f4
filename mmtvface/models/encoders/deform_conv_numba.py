# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Modulated deformable convolution for CPUs: gather, then one product.

The compiled operators of mmcv and torchvision compute one sample at a time on
the CPU, and their backward pass looks at a whole neighbourhood per sample.
Here the channels of a deformable group lie side by side, so that a bilinear
sample is a few vector instructions; blocks of pixels become rows of a column
matrix that stays in the cache for its product with the weights. The columns
are sampled again in the backward pass instead of being kept.
"""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from mmtvface.utils.threads import run_in_threads

# Pixels per block: columns of 38 MB at 128 channels. Starting threads for
# smaller blocks costs more than what their place in the cache saves.
_BLOCK = 8192
# Up to so many samples (taps of groups) one thread is as fast.
_SERIAL = 50_000


def _kernels() -> ModuleType:
    """The compiled functions; numba is imported at the first call."""
    return importlib.import_module('.deform_conv_kernels', __package__)


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
        conv, kernels = ctx.conv, _kernels()
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
                run_in_threads(kernels.scatter_gradients, [
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
    gather: Callable[..., None] = _kernels().gather_columns
    for start in range(0, pixels, _BLOCK):
        end = min(start + _BLOCK, pixels)
        borders = [start + (end - start) * i // threads
                   for i in range(threads + 1)]
        run_in_threads(gather, [
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
