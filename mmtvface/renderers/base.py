# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The interface of all rasterizers and their common gradient.

Every back-end answers the same question: which face is the nearest at each
pixel centre. The answer is not differentiable; where on that face the pixel
lies is. The barycentrics of pixel p in the triangle a, b, c are

    w_0 = E(b, c) / A,  w_1 = E(c, a) / A,  w_2 = E(a, b) / A,
    E(u, v) = (u_x - p_x) (v_y - p_y) - (u_y - p_y) (v_x - p_x),
    A = E(b, c) + E(c, a) + E(a, b),

non-perspective (the camera is affine), and depth = sum_i w_i z_i. E(u, v) is
exactly -E(v, u) in floating point, so with inclusive tests the faces on
both sides of an edge leave no crack. All back-ends compute in float64 in
this order of operations and compare depths in the data type of the vertices,
so that they agree bit by bit.
"""

from abc import ABC, abstractmethod

import torch
from torch.utils.weak import WeakIdKeyDictionary

from mmtvface.utils.checks import check_shape
from mmtvface.utils.host_sync import may_synchronize

from .fragments import Fragments

MIN_DOUBLE_AREA = 1e-12
"""Faces of less doubled area (NDC^2) are degenerate and skipped.

A pixel of an image of 4096 x 4096 has 2.4e-7. Gradients grow with the
inverse of the area, so the floor also bounds them.
"""


_index_ranges = WeakIdKeyDictionary()
"""(version, smallest, largest index) of faces on devices, by tensor."""


def index_range(faces: torch.Tensor) -> tuple[int, int]:
    """Smallest and largest index of (F, 3) faces, F > 0.

    Reading them makes the host wait for a GPU, so there the answer is kept
    with the tensor until it is changed in place (inference tensors do not
    count changes, and are read each time).
    """
    remember = not (may_synchronize(faces.device) or faces.is_inference())
    version, *known = _index_ranges.get(faces, (None, )) if remember else (
        None, )
    if version is None or version != faces._version:
        low, high = faces.aminmax()
        known = [int(low), int(high)]
        if remember:
            _index_ranges[faces] = (faces._version, *known)
    return tuple(known)


def cross_2d(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """E(u, v) of two vectors from the pixel, (..., 2)."""
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def barycentrics_of(corners: torch.Tensor, pixels: torch.Tensor
                    ) -> tuple[torch.Tensor, torch.Tensor]:
    """Barycentrics and depth of pixels in triangles.

    Args:
        corners: (N, 3, 3) triangles: corner, x y z.
        pixels: (N, 2) NDC.

    Returns:
        (N, 3) barycentrics and (N,) depth.
    """
    a, b, c = (corners[..., :2] - pixels[:, None]).unbind(1)
    edges = torch.stack([cross_2d(b, c), cross_2d(c, a), cross_2d(a, b)], -1)
    total = edges[:, 0] + edges[:, 1] + edges[:, 2]
    weights = edges * (1 / total)[:, None]
    terms = weights * corners[..., 2]
    return weights, terms[:, 0] + terms[:, 1] + terms[:, 2]


def corner_gradients(corners: torch.Tensor, pixels: torch.Tensor,
                     grad_weights: torch.Tensor,
                     grad_depth: torch.Tensor) -> torch.Tensor:
    """Vector-Jacobian product of :func:`barycentrics_of`.

    With h_i = (g_i - sum_j g_j w_j) / A the derivative by E_i, and the
    derivatives of E by its two ends, corner a gets
    (h_2 b_y - h_1 c_y, h_1 c_x - h_2 b_x) relative to the pixel, and the
    others follow cyclically.

    Args:
        corners: (N, 3, 3).
        pixels: (N, 2).
        grad_weights: (N, 3).
        grad_depth: (N,).

    Returns:
        (N, 3, 3) gradients of the corners.
    """
    relative = corners[..., :2] - pixels[:, None]
    after, before = relative.roll(-1, 1), relative.roll(1, 1)
    edges = cross_2d(after, before)
    total = edges.sum(-1, keepdim=True)
    weights = edges / total
    grad = grad_weights + grad_depth[:, None] * corners[..., 2]
    height = (grad - (grad * weights).sum(-1, keepdim=True)) / total
    of_after, of_before = height.roll(-1, 1), height.roll(1, 1)
    return torch.stack([
        of_before * after[..., 1] - of_after * before[..., 1],
        of_after * before[..., 0] - of_before * after[..., 0],
        grad_depth[:, None] * weights,
    ], -1)


def pixel_centers(pixels: torch.Tensor, height: int,
                  width: int) -> torch.Tensor:
    """NDC of flat pixel indices (row-major, any batch): (N,) -> (N, 2)."""
    column = pixels % width
    row = torch.div(pixels, width, rounding_mode='floor') % height
    # By tensors: by a number, CUDA multiplies with its rounded inverse.
    sides = [torch.full((), side, dtype=torch.float64, device=pixels.device)
             for side in (width, height)]
    return torch.stack([(2 * column.double() + 1) / sides[0] - 1,
                        (2 * row.double() + 1) / sides[1] - 1], -1)


class _Rasterize(torch.autograd.Function):
    """Fragments with the closed-form gradient of barycentrics and depth."""

    @staticmethod
    def forward(ctx, vertices, faces, image_size, rasterizer):
        face_index, barycentrics, depth = rasterizer.find_fragments(
            vertices.contiguous(), faces, *image_size)
        ctx.save_for_backward(vertices, faces, face_index)
        ctx.rasterizer = rasterizer
        ctx.mark_non_differentiable(face_index)
        return face_index, barycentrics, depth

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, _, grad_barycentrics, grad_depth):
        vertices, faces, face_index = ctx.saved_tensors
        grad = ctx.rasterizer.vertex_gradients(
            vertices.contiguous(), faces, face_index,
            grad_barycentrics.contiguous(), grad_depth.contiguous())
        return grad, None, None, None


class Rasterizer(ABC):
    """Finds the nearest face at each pixel centre.

    No face is culled by its orientation. Faces with a non-finite vertex
    and degenerate faces are skipped, those outside of the image cost
    nothing, and there is no near or far plane (the camera is affine: nothing
    is behind it). Of faces at the same depth the lowest index wins.
    """

    def __call__(self, vertices_ndc: torch.Tensor, faces: torch.Tensor,
                 image_size: tuple[int, int]) -> Fragments:
        """Rasterize a batch of meshes of the same faces.

        Args:
            vertices_ndc: (B, V, 3) float32 or float64; x right, y down, the
                image is [-1, 1] from edge to edge; smaller z is nearer.
            faces: (F, 3) int64, indices of vertices.
            image_size: Height and width, pixels. Pixel i has its centre
                at (2 i + 1) / size - 1.

        Returns:
            Fragments; gradients flow to ``vertices_ndc`` through
            barycentrics and depth.

        Raises:
            ValueError: If a shape, a data type or a vertex index is wrong.
        """
        check_shape('vertices_ndc', vertices_ndc, ('B', 'V', 3))
        check_shape('faces', faces, ('F', 3))
        height, width = image_size
        if height < 1 or width < 1:
            raise ValueError('image_size must be a positive height and '
                             f'width, but it is {tuple(image_size)}.')
        if vertices_ndc.dtype not in (torch.float32, torch.float64):
            # Half precision has coarser steps than pixels.
            vertices_ndc = vertices_ndc.float()
        if faces.numel():
            low, high = index_range(faces)
            if low < 0 or high >= vertices_ndc.shape[1]:
                raise ValueError(
                    f'faces must index {vertices_ndc.shape[1]} vertices, but '
                    f'the indices span {low}..{high}.')
        return Fragments(*_Rasterize.apply(
            vertices_ndc, faces.long(), (height, width), self))

    @abstractmethod
    def find_fragments(
        self, vertices: torch.Tensor, faces: torch.Tensor, height: int,
        width: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Face index, barycentrics and depth of checked arguments."""

    def vertex_gradients(self, vertices: torch.Tensor, faces: torch.Tensor,
                         face_index: torch.Tensor,
                         grad_barycentrics: torch.Tensor,
                         grad_depth: torch.Tensor) -> torch.Tensor:
        """Gradient of the vertices from those of barycentrics and depth.

        Args:
            vertices: (B, V, 3).
            faces: (F, 3).
            face_index: (B, H, W).
            grad_barycentrics: (B, H, W, 3).
            grad_depth: (B, H, W).

        Returns:
            (B, V, 3).
        """
        pixels, rows = covered_corners(vertices, faces, face_index)
        corners = vertices.reshape(-1, 3).index_select(
            0, rows.flatten()).view(-1, 3, 3)
        centers = pixel_centers(pixels, *face_index.shape[1:])
        grad = corner_gradients(
            corners.double(), centers,
            grad_barycentrics.view(-1, 3).index_select(0, pixels).double(),
            grad_depth.flatten().index_select(0, pixels).double())
        total = vertices.new_zeros(vertices.shape[:2].numel(), 3)
        total.index_add_(0, rows.flatten(),
                         grad.view(-1, 3).to(vertices.dtype))
        return total.view_as(vertices)


def covered_corners(vertices: torch.Tensor, faces: torch.Tensor,
                    face_index: torch.Tensor
                    ) -> tuple[torch.Tensor, torch.Tensor]:
    """Covered pixels and the vertices of their faces.

    Args:
        vertices: (B, V, 3), only its shape counts.
        faces: (F, 3).
        face_index: (B, H, W), -1 where empty.

    Returns:
        (N,) flat pixel indices, ascending, and (N, 3) rows in
        ``vertices.view(B * V, 3)``.
    """
    flat = face_index.flatten()
    pixels = (flat >= 0).nonzero()[:, 0]
    item = torch.div(
        pixels, face_index[0].numel(), rounding_mode='floor')
    rows = faces.index_select(0, flat.index_select(0, pixels))
    return pixels, rows + (item * vertices.shape[1])[:, None]
