# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The mesh between the texels of a position map, and its normals.

Every texel is a vertex; two triangles fill the square between four of them:

    A--B      (A, C, B) and (B, C, D), counter-clockwise where rows run
    | /|      downwards, so that normals point out of a surface whose UV map
    C--D      shows it from outside.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from mmtvface.utils.checks import check_shape

from .mesh import NORMAL_EPS

MARGIN_X = 2
MARGIN_Y = 5
_PUBLISHED_SIZE = 256


def _cross(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cross products of (B, 3, H, W), plane by plane.

    ``torch.linalg.cross`` over strided vectors is a hundred times slower on
    the CPU.
    """
    out = torch.empty_like(a, memory_format=torch.contiguous_format)
    for axis in range(3):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        torch.mul(a[:, one], b[:, two], out=out[:, axis])
        out[:, axis].addcmul_(a[:, two], b[:, one], value=-1)
    return out


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Dot products of (B, 3, H, W): (B, 1, H, W)."""
    out = a[:, :1] * b[:, :1]
    for axis in (1, 2):
        out.addcmul_(a[:, axis:axis + 1], b[:, axis:axis + 1])
    return out


def _edges(grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Edges to the right and down of all texels that have them."""
    return (grid[..., 1:] - grid[..., :-1],
            grid[..., 1:, :] - grid[..., :-1, :])


class _GridNormals(torch.autograd.Function):
    """Normals of all texels of (B, 3, H, W), with a backward pass by hand.

    It needs no more memory than a few maps and no more time than its
    arithmetic, which composed operators do.
    """

    @staticmethod
    def forward(ctx: Any, grid: torch.Tensor, eps: float) -> torch.Tensor:
        right, down = _edges(grid)
        upper = _cross(down[..., :-1], right[..., :-1, :])
        lower = _cross(down[..., 1:], right[..., 1:, :])
        total = torch.zeros_like(
            grid, memory_format=torch.contiguous_format)
        total[..., :-1, :-1] += upper
        total[..., 1:, 1:] += lower
        upper += lower
        total[..., :-1, 1:] += upper
        total[..., 1:, :-1] += upper
        length = _dot(total, total).sqrt_()
        scale = 1 / length.clamp(min=eps)
        normals = total.mul_(scale)
        # Below the floor the length is a constant.
        ctx.save_for_backward(grid, normals, scale, length > eps)
        return normals

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        grid, normals, scale, free = ctx.saved_tensors
        along = _dot(grad, normals).mul_(free)
        grad = torch.addcmul(grad, normals, along, value=-1).mul_(scale)
        both = grad[..., :-1, 1:] + grad[..., 1:, :-1]
        upper, lower = both + grad[..., :-1, :-1], both.add_(grad[..., 1:, 1:])
        right, down = _edges(grid)
        grad_right, grad_down = torch.zeros_like(right), torch.zeros_like(down)
        grad_down[..., :-1] += _cross(right[..., :-1, :], upper)
        grad_down[..., 1:] += _cross(right[..., 1:, :], lower)
        grad_right[..., :-1, :] += _cross(upper, down[..., :-1])
        grad_right[..., 1:, :] += _cross(lower, down[..., 1:])
        out = torch.zeros_like(grid, memory_format=torch.contiguous_format)
        out[..., 1:] += grad_right
        out[..., :-1] -= grad_right
        out[..., 1:, :] += grad_down
        out[..., :-1, :] -= grad_down
        return out, None


def _check_margins(height: int, width: int, margin_x: int,
                   margin_y: int) -> None:
    if (min(margin_x, margin_y) < 0 or height - 2 * margin_y < 2
            or width - 2 * margin_x < 2):
        raise ValueError(
            f'A grid of {height}x{width} texels has no square inside of '
            f'margins of {margin_y} rows and {margin_x} columns.')


def grid_faces(height: int, width: int, margin_x: int = MARGIN_X,
               margin_y: int = MARGIN_Y) -> torch.Tensor:
    """Triangles of the grid, without its margins.

    Args:
        height: Rows of texels.
        width: Columns of texels.
        margin_x: Columns left out on both sides; 2 in DECA (Feng et al.,
            SIGGRAPH 2021).
        margin_y: Rows left out above and below; 5 in DECA.

    Returns:
        (F, 3) int64 indices ``row * width + column``.

    Raises:
        ValueError: If nothing is left.
    """
    _check_margins(height, width, margin_x, margin_y)
    index = torch.arange(height * width).view(height, width)
    index = index[margin_y:height - margin_y, margin_x:width - margin_x]
    a, b = index[:-1, :-1], index[:-1, 1:]
    c, d = index[1:, :-1], index[1:, 1:]
    return torch.stack([
        torch.stack([a, c, b], -1), torch.stack([b, c, d], -1)
    ], 2).reshape(-1, 3)


def grid_normals(positions: torch.Tensor, margin_x: int = MARGIN_X,
                 margin_y: int = MARGIN_Y) -> torch.Tensor:
    """Vertex normals of the grid in closed form.

    The same as :func:`mmtvface.geometry.mesh.vertex_normals` on
    :func:`grid_faces`, from slices: with the edges r (to the right) and d
    (down), the cross products of a square's triangles are d(A) x r(A) and
    d(B) x r(C), and every texel sums those of the six triangles around it.
    Nothing is gathered or scattered.

    Deviation: the floor of the length is DECA's 1e-6 at 256 x 256 texels and
    shrinks like the area of a texel for finer maps.

    Args:
        positions: (B, 3, H, W).
        margin_x: See :func:`grid_faces`.
        margin_y: See :func:`grid_faces`.

    Returns:
        (B, 3, H, W) unit normals; zero in the margins.

    Raises:
        ValueError: If the shape is another one or the margins leave nothing.
    """
    check_shape('positions', positions, ('B', 3, 'H', 'W'))
    height, width = positions.shape[-2:]
    _check_margins(height, width, margin_x, margin_y)
    inner = positions[..., margin_y:height - margin_y,
                      margin_x:width - margin_x]
    eps = NORMAL_EPS * _PUBLISHED_SIZE**2 / (height * width)
    return F.pad(_GridNormals.apply(inner, eps),
                 (margin_x, margin_x, margin_y, margin_y))
