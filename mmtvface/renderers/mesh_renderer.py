# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Differentiable rendering of textured, lit head meshes."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from mmtvface.geometry.lighting import (
    DirectionalLights,
    Light,
    PointLights,
    shade,
)
from mmtvface.geometry.mesh import (
    FACING_OVERLAY,
    facing_camera,
    vertex_normals,
)
from mmtvface.heads.assets import HeadAssets, HeadSpec, topology_of
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape
from mmtvface.utils.host_sync import constant

from .auto_rasterizer import build_rasterizer
from .fragments import Fragments, interpolate

GRAY = 180 / 255
OVERLAY_DIRECTIONS = ((-1, 1, 1), (1, 1, 1), (-1, -1, 1), (1, -1, 1),
                      (0, 0, 1))
OVERLAY_INTENSITY = 1.7
MOUTH = (.10, .035, .035)  # colour of what lies behind the teeth
INNER_FACING = -.02
OUTSIDE = -2.0
"""Grid coordinate of empty pixels: sampling there gives zero."""


class RenderOutput(NamedTuple):
    """Images of a batch of meshes; zero where no face is, but ``image``.

    Attributes:
        image: (B, 3, H, W) RGB, albedo * shading over the background.
        alpha: (B, 1, H, W) 1 where a face covers the pixel centre, else 0.
        face_mask: (B, 1, H, W) the face-and-eyes mask of the UV map, 0..1;
            a weight, without gradient.
        albedo: (B, 3, H, W) RGB.
        shading: (B, 3, H, W) RGB.
        normals: (B, 3, H, W) interpolated model-space vertex normals (not
            renormalised, as in DECA).
        depth: (B, 1, H, W) NDC z, 0 where empty.
        uv_grid: (B, H, W, 2) coordinates for ``grid_sample`` of UV maps
            with ``align_corners=False``; out of range where empty.
        fragments: Of the rasterizer.
    """

    image: torch.Tensor
    alpha: torch.Tensor
    face_mask: torch.Tensor
    albedo: torch.Tensor
    shading: torch.Tensor
    normals: torch.Tensor
    depth: torch.Tensor
    uv_grid: torch.Tensor
    fragments: Fragments


def picture_layers(out: RenderOutput) -> torch.Tensor:
    """What a picture of the head needs over another background.

    The far inner side of the head, which shows through an open mouth, is
    dark, and no skin.

    Returns:
        (B, 5, H, W) 0..1: RGB multiplied by the opacity, opacity, skin.
    """
    inside = (out.alpha > 0) & (out.normals[:, 2:] < INNER_FACING)
    dark = constant(MOUTH, out.image)[:, None, None]
    color = torch.where(inside, dark * out.alpha,
                         out.image.clamp(0, 1) * out.alpha)
    return torch.cat([color, out.alpha, out.face_mask * ~inside], 1)


def uv_to_grid(uv: torch.Tensor) -> torch.Tensor:
    """UV coordinates (v upwards) to ``grid_sample`` coordinates, (..., 2)."""
    return uv * constant((2., -2.), uv) + constant((-1., 1.), uv)


def overlay_lights(like: torch.Tensor) -> DirectionalLights:
    """Five white lights from the front for grey overlays of (B, ...)."""
    directions = constant(OVERLAY_DIRECTIONS, like)
    directions = directions.expand(len(like), -1, -1)
    return DirectionalLights(
        directions, torch.full_like(directions, OVERLAY_INTENSITY))


def composite(image: torch.Tensor, mask: torch.Tensor,
              background: torch.Tensor) -> torch.Tensor:
    """Put an image over a background.

    Args:
        image: (B, 3, H, W).
        mask: (B, 1, H, W) bool.
        background: (B, 3, H, W), (3, H, W) or a colour (3,).
    """
    if background.ndim == 1:
        background = background[:, None, None]
    return torch.where(mask, image, background)


def add_detail(normals: torch.Tensor, offsets: torch.Tensor | None,
               uv_grid: torch.Tensor) -> torch.Tensor:
    """Add the detail of a UV map to images of normals.

    Args:
        normals: (B, 3, H, W).
        offsets: (B, 3, S, S), or None for no detail.
        uv_grid: (B, H, W, 2).

    Returns:
        (B, 3, H, W), not renormalised.

    Raises:
        ValueError: If the shape of the map is another one.
    """
    if offsets is None:
        return normals
    check_shape('normal_offsets', offsets, (len(normals), 3, 'S', 'S'))
    return normals + F.grid_sample(
        _full(offsets), uv_grid, align_corners=False)


@MODELS.register_module()
class MeshRenderer(nn.Module):
    """Render head meshes with albedo and light.

    Model of DECA (Feng et al., SIGGRAPH 2021, section 4): image =
    albedo(uv) * shading(normal), rasterized with a hard z-buffer.
    Gradients reach the albedo, the light, and the vertices through
    barycentrics and normals; the silhouette itself has none.

    It renders in float32 (or float64) also under autocast.

    Args:
        head: Whose faces and UV map, see :func:`mmtvface.heads.load_head`;
            a topology will do.
        image_size: Default size of images, pixels; one side or (H, W).
        uv_size: Side of the UV maps that the face mask is stored in.
        rasterizer: 'auto', 'torch', 'numba' or 'pytorch3d'.
    """

    faces: torch.Tensor
    uv_coords: torch.Tensor
    uv_faces: torch.Tensor
    uv_face_eye_mask: torch.Tensor

    def __init__(self,
                 head: HeadAssets | HeadTopology | HeadSpec = 'procedural',
                 image_size: int | tuple[int, int] = 224,
                 uv_size: int = 256,
                 rasterizer: str = 'auto') -> None:
        super().__init__()
        topology = topology_of(head)
        self.image_size = image_size
        self.rasterizer = build_rasterizer(rasterizer)
        mask = torch.as_tensor(topology.uv_face_eye_mask).float()[None, None]
        if mask.shape[-1] != uv_size:
            mask = F.interpolate(mask, size=(uv_size, uv_size),
                                 mode='bilinear', antialias=True)
        # Not persistent: they are files' contents, no learned state. Copies,
        # as the arrays of the built-in head are shared by all of its users.
        for name, value in (
                ('faces', torch.as_tensor(topology.faces).long()),
                ('uv_faces', torch.as_tensor(topology.uv_faces).long()),
                ('uv_coords', torch.as_tensor(topology.uv_coords).float()),
                ('uv_face_eye_mask', mask)):
            self.register_buffer(name, value.clone(), persistent=False)

    def _size(self, image_size: int | tuple[int, int] | None,
              background: torch.Tensor | None) -> tuple[int, int]:
        if image_size is None and background is not None and (
                background.ndim > 1):
            return tuple(background.shape[-2:])
        size = self.image_size if image_size is None else image_size
        return (size, size) if isinstance(size, int) else tuple(size)

    def _check(self, vertices: torch.Tensor, vertices_ndc: torch.Tensor,
               size: tuple[int, int],
               background: torch.Tensor | None) -> None:
        check_shape('vertices', vertices, ('B', 'V', 3))
        check_shape('vertices_ndc', vertices_ndc, vertices.shape)
        if background is not None and background.ndim > 1:
            expected = (len(vertices), 3, *size)[-background.ndim:]
            check_shape('background', background, expected)

    def render(self,
               vertices: torch.Tensor,
               vertices_ndc: torch.Tensor,
               albedo: torch.Tensor | None = None,
               light: Light | None = None,
               background: torch.Tensor | None = None,
               image_size: int | tuple[int, int] | None = None,
               normal_offsets: torch.Tensor | None = None
               ) -> RenderOutput:
        """Render meshes.

        Args:
            vertices: (B, V, 3) metres, model space; normals and light are
                in this frame.
            vertices_ndc: (B, V, 3) the same vertices in NDC.
            albedo: (B, 3, S, S) UV map, RGB; None: grey.
            light: (B, 9, 3) spherical harmonics, lights, or None: none,
                the image is the albedo.
            background: (B, 3, H, W), (3, H, W) or a colour (3,); None: black.
            image_size: One side or (H, W), pixels; default: that of the
                background, else that of the module.
            normal_offsets: (B, 3, S, S) UV map of what the detail adds to
                the normals, see ``DetailSurface.normal_offsets``.

        Raises:
            ValueError: If shapes do not match.
        """
        size = self._size(image_size, background)
        self._check(vertices, vertices_ndc, size, background)
        with torch.autocast(vertices.device.type, enabled=False):
            vertices, vertices_ndc = _full(vertices), _full(vertices_ndc)
            fragments = self.rasterizer(vertices_ndc, self.faces, size)
            attributes = [vertex_normals(vertices, self.faces)]
            if isinstance(light, PointLights):
                attributes.append(vertices)
            surface = interpolate(
                fragments, self.faces, torch.cat(attributes, -1))
            covered = fragments.covered
            grid = self.uv_grid(fragments)
            normals = add_detail(surface[:, :3], normal_offsets, grid)
            alpha = covered[:, None].to(vertices.dtype)
            albedo_image = (
                alpha * GRAY).expand(-1, 3, -1, -1) if albedo is None else (
                    F.grid_sample(_full(albedo), grid, align_corners=False))
            shading = alpha.expand(-1, 3, -1, -1)
            if light is not None:
                lit = shade(
                    normals.flatten(2).mT, _full_light(light),
                    surface[:, 3:].flatten(2).mT)
                shading = lit.mT.reshape(shading.shape) * alpha
            image = albedo_image * shading
            if background is not None:
                image = composite(image, covered[:, None], background)
            return RenderOutput(
                image=image,
                alpha=alpha,
                face_mask=self.face_mask(grid),
                albedo=albedo_image,
                shading=shading,
                normals=normals,
                depth=torch.where(covered, fragments.depth, 0)[:, None],
                uv_grid=grid,
                fragments=fragments)

    def uv_grid(self, fragments: Fragments) -> torch.Tensor:
        """Where the pixels lie in UV maps, see :class:`RenderOutput`."""
        coords = uv_to_grid(self.uv_coords).to(fragments.barycentrics.dtype)
        grid = interpolate(fragments, self.uv_faces, coords)
        return torch.where(fragments.covered[..., None],
                           grid.movedim(1, -1), OUTSIDE)

    def face_mask(self, uv_grid: torch.Tensor) -> torch.Tensor:
        """Sample the face-and-eyes mask: (B, H, W, 2) -> (B, 1, H, W)."""
        mask = self.uv_face_eye_mask.to(uv_grid.dtype)
        return F.grid_sample(
            mask.expand(len(uv_grid), -1, -1, -1), uv_grid.detach(),
            align_corners=False)

    def render_shape(self,
                     vertices: torch.Tensor,
                     vertices_ndc: torch.Tensor,
                     background: torch.Tensor | None = None,
                     image_size: int | tuple[int, int] | None = None,
                     colors: torch.Tensor | None = None,
                     hide_backs: bool = False,
                     normal_offsets: torch.Tensor | None = None
                     ) -> torch.Tensor:
        """Render the bare shape under five directional lights.

        Deviation: the published overlays leave out pixels whose interpolated
        normal points away from the camera. That opens holes with the
        background in the folds of the eyelids, so here it is an option.

        Args:
            vertices: (B, V, 3) metres, model space.
            vertices_ndc: (B, V, 3) NDC.
            background: See :meth:`render`.
            image_size: See :meth:`render`.
            colors: (B, V, 3) RGB of the vertices; None: grey 180/255.
            hide_backs: Do not draw what faces away from the camera, such as
                the inner side of an open neck.
            normal_offsets: See :meth:`render`.

        Returns:
            (B, 3, H, W) RGB in [0, 1] (for such a background).
        """
        size = self._size(image_size, background)
        self._check(vertices, vertices_ndc, size, background)
        with torch.autocast(vertices.device.type, enabled=False):
            vertices, vertices_ndc = _full(vertices), _full(vertices_ndc)
            fragments = self.rasterizer(vertices_ndc, self.faces, size)
            attributes = [
                vertex_normals(vertices, self.faces),
                vertex_normals(vertices_ndc, self.faces),
            ]
            if colors is not None:
                check_shape('colors', colors, vertices.shape)
                attributes.append(_full(colors))
            surface = interpolate(
                fragments, self.faces, torch.cat(attributes, -1))
            normals = surface[:, :3]
            if normal_offsets is not None:
                normals = add_detail(normals, normal_offsets,
                                     self.uv_grid(fragments))
            shading = shade(normals.flatten(2).mT, overlay_lights(vertices))
            base = (GRAY if colors is None
                    else surface[:, 6:].flatten(2).mT)
            image = (shading * base).clamp(0, 1).mT.reshape(-1, 3, *size)
            drawn = fragments.covered
            if hide_backs:
                drawn = drawn & facing_camera(
                    surface[:, 3:6].movedim(1, -1), FACING_OVERLAY)
            if background is None:
                background = image.new_zeros(3)
            return composite(image, drawn[:, None], background)


def _full(tensor: torch.Tensor) -> torch.Tensor:
    """At least single precision."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _full_light(light: Light) -> Light:
    if isinstance(light, torch.Tensor):
        return _full(light)
    return type(light)(*map(_full, light))
