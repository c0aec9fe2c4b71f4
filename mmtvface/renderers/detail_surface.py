# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Displacement maps on a head: the surface between the vertices."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from mmtvface.geometry.grid_mesh import grid_normals
from mmtvface.geometry.mesh import vertex_normals
from mmtvface.heads.assets import HeadAssets, HeadSpec, topology_of
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

from .uv_mapper import UVMapper


class SurfaceMaps(NamedTuple):
    """The coarse surface in the UV map; zero outside of the charts.

    Attributes:
        positions: (B, 3, S, S) metres, model space.
        normals: (B, 3, S, S) interpolated vertex normals, not renormalised
            (as in DECA).
    """

    positions: torch.Tensor
    normals: torch.Tensor


def resize_map(values: Any, size: int) -> torch.Tensor:
    """A square map (N, N) as float32 (1, 1, size, size), anti-aliased."""
    image = torch.as_tensor(values).float()[None, None]
    if image.shape[-1] == size:
        return image.clone()
    return F.interpolate(
        image, size=(size, size), mode='bilinear', antialias=True)


@MODELS.register_module()
class DetailSurface(nn.Module):
    """Moves the texels of a head along its normals.

    surface = coarse + (mask * displacement + fixed) * normal, all as maps of
    S x S texels, and the normals of the mesh between the texels (DECA, Feng
    et al., SIGGRAPH 2021, section 4.2). ``mask`` is the face-and-eyes mask,
    ``fixed`` the displacement of the mean head, both of the topology.

    Args:
        head: See :class:`MeshRenderer`.
        size: Side S of the maps, texels.
        rasterizer: See :class:`UVMapper`.
        faceted: Where the detail starts from. The mesh between the texels
            follows the flat triangles of the coarse mesh, so that its normals
            show their facets even without any displacement. True
            (published): detail normals are those of that mesh, and a model
            trained so learns to smooth the facets. False: what the
            displacement changes in that mesh's normals is added to the
            smooth coarse normals; no displacement is then no detail.
    """

    uv_face_eye_mask: torch.Tensor
    fixed_displacement: torch.Tensor
    chart_interior: torch.Tensor

    def __init__(self,
                 head: HeadAssets | HeadTopology | HeadSpec = 'procedural',
                 size: int = 256,
                 rasterizer: str = 'auto',
                 faceted: bool = True) -> None:
        super().__init__()
        topology = topology_of(head)
        self.size = size
        self.faceted = faceted
        self.mapper = UVMapper(topology, size, rasterizer)
        for name in ('uv_face_eye_mask', 'fixed_displacement'):
            self.register_buffer(
                name, resize_map(getattr(topology, name), size),
                persistent=False)
        outside = (~self.mapper.covered)[None, None].float()
        self.register_buffer(
            'chart_interior', 1 - F.max_pool2d(outside, 3, 1, 1),
            persistent=False)

    def maps(self, vertices: torch.Tensor) -> SurfaceMaps:
        """The coarse surface of heads.

        Args:
            vertices: (B, V, 3) metres, model space.

        Raises:
            ValueError: If the shape is another one.
        """
        normals = vertex_normals(vertices, self.mapper.faces)
        both = self.mapper.to_uv(torch.cat([vertices, normals], -1))
        return SurfaceMaps(both[:, :3], both[:, 3:])

    def _per_copy(self, displacement: torch.Tensor,
                  maps: SurfaceMaps) -> torch.Tensor:
        """View (c * B, 1, S, S) as (c, B, 1, S, S).

        Raises:
            ValueError: If it does not belong to the maps.
        """
        size, batch = self.size, len(maps.positions)
        check_shape('displacement', displacement, ('c*B', 1, size, size))
        check_shape('maps.positions', maps.positions, ('B', 3, size, size))
        if len(displacement) % batch:
            raise ValueError(
                f'displacement has {len(displacement)} maps, which is no '
                f'multiple of the {batch} heads.')
        return displacement.unflatten(0, (-1, batch))

    def displace(self, displacement: torch.Tensor,
                 maps: SurfaceMaps) -> torch.Tensor:
        """Positions of the detailed surface.

        Args:
            displacement: (c * B, 1, S, S) metres along the normal, copy by
                copy; only what lies in the mask counts.
            maps: Of :meth:`maps`, of B heads.

        Returns:
            (c * B, 3, S, S) metres.

        Raises:
            ValueError: If shapes do not fit.
        """
        height = (self._per_copy(displacement, maps) * self.uv_face_eye_mask
                  + self.fixed_displacement)
        return torch.addcmul(maps.positions, height,
                             maps.normals).flatten(0, 1)

    def _masked_offsets(self, displacement: torch.Tensor, maps: SurfaceMaps,
                        mask: torch.Tensor) -> torch.Tensor:
        """(c, B, 3, S, S) mask * (detail normals - normals without)."""
        fine = grid_normals(self.displace(displacement, maps))
        fine = fine.unflatten(0, (-1, len(maps.normals)))
        flat = maps.normals if self.faceted else grid_normals(maps.positions)
        return (fine - flat) * mask

    def normals(self, displacement: torch.Tensor,
                maps: SurfaceMaps) -> torch.Tensor:
        """Normals of the detailed surface, the map that DECA shades.

        At the border of a chart the mesh of the texels leads to the empty
        texels around it; there, as published, they are no surface normals.

        Args:
            displacement: See :meth:`displace`.
            maps: See :meth:`displace`.

        Returns:
            (c * B, 3, S, S); the coarse normals outside of the mask, a
            mixture at its soft edge.
        """
        offsets = self._masked_offsets(displacement, maps,
                                       self.uv_face_eye_mask)
        return (maps.normals + offsets).flatten(0, 1)

    def normal_offsets(self, displacement: torch.Tensor,
                       maps: SurfaceMaps) -> torch.Tensor:
        """What the detail adds to the coarse normals, for pictures.

        Deviation: texels at the border of a chart (eyelids, lips, nostrils)
        keep their coarse normals, which :meth:`normals` does not grant.

        Args:
            displacement: See :meth:`displace`.
            maps: See :meth:`displace`.

        Returns:
            (c * B, 3, S, S), zero outside of the mask.
        """
        return self._masked_offsets(
            displacement, maps,
            self.uv_face_eye_mask * self.chart_interior).flatten(0, 1)
