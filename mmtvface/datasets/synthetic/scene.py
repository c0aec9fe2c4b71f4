# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Render the head of a synthetic clip and put the picture together."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from mmtvface.geometry.camera import ndc_to_pixel, project
from mmtvface.heads import FLAME, FLAMETexture, HeadAssets, load_head
from mmtvface.heads.assets import HeadSpec
from mmtvface.renderers import DetailSurface, MeshRenderer, UVMapper
from mmtvface.renderers.mesh_renderer import picture_layers
from mmtvface.structures import FlameCodeLayout

from .hair import hair_color, hair_texture, hair_weight
from .performance import Identity
from .wrinkles import WrinkleModel

_PEOPLE_KEPT = 256


class Picture(NamedTuple):
    """A rendered head without its background.

    Attributes:
        color: (t, H, W, 3) float32 RGB 0..1, multiplied by the opacity.
        opacity: (t, H, W, 1) float32 0..1, soft at the outline.
        skin: (t, H, W) float32 0..1, the face and eyes without hair.
    """

    color: np.ndarray
    opacity: np.ndarray
    skin: np.ndarray


class Heads(NamedTuple):
    """Posed heads of a clip.

    Attributes:
        vertices: (t, V, 3) metres, model space.
        landmarks: (t, 68, 3) metres, with the dynamic contour.
        shown: (t, V, 3) the vertices with the gaze of the eyes.
    """

    vertices: torch.Tensor
    landmarks: torch.Tensor
    shown: torch.Tensor


def pose_heads(flame: FLAME, codes: Mapping[str, torch.Tensor],
               eyes: torch.Tensor | None = None) -> Heads:
    """Heads of the codes (t, C) shape, exp, pose; eye poses (t, 6)."""
    arguments = codes['shape'], codes['exp'], codes['pose']
    out = flame(*arguments)
    shown = out.vertices
    if eyes is not None:
        shown = flame(*arguments, eye_pose=eyes).vertices
    return Heads(out.vertices, out.landmarks2d, shown)


def build_flame(head: HeadAssets | HeadSpec,
                layout: FlameCodeLayout) -> FLAME:
    """A head model that takes codes of these lengths, not to be trained."""
    return FLAME(head, layout.shape, layout.exp).requires_grad_(False)


class HeadScene:
    """Head model, albedo and renderer for synthetic clips, on the CPU.

    It is built in the process that uses it and is never pickled.

    Args:
        head: The head, see :func:`mmtvface.heads.load_head`.
        layout: Lengths of the codes.
        image_size: Side S of the image in pixels.
        supersample: Render that many times larger and average.
        hair: Paint hair on the scalp.
        rasterizer: Of :class:`mmtvface.renderers.MeshRenderer`.
        wrinkles: Changes to :class:`WrinkleConfig`; None: smooth skin.
        detail_size: Side of the displacement maps, texels.

    """

    def __init__(self, head: HeadAssets | HeadSpec = 'procedural',
                 layout: FlameCodeLayout | None = None,
                 image_size: int = 224, supersample: int = 1,
                 hair: bool = True, rasterizer: str = 'auto',
                 wrinkles: Mapping[str, Any] | None = None,
                 detail_size: int = 256):
        head, layout = load_head(head), layout or FlameCodeLayout()
        # Texels about as small as pixels
        uv_map = 128 if image_size * supersample <= 128 else 256
        self.size = image_size
        self.supersample = supersample
        self.hair = hair
        self.uv_map = uv_map
        self.flame = build_flame(head, layout)
        self.texture = FLAMETexture(
            head, layout.tex, uv_map).requires_grad_(False)
        self.renderer = MeshRenderer(
            head, image_size * supersample, uv_map, rasterizer)
        self.mapper = UVMapper(head, uv_map) if hair else None
        self.scalp = head.scalp
        self._people: OrderedDict[str, tuple] = OrderedDict()
        self._creases: OrderedDict[str, torch.Tensor] = OrderedDict()
        neutral = self._neutral(np.zeros(layout.shape))
        template = neutral.vertices[0].numpy()
        height = template[:, 1]
        # The lower end of the neck: the last tenth of the head's height
        low = height.min() + .05 * (height.max() - height.min())
        self.neck = torch.from_numpy(np.flatnonzero(height <= low))
        self.wrinkles = self.surface = None
        if wrinkles is not None:
            self.surface = DetailSurface(
                head, detail_size, rasterizer, faceted=False)
            self.wrinkles = WrinkleModel(
                self.surface, neutral.vertices[0], neutral.landmarks[0],
                head.expression_names, wrinkles)

    def _neutral(self, shape: np.ndarray) -> Heads:
        """The neutral head of a person, t = 1."""
        codes = torch.as_tensor(shape, dtype=torch.float32)[None]
        out = self.flame(codes, codes.new_zeros(1, self.flame.num_expression),
                         codes.new_zeros(1, 6))
        return Heads(out.vertices, out.landmarks2d, out.vertices)

    def person(self, identity: Identity) -> tuple[torch.Tensor,
                                                  torch.Tensor | None]:
        """Albedo (1, 3, A, A) with hair and weight of the hair (1, 1, A, A).

        The last ones are kept: people appear in many clips.
        """
        if identity.name in self._people:
            self._people.move_to_end(identity.name)
            return self._people[identity.name]
        albedo = self.texture(
            torch.as_tensor(identity.tex, dtype=torch.float32)[None])
        albedo, weight = albedo.clamp(0, 1), None
        if self.hair:
            neutral = self._neutral(identity.shape)
            weight = hair_weight(
                neutral.vertices[0].double().numpy(),
                neutral.landmarks[0].double().numpy(), identity.style,
                self.scalp)
            weight = self.mapper.to_uv(
                torch.from_numpy(weight).float()[None, :, None])
            strands = hair_color(identity.style)[:, None, None] * (
                hair_texture(identity.style, self.uv_map))
            albedo = torch.lerp(
                albedo, torch.from_numpy(strands).float()[None], weight)
        _remember(self._people, identity.name, (albedo, weight))
        return albedo, weight

    @torch.no_grad()
    def displacement(self, identity: Identity,
                     expression: torch.Tensor) -> torch.Tensor | None:
        """Wrinkles of a person, (t, 1, D, D) metres; None for smooth skin.

        Args:
            identity: The person.
            expression: (t, C) coefficients.
        """
        if self.wrinkles is None:
            return None
        if identity.name not in self._creases:
            _remember(self._creases, identity.name,
                      self.wrinkles.patterns(identity))
        return self.wrinkles.displacement(
            self._creases[identity.name],
            self.wrinkles.strengths(identity, expression))

    def render(self, heads: Heads, cam: torch.Tensor, light: torch.Tensor,
               identity: Identity,
               displacement: torch.Tensor | None = None) -> Picture:
        """Render the frames of a clip in one call.

        Args:
            heads: t heads.
            cam: (t, 3).
            light: (t, 9, 3).
            identity: The person.
            displacement: See :meth:`displacement`.
        """
        albedo, hair = self.person(identity)
        frames = len(cam)
        offsets = None if displacement is None else (
            self.surface.normal_offsets(
                displacement, self.surface.maps(heads.shown)))
        out = self.renderer.render(
            heads.shown, project(heads.shown, cam),
            albedo.expand(frames, -1, -1, -1), light, normal_offsets=offsets)
        layers = picture_layers(out)
        if hair is not None:
            layers[:, 4:] *= 1 - F.grid_sample(
                hair.expand(frames, -1, -1, -1), out.uv_grid,
                align_corners=False)
        if self.supersample > 1:
            layers = F.avg_pool2d(layers.contiguous(), self.supersample)
        layers = layers.movedim(1, -1).contiguous().numpy()
        if self.supersample == 1:
            layers = soften_outline(layers)
        return Picture(layers[..., :3], layers[..., 3:4], layers[..., 4])

    def neck_pixels(self, heads: Heads, cam: torch.Tensor) -> np.ndarray:
        """Centre x, y and width of the neck's end in pixels: (t, 3)."""
        ring = project(heads.vertices[:, self.neck], cam)[..., :2]
        pixels = ndc_to_pixel(ring, self.size)
        low, high = pixels.amin(1), pixels.amax(1)
        return torch.stack([(low[:, 0] + high[:, 0]) / 2, high[:, 1],
                            high[:, 0] - low[:, 0]], -1).numpy()

    def skin_color(self, identity: Identity) -> np.ndarray:
        """Mean albedo of the face, (3,) RGB 0..1."""
        albedo, hair = self.person(identity)
        weight = F.interpolate(self.renderer.uv_face_eye_mask,
                               size=albedo.shape[-2:])
        if hair is not None:
            weight = weight * (1 - hair)
        total = weight.sum().clamp(min=1)
        return ((albedo * weight).sum((0, 2, 3)) / total).numpy()


def _remember(kept: OrderedDict, name: str, value: Any) -> None:
    """Keep a value; the oldest go where there are too many."""
    while len(kept) >= _PEOPLE_KEPT:
        kept.popitem(last=False)
    kept[name] = value


def soften_outline(layers: np.ndarray) -> np.ndarray:
    """Blur the steps of a hard outline over one pixel; the inside stays.

    Args:
        layers: (t, H, W, 5) float32: colour (zero outside), opacity 0 or 1,
            skin.

    Returns:
        The same with soft opacity and with colours multiplied by it.
    """
    out = []
    for frame in layers:
        near = cv2.blur(np.ascontiguousarray(frame[..., :4]), (3, 3))
        near = np.where(near[..., 3:] < 1 - 1e-4, near, frame[..., :4])
        out.append(np.concatenate([near, frame[..., 4:]], -1))
    return np.stack(out)


def compose(picture: Picture, backgrounds: np.ndarray) -> np.ndarray:
    """Put a head over backgrounds (t, H, W, 3) uint8 -> uint8."""
    mixed = picture.color * 255
    mixed += (1 - picture.opacity) * backgrounds
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def canvas_size(size: int) -> int:
    """Side of a background that a window of ``size`` may pan over."""
    return math.ceil(1.25 * size)
