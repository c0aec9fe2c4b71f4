# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The detail branch: wrinkles on top of a coarse reconstruction."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from mmengine.model import BaseModule

from mmtvface.geometry.alignment import align_rigid
from mmtvface.geometry.lighting import sh_shading
from mmtvface.geometry.mesh import vertex_normals
from mmtvface.heads import HeadAssets, fill
from mmtvface.heads.assets import HeadSpec
from mmtvface.models.encoders import RestoredEncoder
from mmtvface.models.encoders.flow import Flows
from mmtvface.registry import MODELS
from mmtvface.renderers.detail_surface import SurfaceMaps
from mmtvface.utils.checks import check_shape

from .loss_needs import SHADED
from .uv_targets import sample_surface

JAW = slice(3, 6)


def _fill(config: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    """A config with what follows from the other parts, unless given."""
    return {**defaults, **config}


@MODELS.register_module()
class DetailBranch(BaseModule):
    """From clips to displacement maps and the shading of what they move.

    encoder and regressor regress a code of every frame that holds the person's
    detail; decoder makes a displacement map of it, the jaw pose and the
    expression, so that wrinkles follow the face (DECA, Feng et al., SIGGRAPH
    2021, section 4.2). What the parts share (lengths of codes, sizes of
    maps) is filled into their configs, unless given.

    Args:
        encoder: Config. Either an encoder of clips of its own, such as
            ``ResNetEncoder`` or ``TemporalResNet`` (with
            ``with_flow='given'`` it takes the flows of the coarse encoder,
            with True it has a SPyNet of its own), or a
            ``SharedTrunkEncoder`` on the coarse encoder's trunk.
        regressor: Config of the :class:`DetailHead`.
        decoder: Config of the :class:`DetailDecoder`.
        surface: Config of the :class:`DetailSurface`.
        head: The head; a reconstructor fills it in.
        num_expression: Length of the expression code; a reconstructor fills
            it in.
        trunk_channels: Of the coarse encoder's trunk; likewise.
        occlusion: Also leave out texels behind another part of the head when
            images are sampled for the losses; off in the published training.
        init_cfg: See mmengine's ``BaseModule``.

    Attributes:
        size: Side S of the maps, texels.
        takes_flows: Whether flows of the coarse encoder are needed.

    Raises:
        ValueError: If the parts do not fit.
    """

    def __init__(self,
                 encoder: dict,
                 regressor: dict,
                 decoder: dict,
                 surface: dict,
                 head: HeadAssets | HeadSpec = 'procedural',
                 num_expression: int = 50,
                 trunk_channels: int | None = None,
                 occlusion: bool = False,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.occlusion = occlusion
        kind = encoder['type']
        kind = MODELS.get(kind) if isinstance(kind, str) else kind
        self.shares_trunk = getattr(kind, 'shares_trunk', False)
        if self.shares_trunk:
            encoder = _fill(encoder, in_channels=trunk_channels)
        elif issubclass(kind, RestoredEncoder):
            raise ValueError(
                'DetailBranch: clips are restored once, by the coarse '
                'encoder; give the encoder behind the restorer, without a '
                'RestoredEncoder.')
        self.encoder = MODELS.build(encoder)
        self.takes_flows = getattr(self.encoder, 'with_flow', False) == 'given'
        self.regressor = MODELS.build(
            _fill(regressor, in_channels=self.encoder.out_channels))
        self.surface = MODELS.build(fill(surface, MODELS, head=head))
        self.size = self.surface.size
        self.decoder = MODELS.build(
            _fill(decoder, num_detail=self.regressor.num_detail,
                  num_condition=3 + num_expression, size=self.size))
        for name, own, other, value in (
            ('in_channels', 'regressor', 'encoder.out_channels',
             self.encoder.out_channels),
            ('num_detail', 'decoder', 'regressor.num_detail',
             self.regressor.num_detail),
            ('num_condition', 'decoder', 'jaw and expression',
             3 + num_expression),
            ('size', 'decoder', 'surface.size', self.size)):
            given = getattr(getattr(self, own), name)
            if given != value:
                raise ValueError(
                    f'DetailBranch: {own}.{name} is {given}, but {other} '
                    f'makes it {value}; leave it out of the config.')

    def encode(self, clips: torch.Tensor, flows: Flows | None,
               maps: torch.Tensor) -> torch.Tensor:
        """Detail codes.

        Args:
            clips: (n, t, 3, H, W) RGB [0, 1], as the coarse encoder's trunk
                sees them.
            flows: Of the coarse encoder, used if ``takes_flows``.
            maps: (n * t, C, h, w) of the coarse encoder's trunk, used by a
                shared trunk.

        Returns:
            (n, t, num_detail) float32.
        """
        if self.shares_trunk:
            return self.encode_maps(maps.unflatten(0, clips.shape[:2]))
        if self.takes_flows:
            return self._regress(self.encoder(clips, flows))
        return self._regress(self.encoder(clips))

    def encode_maps(self, maps: torch.Tensor) -> torch.Tensor:
        """Detail codes of a branch that shares the trunk.

        Args:
            maps: (n, t, C, h, w) of the coarse encoder's trunk.

        Returns:
            (n, t, num_detail) float32.
        """
        features = self.encoder(maps.flatten(0, 1))
        return self._regress(features.unflatten(0, maps.shape[:2]))

    def _regress(self, features: torch.Tensor) -> torch.Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return self.regressor(features.float())

    def decode(self, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Displacement maps.

        Args:
            codes: ``pose`` (B, 6), ``exp`` (B, E) and ``detail``
                (B, num_detail), float32.

        Returns:
            (B, 1, S, S) metres along the normal.
        """
        return self.decoder(codes['pose'][:, JAW], codes['exp'],
                            codes['detail'])

    def shade(self, displacement: torch.Tensor, maps: SurfaceMaps | None,
              light: torch.Tensor, albedo: torch.Tensor | None,
              needed: Collection[str]) -> dict[str, torch.Tensor]:
        """The detailed surface in the atlas.

        Args:
            displacement: (c * B, 1, S, S), copy by copy.
            maps: Coarse surface of B heads, if it is needed.
            light: (B, 9, 3).
            albedo: (B, 3, S, S), for ``uv_images``.
            needed: Keys of the result; only they and what leads to them
                are computed.

        Returns:
            ``uv_normals``, ``uv_shading`` and ``uv_images``
            (c * B, 3, S, S) each.

        Raises:
            ValueError: If the albedo has another size.
        """
        wanted = SHADED & set(needed)
        outputs: dict[str, torch.Tensor] = {}
        if wanted:
            outputs['uv_normals'] = self.surface.normals(displacement, maps)
        if not wanted - {'uv_normals'}:
            return outputs
        copies = len(displacement) // len(light)
        shading = sh_shading(outputs['uv_normals'].flatten(2).mT,
                             light.repeat(copies, 1, 1))
        outputs['uv_shading'] = shading.mT.unflatten(2, (self.size, ) * 2)
        if 'uv_images' in wanted:
            check_shape(
                f'The albedo (detail.surface.size is {self.size}, '
                'texture.size must be the same)', albedo,
                (len(light), 3, self.size, self.size))
            shading = outputs['uv_shading'].unflatten(0, (copies, -1))
            outputs['uv_images'] = (albedo * shading).flatten(0, 1)
        return outputs

    def sample(self, images: torch.Tensor, masks: torch.Tensor | None,
               maps: SurfaceMaps, cam: torch.Tensor,
               vertices_ndc: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the images show of the coarse surface.

        Args:
            images: (B, 3, H, W) RGB [0, 1].
            masks: (B, 1, H, W) or None.
            maps: Of B heads.
            cam: (B, 3).
            vertices_ndc: (B, V, 3).

        Returns:
            ``uv_images`` (B, 3, S, S) and ``uv_visibility`` (B, 1, S, S)
            0..1, zero outside of the face and the eyes.
        """
        mapper = self.surface.mapper
        normals = vertex_normals(vertices_ndc, mapper.faces)
        colors, visibility = sample_surface(
            images, masks, maps, cam, mapper.to_uv(normals[..., 2:]))
        visibility = visibility * self.surface.uv_face_eye_mask
        if self.occlusion:
            visibility = visibility * mapper.image_to_uv(
                images[:, :1], vertices_ndc).visibility
        return dict(uv_images=colors, uv_visibility=visibility)

    def true_normals(self, vertices: torch.Tensor, displacement: torch.Tensor,
                     onto: torch.Tensor) -> torch.Tensor:
        """Normals of the true surface, in the frame of the predicted head.

        Args:
            vertices: (B, V, 3) true head, metres.
            displacement: (B, 1, S, S) true detail, metres.
            onto: (B, V, 3) predicted head, onto which the true one is moved
                rigidly: the pose is not a matter of the detail.

        Returns:
            (B, 3, S, S).
        """
        moved = align_rigid(vertices.double(), onto.double()).to(onto.dtype)
        return self.surface.normals(displacement, self.surface.maps(moved))
