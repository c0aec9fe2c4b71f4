# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The detail branch: wrinkles on top of a coarse reconstruction."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule

from mmtvface.geometry.alignment import align_rigid
from mmtvface.geometry.camera import project
from mmtvface.geometry.mesh import FACING_TEXTURE, vertex_normals
from mmtvface.models.encoders import (
    ClipEncoder,
    RestoredEncoder,
    SharedTrunkEncoder,
)
from mmtvface.models.encoders.flow import Flows
from mmtvface.registry import MODELS
from mmtvface.renderers.detail_surface import SurfaceMaps

JAW = slice(3, 6)


def _fill(config: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    """A config with what follows from the other parts, unless given."""
    return {**defaults, **config}


@MODELS.register_module()
class DetailBranch(BaseModule):
    """From clips to displacement maps and the shading of what they move.

    encoder and head regress a code of every frame that holds the person's
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
        head: Config of the :class:`DetailHead`.
        decoder: Config of the :class:`DetailDecoder`.
        surface: Config of the :class:`DetailSurface`; its topology must be
            that of the head model.
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
                 head: dict,
                 decoder: dict,
                 surface: dict,
                 num_expression: int = 50,
                 trunk_channels: int | None = None,
                 occlusion: bool = False,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.occlusion = occlusion
        kind = encoder['type']
        kind = MODELS.get(kind) if isinstance(kind, str) else kind
        self.shares_trunk = issubclass(kind, SharedTrunkEncoder)
        if self.shares_trunk:
            encoder = _fill(encoder, in_channels=trunk_channels)
        elif issubclass(kind, RestoredEncoder):
            raise ValueError(
                'DetailBranch: clips are restored once, by the coarse '
                'encoder; give the encoder behind the restorer, without a '
                'RestoredEncoder.')
        self.encoder = MODELS.build(encoder)
        self.takes_flows = (isinstance(self.encoder, ClipEncoder)
                            and self.encoder.with_flow == 'given')
        self.head = MODELS.build(
            _fill(head, in_channels=self.encoder.out_channels))
        self.surface = MODELS.build(surface)
        self.size = self.surface.size
        self.decoder = MODELS.build(
            _fill(decoder, num_detail=self.head.num_detail,
                  num_condition=3 + num_expression, size=self.size))
        for name, own, other, value in (
            ('in_channels', 'head', 'encoder.out_channels',
             self.encoder.out_channels),
            ('num_detail', 'decoder', 'head.num_detail',
             self.head.num_detail),
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
            return self.head(features.float())

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

    def sample(self, images: torch.Tensor, masks: torch.Tensor | None,
               maps: SurfaceMaps, cam: torch.Tensor,
               vertices_ndc: torch.Tensor
               ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the images show of the coarse surface.

        As in DECA (Feng et al., SIGGRAPH 2021, section 4.2): a texel counts
        as far as its pixels are in the mask and in the image, if its normal
        faces the camera. Nothing tests whether something else stands before
        it, unless the branch has the option ``occlusion``.

        Args:
            images: (B, 3, H, W) RGB [0, 1].
            masks: (B, 1, H, W) 0..1, skin; None: all pixels.
            maps: The surface of B heads.
            cam: (B, 3), see :func:`mmtvface.geometry.camera.project`.
            vertices_ndc: (B, V, 3).

        Returns:
            The images' colours (B, 3, S, S), meaningful where visible, and
            the visibility (B, 1, S, S) 0..1, zero outside of the face and
            the eyes.
        """
        if masks is None:
            masks = images.new_ones(len(images), 1, *images.shape[-2:])
        # The projection is linear: that of the texels needs no other maps.
        ndc = project(maps.positions.flatten(2).mT, cam)
        sampled = F.grid_sample(
            torch.cat([images, masks], 1),
            ndc[..., :2].unflatten(1, maps.positions.shape[-2:]),
            align_corners=False)
        # Of the projected vertices: normals of the maps have other lengths
        # on tiny triangles, so that some texels would fall on the other side
        # of the threshold. Empty texels have none: zero faces nobody.
        mapper = self.surface.mapper
        normals = vertex_normals(vertices_ndc, mapper.faces)
        facing = mapper.to_uv(normals[..., 2:]) < FACING_TEXTURE
        visibility = (sampled[:, 3:] * facing
                      * self.surface.uv_face_eye_mask)
        if self.occlusion:
            visibility = visibility * mapper.image_to_uv(
                images[:, :1], vertices_ndc).visibility
        return sampled[:, :3], visibility

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
