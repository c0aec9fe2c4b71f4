# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Tangent-space normal maps: detail for programs that draw coarse meshes.

Frames follow MikkTSpace (Mikkelsen, "Simulation of Wrinkled Surfaces
Revisited", 2008), which Blender, glTF viewers and game engines use: at a
point of the mesh, with the interpolated vertex normal N and tangent T (along
u; neither renormalised) and B = s N x T, s = -1 in mirrored charts,

    normal = normalize(x T + y B + z N),  (x, y, z) = 2 RGB - 1,

so that red grows with u (right), green with v (up, the convention of OpenGL
and Blender), and a flat map is (128, 128, 255).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from mmtvface.renderers.fragments import Fragments, interpolate
from mmtvface.renderers.mesh_renderer import uv_to_grid
from mmtvface.renderers.torch_rasterizer import TorchRasterizer
from mmtvface.utils.checks import check_shape

from .texture_fill import nearest_covered

_FLAT = (0., 0., 1.)
_TINY = 1e-12


class TangentFrame(NamedTuple):
    """Frames of a surface at the texels of a map or the pixels of an image.

    Attributes:
        tangent: (B, 3, H, W) interpolated, not renormalised.
        bitangent: (B, 3, H, W) s N x T.
        normal: (B, 3, H, W) interpolated, not renormalised.
    """

    tangent: torch.Tensor
    bitangent: torch.Tensor
    normal: torch.Tensor


def uv_areas(uv: torch.Tensor) -> torch.Tensor:
    """Doubled areas in the UV map, negative where it is mirrored.

    Args:
        uv: (F, 3, 2).

    Returns:
        (F,).
    """
    (u1, v1), (u2, v2) = ((uv[:, i] - uv[:, 0]).unbind(-1) for i in (1, 2))
    return u1 * v2 - u2 * v1


def corner_tangents(vertices: torch.Tensor, normals: torch.Tensor,
                    faces: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
    """What every face adds to the tangents of its corners.

    The direction of increasing u in the plane of the face, projected onto the
    plane of the corner's normal, normalised and weighted by the angle that
    the face has there.

    Args:
        vertices: (B, V, 3).
        normals: (B, V, 3) unit.
        faces: (F, 3).
        uv: (F, 3, 2) coordinates of the corners, v upwards.

    Returns:
        (B, F, 3, 3) weighted tangents (corner, x y z), zero for degenerate
        faces.
    """
    points, around = vertices[:, faces], normals[:, faces]
    edge1, edge2 = (points[:, :, i] - points[:, :, 0] for i in (1, 2))
    v1, v2 = (uv[:, i, 1:] - uv[:, 0, 1:] for i in (1, 2))
    along = (edge1 * v2 - edge2 * v1) * uv_areas(uv).sign()[:, None]

    def in_plane(vectors: torch.Tensor) -> torch.Tensor:
        height = (vectors * around).sum(-1, keepdim=True)
        return F.normalize(vectors - height * around, dim=-1, eps=_TINY)

    after = in_plane(points.roll(-1, 2) - points)
    before = in_plane(points.roll(1, 2) - points)
    angle = (after * before).sum(-1, keepdim=True).clamp(-1, 1).acos()
    return in_plane(along[:, :, None].expand_as(points)) * angle


class NormalMapper:
    """Writes and reads the normals of one UV map.

    Args:
        faces: (F, 3) of the mesh.
        uv_coords: (Vt, 2), v upwards.
        uv_faces: (F, 3).
        size: Side S of the maps in texels.

    Raises:
        ValueError: If a shape is another one.
    """

    def __init__(self, faces: torch.Tensor, uv_coords: torch.Tensor,
                 uv_faces: torch.Tensor, size: int) -> None:
        check_shape('faces', faces, ('F', 3))
        check_shape('uv_faces', uv_faces, tuple(faces.shape))
        check_shape('uv_coords', uv_coords, ('Vt', 2))
        self.faces = faces
        self.corner_uv = uv_coords[uv_faces]
        grid = uv_to_grid(uv_coords.double())
        texels = TorchRasterizer()(
            F.pad(grid, (0, 1))[None], uv_faces, (size, size))
        self.texels = texels._replace(
            barycentrics=texels.barycentrics.to(uv_coords.dtype))
        self.padding = torch.from_numpy(nearest_covered(
            texels.covered[0].cpu().numpy())).to(faces.device)
        # Corners share a tangent where they share vertex, place in the
        # UV map and orientation.
        mirrored = (uv_areas(self.corner_uv) < 0)[:, None].expand_as(faces)
        key = torch.stack([faces, uv_faces, mirrored.long()], -1)
        unique, index = torch.unique(
            key.flatten(0, 1), dim=0, return_inverse=True)
        self.tangent_faces = index.view_as(faces)
        self.signs = 1. - 2. * unique[:, 2:]

    def vertex_tangents(self, vertices: torch.Tensor,
                        normals: torch.Tensor) -> torch.Tensor:
        """Unit tangents and the sign of the bitangent.

        Args:
            vertices: (B, V, 3).
            normals: (B, V, 3) unit vertex normals.

        Returns:
            (B, K, 4), to be indexed by ``tangent_faces``.
        """
        parts = corner_tangents(vertices, normals, self.faces,
                                self.corner_uv.to(vertices))
        total = parts.new_zeros(len(parts), len(self.signs), 3).index_add(
            1, self.tangent_faces.flatten(), parts.flatten(1, 2))
        signs = self.signs.to(total).expand(len(total), -1, -1)
        return torch.cat([F.normalize(total, dim=-1, eps=_TINY), signs], -1)

    def frame(self, vertices: torch.Tensor, normals: torch.Tensor,
              fragments: Fragments | None = None) -> TangentFrame:
        """Frames at the texels, or at the pixels of a rendering.

        Args:
            vertices: (B, V, 3).
            normals: (B, V, 3) unit vertex normals.
            fragments: Of the mesh; None: the texels of the UV map.
        """
        if fragments is None:
            fragments = Fragments(*(
                value.expand(len(vertices), *value.shape[1:])
                for value in self.texels))
        tangent = interpolate(fragments, self.tangent_faces,
                              self.vertex_tangents(vertices, normals))
        normal = interpolate(fragments, self.faces, normals)
        tangent, sign = tangent[:, :3], tangent[:, 3:]
        return TangentFrame(
            tangent, sign * torch.linalg.cross(normal, tangent, dim=1),
            normal)

    def encode(self, detail: torch.Tensor, vertices: torch.Tensor,
               normals: torch.Tensor) -> torch.Tensor:
        """Normal map whose decoding on the coarse mesh gives the detail.

        Args:
            detail: (B, 3, S, S) normals of the detailed surface in model
                space, any length.
            vertices: (B, V, 3) of the coarse mesh.
            normals: (B, V, 3) its unit vertex normals.

        Returns:
            (B, 3, S, S) in [0, 1]; continued outside of the charts.

        Raises:
            ValueError: If the shape of the detail is another one.
        """
        size = self.texels.face_index.shape[-1]
        check_shape('detail', detail, (len(vertices), 3, size, size))
        frame = self.frame(vertices, normals)
        # The inverse of the matrix of the axes, up to its determinant's size.
        tangent, bitangent, normal = frame
        rows = [torch.linalg.cross(*pair, dim=1) for pair in (
            (bitangent, normal), (normal, tangent), (tangent, bitangent))]
        volume = (tangent * rows[0]).sum(1, keepdim=True)
        values = torch.cat([(row * detail).sum(1, keepdim=True)
                            for row in rows], 1) * volume.sign()
        values = F.normalize(values, dim=1, eps=_TINY)
        # What looks away from the coarse surface cannot be stored.
        usable = (volume.abs() > 1e-6) & (values[:, 2:] > 0)
        flat = values.new_tensor(_FLAT)[:, None, None]
        colors = (torch.where(usable, values, flat) + 1) / 2
        return colors.flatten(2).index_select(
            2, self.padding).view_as(colors)


def decode_normal_map(colors: torch.Tensor,
                      frame: TangentFrame) -> torch.Tensor:
    """Normals that a program shades: the inverse of the encoding.

    Args:
        colors: (B, 3, H, W) in [0, 1], the map sampled where the frames are.
        frame: See :meth:`NormalMapper.frame`.

    Returns:
        (B, 3, H, W) unit, in the space of the vertices.
    """
    x, y, z = (2 * colors - 1).split(1, 1)
    return F.normalize(
        x * frame.tangent + y * frame.bitangent + z * frame.normal, dim=1,
        eps=_TINY)
