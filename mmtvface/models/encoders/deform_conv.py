# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Modulated deformable convolution on any device."""

import functools
import importlib.util

import torch
import torch.nn.functional as F
import torchvision
from mmcv.ops import get_compiling_cuda_version, modulated_deform_conv2d
from torch import nn

DEFORM_OPS = ('auto', 'compiled', 'grid_sample', 'numba')


@functools.cache
def mmcv_has_op_for(device_type: str) -> bool:
    """Whether mmcv's compiled operators serve a type of device."""
    if device_type == 'cuda':
        return get_compiling_cuda_version() != 'not available'
    return device_type == 'cpu'


@functools.cache
def best_op_for(device_type: str, conv_groups: int = 1) -> str:
    """The fastest back-end in training, for ``'auto'``."""
    has_numba = importlib.util.find_spec('numba') is not None
    if device_type == 'cpu' and conv_groups == 1 and has_numba:
        return 'numba'
    return 'compiled'


def deform_conv(x: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor,
                conv: nn.Module, deform_op: str = 'auto') -> torch.Tensor:
    """Modulated deformable convolution (Zhu et al., CVPR 2019).

    All back-ends order the offsets (y, x) per kernel tap, tap by tap in each
    deformable group. Coordinates do not survive half precision, so autocast
    is off.

    Args:
        x: (n, C, h, w).
        offset: (n, 2*G*k*k, h', w') in pixels, G deformable groups.
        mask: (n, G*k*k, h', w') in [0, 1].
        conv: Holds weight, bias, stride, padding, dilation, groups and
            deform_groups, like mmcv's ``ModulatedDeformConv2d``.
        deform_op: ``'compiled'``: mmcv's operator where it is compiled for
            the device, else torchvision's. ``'numba'``: see
            :func:`~.deform_conv_numba.numba_deform_conv`, CPU only.
            ``'grid_sample'``: see :func:`grid_sample_deform_conv`.
            ``'auto'``: numba's on the CPU where numba is installed, else
            the compiled one.

    Returns:
        (n, C_out, h', w').
    """
    with torch.autocast(x.device.type, enabled=False):
        dtype = torch.promote_types(offset.dtype, conv.weight.dtype)
        x, offset, mask = x.to(dtype), offset.to(dtype), mask.to(dtype)
        if deform_op == 'auto':
            deform_op = best_op_for(x.device.type, conv.groups)
        if deform_op == 'grid_sample':
            return grid_sample_deform_conv(x, offset, mask, conv)
        if deform_op == 'numba':
            from .deform_conv_numba import numba_deform_conv
            return numba_deform_conv(x, offset, mask, conv)
        if mmcv_has_op_for(x.device.type):
            return modulated_deform_conv2d(x, offset, mask, conv.weight,
                                           conv.bias, conv.stride,
                                           conv.padding, conv.dilation,
                                           conv.groups, conv.deform_groups)
        return torchvision.ops.deform_conv2d(x, offset, conv.weight,
                                             conv.bias, conv.stride,
                                             conv.padding, conv.dilation,
                                             mask)


def grid_sample_deform_conv(x: torch.Tensor, offset: torch.Tensor,
                            mask: torch.Tensor,
                            conv: nn.Module) -> torch.Tensor:
    """Deformable convolution by ``grid_sample`` and a matrix product.

    The compiled operators scan a neighbourhood of every sample in the
    backward pass on the CPU; ``grid_sample`` does not: the backward pass is
    7 to 18 times faster there, the forward pass not slower.

    Args and result as of :func:`deform_conv`.
    """
    n, channels, height, width = x.shape
    groups, (kernel_h, kernel_w) = conv.deform_groups, conv.kernel_size
    taps, (out_h, out_w) = kernel_h * kernel_w, offset.shape[-2:]

    def positions(size: int, axis: int) -> torch.Tensor:
        return (torch.arange(size, device=x.device) * conv.stride[axis] -
                conv.padding[axis])

    tap = torch.arange(taps, device=x.device)
    rows = positions(out_h, 0) + (tap // kernel_w
                                  )[:, None] * conv.dilation[0]
    columns = positions(out_w, 1) + (tap % kernel_w
                                     )[:, None] * conv.dilation[1]
    offset = offset.reshape(n * groups, taps, 2, out_h, out_w)
    grid = torch.stack([
        (2 * (offset[:, :, 1] + columns[:, None, :]) + 1) / width - 1,
        (2 * (offset[:, :, 0] + rows[:, :, None]) + 1) / height - 1,
    ], -1)
    sampled = F.grid_sample(
        x.reshape(n * groups, -1, height, width),
        grid.view(n * groups, taps * out_h, out_w, 2),
        padding_mode='zeros',
        align_corners=False)
    sampled = sampled.view(n, groups, -1, taps, out_h * out_w)
    sampled = sampled * mask.reshape(n, groups, 1, taps, out_h * out_w)
    # (n, groups, C / groups * taps, pixels), a weight matrix for each group
    sampled = sampled.view(n, conv.groups, -1, out_h * out_w)
    weight = conv.weight.view(conv.groups, -1, channels // conv.groups * taps)
    out = (weight @ sampled).view(n, -1, out_h, out_w)
    return out if conv.bias is None else out + conv.bias[:, None, None]
