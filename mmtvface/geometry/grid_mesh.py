# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The mesh between the texels of a position map, and its normals.

Every texel is a vertex; two triangles fill the square between four of them:

    A--B      (A, C, B) and (B, C, D), counter-clockwise where rows run
    | /|      downwards, so that normals point out of a surface whose atlas
    C--D      shows it from outside.
"""

import torch
import torch.nn.functional as F

from mmtvface.utils.checks import check_shape

from .mesh import NORMAL_EPS

MARGIN_X = 2
MARGIN_Y = 5
_PUBLISHED_SIZE = 256


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
    right = inner[..., 1:] - inner[..., :-1]
    down = inner[..., 1:, :] - inner[..., :-1, :]
    upper = torch.linalg.cross(down[..., :-1], right[..., :-1, :], dim=1)
    lower = torch.linalg.cross(down[..., 1:], right[..., 1:, :], dim=1)
    both = upper + lower
    total = torch.zeros_like(inner)
    total[..., :-1, :-1] += upper
    total[..., :-1, 1:] += both
    total[..., 1:, :-1] += both
    total[..., 1:, 1:] += lower
    eps = NORMAL_EPS * _PUBLISHED_SIZE**2 / (height * width)
    normals = F.normalize(total, dim=1, eps=eps)
    return F.pad(normals, (margin_x, margin_x, margin_y, margin_y))
