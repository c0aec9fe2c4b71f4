# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Between vertices, images and UV maps."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from mmtvface.geometry.mesh import (
    FACING_TEXTURE,
    facing_camera,
    vertex_normals,
)
from mmtvface.heads.assets import HeadAssets, HeadSpec, topology_of
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

from .auto_rasterizer import build_rasterizer
from .base import covered_corners
from .fragments import Fragments
from .mesh_renderer import OUTSIDE, uv_to_grid
from .torch_rasterizer import TorchRasterizer


class UVTexture(NamedTuple):
    """A texture taken from an image.

    Attributes:
        texture: (B, C, S, S) the image's values, 0 outside of the charts;
            meaningful where visible.
        visibility: (B, 1, S, S) 1 where the texel's surface is seen, else
            0; without gradient.
    """

    texture: torch.Tensor
    visibility: torch.Tensor


@MODELS.register_module()
class UVMapper(nn.Module):
    """Turns values of vertices or images into UV maps.

    The UV map is rasterized once, at construction: each texel keeps the
    three vertices around it and their weights, and every later call only
    gathers. Rows run from v = 1 down; the centre of the texel (r, c) is
    u = (c + 0.5) / S, v = 1 - (r + 0.5) / S.

    Args:
        head: See :class:`MeshRenderer`.
        size: Side S of the UV maps, texels.
        rasterizer: For the occlusion test of :meth:`image_to_uv`.
    """

    faces: torch.Tensor
    texels: torch.Tensor
    texel_vertices: torch.Tensor
    texel_weights: torch.Tensor
    texel_ends: torch.Tensor

    def __init__(self,
                 head: HeadAssets | HeadTopology | HeadSpec = 'procedural',
                 size: int = 256,
                 rasterizer: str = 'auto') -> None:
        super().__init__()
        topology = topology_of(head)
        self.size = size
        self.rasterizer = build_rasterizer(rasterizer)
        faces = torch.as_tensor(topology.faces).long().clone()
        grid = uv_to_grid(torch.as_tensor(topology.uv_coords).double())
        fragments = TorchRasterizer()(
            F.pad(grid, (0, 1))[None],
            torch.as_tensor(topology.uv_faces).long(), (size, size))
        texels, vertices = covered_corners(
            grid[None], faces, fragments.face_index)
        weights = fragments.barycentrics.view(-1, 3)[texels]
        for name, value in (('faces', faces), ('texels', texels),
                            ('texel_vertices', vertices),
                            ('texel_weights', weights.float())):
            self.register_buffer(name, value, persistent=False)
        # Texels are in order: where the vertices of each end in the list.
        corners = 3 * torch.bincount(texels, minlength=size**2)
        self.register_buffer('texel_ends', F.pad(corners.cumsum(0), (1, 0)),
                             persistent=False)

    @property
    def covered(self) -> torch.Tensor:
        """(S, S) bool, texels that belong to the surface."""
        flat = torch.zeros(
            self.size**2, dtype=torch.bool, device=self.texels.device)
        flat[self.texels] = True
        return flat.view(self.size, self.size)

    def to_uv(self, attributes: torch.Tensor) -> torch.Tensor:
        """Interpolate values of vertices over the UV map.

        Args:
            attributes: (B, V, C), for example positions, normals, colours.

        Returns:
            (B, C, S, S), 0 outside of the charts; differentiable.

        Raises:
            ValueError: If the shape is wrong.
        """
        check_shape('attributes', attributes, ('B', 'V', 'C'))
        batch, count, channels = attributes.shape
        weights = self.texel_weights.to(attributes.dtype)
        # The batch inside of the vertices: each gather moves long rows.
        table = attributes.transpose(0, 1).reshape(count, batch * channels)
        if table.device.type == 'cpu':
            # One pass over the UV map: each texel is the weighted sum of its
            # bag of vertices, empty outside of the charts.
            flat = F.embedding_bag(
                self.texel_vertices.flatten(), table, self.texel_ends,
                mode='sum', per_sample_weights=weights.flatten(),
                include_last_offset=True)
            return flat.mT.reshape(batch, channels, self.size, self.size)
        # Its backward pass waits for a GPU; gathers do not.
        values = 0
        for corner in range(3):
            values = values + weights[:, corner, None] * table.index_select(
                0, self.texel_vertices[:, corner])
        flat = values.new_zeros(self.size**2, batch * channels)
        flat = flat.index_copy(0, self.texels, values)
        return flat.mT.reshape(batch, channels, self.size, self.size)

    def image_to_uv(self,
                    images: torch.Tensor,
                    vertices_ndc: torch.Tensor,
                    normals_ndc: torch.Tensor | None = None,
                    fragments: Fragments | None = None,
                    occlusion: bool = True,
                    threshold: float = FACING_TEXTURE,
                    depth_tolerance: float = 0.03) -> UVTexture:
        """Sample a texture from images.

        A texel is visible where it belongs to the surface, lies in the
        image, its normal faces the camera and, with ``occlusion``, no other
        part of the mesh is nearer at its pixel.

        Args:
            images: (B, C, H, W).
            vertices_ndc: (B, V, 3) projected vertices.
            normals_ndc: (B, V, 3) normals of the projected mesh; computed
                if None.
            fragments: Of the mesh at any image size, if already
                rasterized.
            occlusion: Whether to test depth (rasterizes unless
                ``fragments`` are given).
            threshold: Largest z of the normal, see
                :func:`mmtvface.geometry.mesh.facing_camera`.
            depth_tolerance: NDC by which a texel may lie behind the depth
                image (which is constant over a pixel).

        Returns:
            Texture and visibility.

        Raises:
            ValueError: If shapes do not match.
        """
        check_shape('images', images, ('B', 'C', 'H', 'W'))
        check_shape('vertices_ndc', vertices_ndc, (len(images), 'V', 3))
        if normals_ndc is None:
            normals_ndc = vertex_normals(vertices_ndc.detach(), self.faces)
        channels = [vertices_ndc, normals_ndc.detach()]
        maps = self.to_uv(torch.cat(channels, -1))
        covered = self.covered
        grid = torch.where(covered[..., None], maps[:, :2].movedim(1, -1),
                           OUTSIDE)
        texture = F.grid_sample(images, grid, align_corners=False)
        with torch.no_grad():
            visible = covered & (grid.abs() <= 1).all(-1)
            visible &= facing_camera(maps[:, 3:].movedim(1, -1), threshold)
            if occlusion:
                if fragments is None:
                    fragments = self.rasterizer(
                        vertices_ndc, self.faces, tuple(images.shape[-2:]))
                nearest = F.grid_sample(
                    fragments.depth[:, None].nan_to_num(posinf=1e6), grid,
                    mode='nearest', padding_mode='border',
                    align_corners=False)[:, 0]
                visible &= maps[:, 2] <= nearest + depth_tolerance
        return UVTexture(texture, visible[:, None].to(images.dtype))
