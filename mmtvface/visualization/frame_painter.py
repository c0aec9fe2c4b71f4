# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""All pictures of a reconstructed head, from arrays."""

from collections.abc import Collection
from functools import cached_property

import numpy as np
import torch
from torch import nn

from mmtvface.geometry.mesh import vertex_normals
from mmtvface.geometry.normal_images import encode_normals
from mmtvface.heads.flame import FLAME
from mmtvface.renderers.dense_template import DenseMesh, DenseTemplate
from mmtvface.renderers.detail_surface import DetailSurface
from mmtvface.renderers.fragments import interpolate
from mmtvface.renderers.mesh_renderer import MeshRenderer
from mmtvface.utils.checks import check_shape

from .encodings import encode_depth
from .head_texture import TextureBaker
from .normal_map import NormalMapper
from .overlay import (
    overlay_shape,
    pixels_to_ndc3d,
    shape_image,
    to_batch,
    to_pixels,
    visible_window,
)
from .posed_face import PosedFace

#: Pictures, and the part of the model that each requires.
PICTURES = dict(overlay='', detail_overlay='detail', rendered='albedo',
                albedo='albedo', normals='', depth='')
_ALBEDO = "an albedo model (texture=dict(type='FLAMETexture', ...))"
_DETAIL = "a detail branch (detail=dict(type='DetailBranch', ...))"
_HEAD = "a FLAME head (flame=dict(type='FLAME', ...))"
_UV_MAP = "a UV map (renderer=dict(type='MeshRenderer', ...))"


class FramePainter:
    """Paints heads into images and makes textures for their meshes.

    Everything is a function of arrays: codes, vertices and a place in an
    image; no file, no model and no frame is needed. Pictures are rendered at
    the resolution that is asked for, with the camera that is given, and never
    resampled.

    Args:
        renderer: With the faces of the heads.
        texture: Albedo model, code (1, n) -> (1, 3, S, S), or None.
        surface: For displacement maps, or None.
        texture_size: Side of the textures of meshes in texels.
        flame: Head model of the codes, for rigs, or None.
    """

    def __init__(self, renderer: MeshRenderer,
                 texture: nn.Module | None = None,
                 surface: DetailSurface | None = None,
                 texture_size: int = 512,
                 flame: FLAME | None = None) -> None:
        self.renderer, self.flame = renderer, flame
        self.has_uv_map = len(renderer.uv_coords) > 1
        self.texture = texture if self.has_uv_map else None
        self.surface = surface if self.has_uv_map else None
        self.texture_size = texture_size

    def missing(self, part: str) -> str:
        """A part of the model that is not there, in words, '' if it is.

        Args:
            part: 'albedo', 'detail' or 'flame'.
        """
        if part == 'flame' and self.flame is None:
            return _HEAD
        if part == 'albedo' and self.texture is None:
            return _ALBEDO if self.has_uv_map else _UV_MAP
        if part == 'detail' and self.surface is None:
            return _DETAIL if self.has_uv_map else _UV_MAP
        return ''

    def missing_part(self, picture: str) -> str:
        """What the model lacks for a picture, '' if nothing."""
        return self.missing(PICTURES[picture])

    def pose(self, vertices: np.ndarray, vertices_image: np.ndarray,
             tex: np.ndarray | None = None, light: np.ndarray | None = None,
             displacement: np.ndarray | None = None) -> PosedFace:
        """Prepare a head; maps are computed when they are first needed.

        Args:
            vertices: (V, 3) metres, model space.
            vertices_image: (V, 3) x, y pixel indices of the image and depth
                in pixels, smaller nearer.
            tex: (n,) albedo code.
            light: (9, 3) spherical harmonics.
            displacement: (S, S) metres.

        Raises:
            ValueError: If a shape is another one.
        """
        check_shape('vertices', vertices, ('V', 3))
        check_shape('vertices_image', vertices_image, vertices.shape)
        return PosedFace(
            vertices, vertices_image, self.renderer.faces.device,
            tex if self.texture else None, light,
            displacement if self.surface else None, self.texture,
            self.surface)

    def _check(self, face: PosedFace, kinds: Collection[str]) -> None:
        for kind in kinds:
            if kind not in PICTURES:
                raise ValueError(f'There is no picture {kind!r}; there are '
                                 f'{list(PICTURES)}.')
            missing = self.missing_part(kind)
            if missing:
                raise ValueError(f"The picture '{kind}' needs {missing}.")
        if {'albedo', 'rendered'} & set(kinds) and face.albedo is None:
            raise ValueError('The face has no albedo code.')
        if 'detail_overlay' in kinds and face.normal_offsets is None:
            raise ValueError('The face has no displacement map.')

    @torch.no_grad()
    def paint(self, face: PosedFace, image: np.ndarray,
              kinds: Collection[str]) -> dict[str, np.ndarray]:
        """Paint a head in an image, in several ways at once.

        Args:
            face: With the pixels of ``image``.
            image: (H, W, 3) uint8 RGB.
            kinds: 'overlay': grey shape over the image; 'detail_overlay':
                the same with detail; 'rendered': albedo * shading over the
                image; 'albedo': on black; 'normals': see
                :func:`encode_normals`; 'depth': of the coarse mesh, see
                :func:`encode_depth`. Rendered image and normals have detail
                where the face has it.

        Returns:
            (H, W, 3) uint8 RGB by kind; depth (H, W) uint16.

        Raises:
            ValueError: If a kind is unknown or needs what the model or the
                face lacks.
        """
        self._check(face, kinds)
        out = {}
        for kind, offsets in (('overlay', None), (
                'detail_overlay', 'detail_overlay' in kinds
                and face.normal_offsets)):
            if kind in kinds:
                out[kind] = overlay_shape(
                    self.renderer, image, face.vertices, face.vertices_image,
                    normal_offsets=offsets)
        if set(kinds) - set(out):
            out.update(self._render(face, image, kinds))
        return out

    def _render(self, face: PosedFace, image: np.ndarray,
                kinds: Collection[str]) -> dict[str, np.ndarray]:
        """Pictures that one rasterization gives."""
        height, width = image.shape[:2]
        blank = dict(
            rendered=image, albedo=np.zeros((height, width, 3), np.uint8),
            normals=np.zeros((height, width, 3), np.uint8),
            depth=np.zeros((height, width), np.uint16))
        out = {kind: picture.copy() for kind, picture in blank.items()
               if kind in kinds}
        window = visible_window(face.vertices_image, (height, width))
        if window is None:
            return out
        left, top, right, bottom = window
        size = (bottom - top, right - left)
        local = face.vertices_image - np.array([left, top, 0.])
        device = self.renderer.faces.device
        vertices = to_batch(face.vertices, device)
        colored = {'rendered', 'albedo'} & set(kinds)
        drawn = self.renderer.render(
            vertices, to_batch(pixels_to_ndc3d(local, size), device),
            face.albedo if colored else None,
            face.light if colored else None, image_size=size,
            normal_offsets=face.normal_offsets)
        covered = drawn.alpha[0, 0].cpu().numpy() > 0
        parts = {}
        if colored:
            parts = dict(albedo=to_pixels(drawn.albedo[0]), rendered=np.where(
                covered[..., None], to_pixels(drawn.image[0]),
                image[top:bottom, left:right]))
        if 'normals' in kinds:
            normals = drawn.normals[0].movedim(0, -1).cpu().numpy()
            parts['normals'] = encode_normals(normals, covered)
        if 'depth' in kinds:
            toward = interpolate(drawn.fragments, self.renderer.faces,
                                 vertices[..., 2:])[0, 0]
            parts['depth'] = encode_depth(toward.cpu().numpy(), covered)
        for kind, picture in out.items():
            picture[top:bottom, left:right] = parts[kind]
        return out

    def front(self, face: PosedFace, size: int) -> np.ndarray:
        """The shape alone from the front, see :func:`shape_image`."""
        return shape_image(self.renderer, face.vertices, size,
                           normal_offsets=face.normal_offsets)

    @cached_property
    def _baker(self) -> TextureBaker:
        return TextureBaker(self.renderer, self.texture_size)

    @cached_property
    def _normal_mapper(self) -> NormalMapper:
        renderer = self.renderer
        return NormalMapper(renderer.faces, renderer.uv_coords,
                            renderer.uv_faces, self.surface.size)

    @cached_property
    def _dense(self) -> DenseTemplate:
        return DenseTemplate(self.surface, self.renderer.uv_coords,
                             self.renderer.uv_faces)

    def bake_texture(self, face: PosedFace,
                     image: np.ndarray) -> torch.Tensor:
        """Texture of the mesh, see :class:`TextureBaker`.

        Args:
            face: With the pixels of ``image``.
            image: (H, W, 3) uint8 RGB.

        Returns:
            (1, 3, T, T) RGB in [0, 1]; row 0 is v = 1.
        """
        return self._baker.bake(
            image, face.vertices, face.vertices_image, face.albedo,
            face.light, face.normal_offsets)

    def mesh_normals(self, face: PosedFace) -> np.ndarray:
        """(V, 3) unit vertex normals of the coarse mesh."""
        vertices = to_batch(face.vertices, self.renderer.faces.device)
        return vertex_normals(
            vertices, self.renderer.faces)[0].cpu().numpy()

    @torch.no_grad()
    def normal_map(self, face: PosedFace) -> np.ndarray | None:
        """Tangent-space normal map of the detail.

        See :mod:`mmtvface.visualization.normal_map`.

        Returns:
            (S, S, 3) uint8, None if the face has no detail.
        """
        if face.normal_offsets is None:
            return None
        vertices = to_batch(face.vertices, face.normal_offsets.device)
        maps = self.surface.maps(vertices)
        encoded = self._normal_mapper.encode(
            maps.normals + face.normal_offsets, vertices,
            vertex_normals(vertices, self.renderer.faces))
        return to_pixels(encoded[0])

    @torch.no_grad()
    def dense_mesh(self, face: PosedFace,
                   texture: torch.Tensor | None = None) -> DenseMesh:
        """The detailed surface as a mesh of one vertex per texel.

        Args:
            face: With a displacement map; without one the surface has the
                fixed displacement only.
            texture: (1, 3, T, T), see :meth:`bake_texture`, for the colours.

        Raises:
            ValueError: If the model has no detail.
        """
        if self.surface is None:
            raise ValueError('A dense mesh needs '
                             f'{self.missing("detail")}.')
        vertices = to_batch(face.vertices, self.renderer.faces.device)
        points = self._dense.vertices(vertices, face.displacement)
        colors = None if texture is None else self._dense.colors(texture)
        return DenseMesh(
            points[0].cpu().numpy(), self._dense.faces,
            None if colors is None else colors[0].cpu().numpy())
