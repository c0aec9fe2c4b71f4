# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Texture of a head: the image where it shows the face, albedo elsewhere."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from mmtvface.geometry.lighting import sh_shading
from mmtvface.geometry.mesh import vertex_normals
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.renderers.mesh_renderer import GRAY, MeshRenderer
from mmtvface.renderers.uv_mapper import UVMapper

from .overlay import pixels_to_ndc3d, to_batch, visible_window
from .texture_fill import (
    apply_gain,
    color_gain,
    mesh_adjacency,
    nearest_covered,
    soften,
)
from .uv_seams import SeamCloser

_DIM = .05  # light that is left to albedo whose shading is wrong
_STEEP = (.25, .65)  # cosines to the view between which the image fades in


def renderer_topology(renderer: MeshRenderer) -> HeadTopology:
    """The UV map of a renderer, with its face mask and no displacement."""
    mask = F.interpolate(renderer.uv_face_eye_mask, size=(256, 256),
                         mode='bilinear', antialias=True)
    mask = mask[0, 0].double().cpu().numpy()
    return HeadTopology(
        renderer.faces.cpu().numpy(), renderer.uv_coords.double().cpu(
            ).numpy(), renderer.uv_faces.cpu().numpy(), mask, mask,
        np.zeros_like(mask))


def _resize(maps: torch.Tensor, size: int) -> torch.Tensor:
    if maps.shape[-1] == size:
        return maps
    return F.interpolate(maps, size=(size, size), mode='bilinear',
                         antialias=True)


class TextureBaker:
    """Makes textures for meshes from the frames they were found in.

    Inside of the face-and-eyes mask the texture is the frame itself, where
    the surface faces the camera and nothing hides it. Elsewhere (hair and
    ears are not reconstructed, so that the frame does not fit the mesh there)
    it is the model's albedo, *lit by the frame's light* so that both parts
    show the same thing: the texture holds the light of the frame and is meant
    to be shown unlit. What the light model misses is corrected by a colour
    gain that is smooth over the mesh (:mod:`.texture_fill`), and the two
    parts fade into one another over two rings of triangles and with the slope
    of the surface; steps of the albedo at the seams of the UV map are closed
    (:mod:`.uv_seams`). Hence there is no step, neither at the border of
    what is seen nor at seams. Seen from the frame's camera the face
    keeps its pixels.

    Args:
        renderer: With a UV map.
        size: Side T of the textures in texels.
    """

    def __init__(self, renderer: MeshRenderer, size: int = 512) -> None:
        self.renderer = renderer
        self.size = size
        self.mapper = UVMapper(renderer_topology(renderer), size).to(
            renderer.faces.device)
        self.mapper.rasterizer = renderer.rasterizer
        self.seams = SeamCloser(self.mapper, renderer.uv_faces)
        covered = self.mapper.covered
        self.padding = torch.from_numpy(
            nearest_covered(covered.cpu().numpy())).to(covered.device)
        self.in_face = _resize(renderer.uv_face_eye_mask, size) > .5
        self.count = int(renderer.faces.max()) + 1
        self.adjacency = mesh_adjacency(
            renderer.faces.cpu().numpy(), self.count)

    def pad(self, maps: torch.Tensor) -> torch.Tensor:
        """Continue (B, C, T, T) maps over the borders of the charts."""
        return maps.flatten(2).index_select(2, self.padding).view_as(maps)

    @torch.no_grad()
    def bake(self, image: np.ndarray, vertices: np.ndarray,
             vertices_image: np.ndarray,
             albedo: torch.Tensor | None = None,
             light: torch.Tensor | None = None,
             normal_offsets: torch.Tensor | None = None) -> torch.Tensor:
        """Make the texture of one frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            vertices: (V, 3) metres, model space.
            vertices_image: (V, 3) pixel indices and depth in pixels.
            albedo: (1, 3, S, S) of the model; None: grey, which the gain
                brings to the colour of the face.
            light: (1, 9, 3) spherical harmonics; None: unlit.
            normal_offsets: (1, 3, S, S) the detail, for the light.

        Returns:
            (1, 3, T, T) RGB in [0, 1], without empty texels.
        """
        fill = self._fill(vertices, albedo, light, normal_offsets)
        window = visible_window(vertices_image, image.shape[:2])
        if window is None:
            return self.pad(fill.clamp(0, 1))
        part, points = self._reduce(image, vertices_image, window)
        ndc = to_batch(pixels_to_ndc3d(points, part.shape[:2]), fill.device)
        # Those of the mesh itself, turned like the camera: NDC of an image
        # that is no square would bend them.
        normals = vertex_normals(to_batch(vertices, fill.device),
                                 self.mapper.faces)
        normals = normals * normals.new_tensor([1., -1., -1.])
        seen = self.mapper.image_to_uv(
            to_batch(part, fill.device).permute(0, 3, 1, 2) / 255, ndc,
            normals, fragments=self.renderer.rasterizer(
                ndc, self.renderer.faces, (self.size, self.size)))
        usable = (seen.visibility > 0) & self.in_face
        weights = self._weights(usable, -normals[0, :, 2])
        means = self._vertex_means(torch.cat([seen.texture, fill], 1), usable)
        gain = color_gain(means[:, :3], means[:, 3:], weights,
                          self.adjacency)
        both = np.concatenate([gain, weights[:, None]], 1)
        both = self.mapper.to_uv(to_batch(both, fill.device))
        mixed = torch.lerp(apply_gain(fill, both[:, :3]), seen.texture,
                           both[:, 3:])
        return self.pad(mixed.clamp(0, 1))

    def _fill(self, vertices: np.ndarray, albedo: torch.Tensor | None,
              light: torch.Tensor | None,
              offsets: torch.Tensor | None) -> torch.Tensor:
        """What is shown where the image is not used, (1, 3, T, T)."""
        points = to_batch(vertices, self.renderer.faces.device)
        if albedo is None:
            return points.new_full((1, 3, self.size, self.size), GRAY)
        fill = self.seams.close(_resize(albedo, self.size))
        if light is None:
            return fill
        normals = self.mapper.to_uv(
            vertex_normals(points, self.renderer.faces))
        if offsets is not None:
            normals = normals + _resize(offsets, self.size)
        shading = sh_shading(normals.flatten(2).mT, light).mT
        return fill * shading.unflatten(2, fill.shape[2:]).clamp(min=_DIM)

    def _reduce(self, image: np.ndarray, points: np.ndarray,
                window: tuple[int, int, int, int]
                ) -> tuple[np.ndarray, np.ndarray]:
        """The window, not much finer than the texture, and its points."""
        left, top, right, bottom = window
        part = image[top:bottom, left:right]
        points = points - np.array([left, top, 0.])
        factor = max(part.shape[:2]) / self.size
        if factor > 1:
            rows, columns = (max(1, round(side / factor))
                             for side in part.shape[:2])
            zoom = np.array([columns / part.shape[1], rows / part.shape[0],
                             1 / factor])
            part = cv2.resize(part, (columns, rows),
                              interpolation=cv2.INTER_AREA)
            points = (points + .5) * zoom - [.5, .5, .5 * zoom[2]]
        return part, points

    def _weights(self, usable: torch.Tensor,
                 cosine: torch.Tensor) -> np.ndarray:
        """How far each vertex takes its colour from the image, (V,).

        Zero at every vertex with a texel around it that cannot be used, so
        that all texels of positive weight can.

        Args:
            usable: (1, 1, T, T) bool.
            cosine: (V,) of the angle between normal and view.
        """
        mapper = self.mapper
        lost = ~usable.flatten()[mapper.texels]
        touched = mapper.texel_vertices[lost][
            mapper.texel_weights[lost] > 1e-4]
        whole = cosine.new_zeros(self.count)
        whole[mapper.texel_vertices.flatten()] = 1
        whole[touched] = 0
        low, high = _STEEP
        ramp = ((cosine[:self.count] - low) / (high - low)).clamp(0, 1)
        ramp = ramp * ramp * (3 - 2 * ramp)
        weights = (whole * ramp).double().cpu().numpy()
        return soften(weights, self.adjacency)

    def _vertex_means(self, maps: torch.Tensor,
                      usable: torch.Tensor) -> np.ndarray:
        """Means (V, C) of maps (1, C, T, T) over usable texels at vertices."""
        mapper = self.mapper
        kept = usable.flatten()[mapper.texels]
        index = mapper.texel_vertices[kept].flatten()
        weight = mapper.texel_weights[kept].flatten().double()
        colors = maps[0].flatten(1)[:, mapper.texels[kept]].mT.double()
        rows = colors.repeat_interleave(3, 0) * weight[:, None]
        total = rows.new_zeros(self.count, rows.shape[1]).index_add(
            0, index, rows)
        norm = weight.new_zeros(self.count).index_add(0, index, weight)
        return (total / norm.clamp(min=1e-9)[:, None]).cpu().numpy()
