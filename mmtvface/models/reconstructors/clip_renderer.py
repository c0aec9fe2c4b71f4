# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Clips that are rendered where the model is trained."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

from mmtvface.geometry.camera import project
from mmtvface.registry import MODELS
from mmtvface.renderers.mesh_renderer import picture_layers

from .data_preprocessor import FaceClipDataPreprocessor

_COARSE = 5  # cells along the side of a background


@MODELS.register_module()
class ClipRenderer(FaceClipDataPreprocessor):
    """Renders the clips of a batch on the device of the model.

    A GPU draws thousands of frames in the time that a core needs for ten, and
    pictures that are made there need not be copied. So the data set gives
    codes only (``SyntheticFaceClipDataset(render=False)``), and all clips of a
    batch are rendered in one call. They are plainer than those of the data
    set: smooth backgrounds, no hair, shoulders or occluders; gain, cast,
    blur and noise differ between clips. Batches with images pass unchanged.

    Args:
        flame: Config of the head model.
        texture: Config of the albedo model.
        renderer: Config of the renderer; its image size is that of the
            frames.
        supersample: Render larger by this factor and average.
        gain: Standard deviation of a clip's gain and of its colours' gains.
        noise: Largest standard deviation of the noise of a clip, of 1.
        non_blocking: As for :class:`FaceClipDataPreprocessor`.

    Raises:
        ValueError: If the renderer's images are not squares.
    """

    def __init__(self, flame: Mapping[str, Any], texture: Mapping[str, Any],
                 renderer: Mapping[str, Any], supersample: int = 2,
                 gain: float = .12, noise: float = .03,
                 non_blocking: bool = False) -> None:
        super().__init__(non_blocking)
        self.flame, self.texture, self.renderer = (
            MODELS.build(dict(config)).requires_grad_(False)
            for config in (flame, texture, renderer))
        self.size = self.renderer.image_size
        if not isinstance(self.size, int):
            raise ValueError('ClipRenderer draws squares, but the '
                             f"renderer's image_size is {self.size}.")
        self.supersample, self.gain, self.noise = supersample, gain, noise

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Make a batch.

        Args:
            data: ``data_samples`` with ``gt_codes`` (t, C) of shape, tex,
                exp, pose, cam and light, all of one t; or a batch with
                ``inputs``. A clip has the albedo of its first frame.
            training: Has no effect; the data set decides what is rendered.

        Returns:
            ``inputs`` (n, t, 3, H, W) float32 RGB [0, 1] and
            ``data_samples``, which have ``gt_masks`` (t, 1, H, W) now.

        Raises:
            ValueError: If the batch is not as described.
        """
        samples = data.get('data_samples')
        if 'inputs' in data or not samples:
            return super().forward(data, training)
        samples = self.cast_data(samples)
        codes = {name: torch.stack([s.gt_codes[name] for s in samples])
                 for name in samples[0].gt_codes}
        images, masks = self.draw(codes)
        for sample, mask in zip(samples, masks, strict=True):
            sample.gt_masks = mask
            sample.set_metainfo(dict(image_size=(self.size, self.size)))
        return dict(inputs=images, data_samples=samples)

    @torch.no_grad()
    def draw(self, codes: Mapping[str, torch.Tensor]
             ) -> tuple[torch.Tensor, torch.Tensor]:
        """Render clips, recorded by cameras of all kinds.

        Args:
            codes: (n, t, C) each, (n, t, 9, 3) of light.

        Returns:
            (n, t, 3, H, W) RGB [0, 1] and (n, t, 1, H, W) skin, 0..1.
        """
        with torch.autocast(codes['cam'].device.type, enabled=False):
            layers = self.heads(codes)
            color, opacity, skin = layers.split([3, 1, 1], 2)
            images = color + (1 - opacity) * self._backgrounds(color)
            return self._video(images), skin.contiguous()

    def heads(self, codes: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Heads without background.

        Args:
            codes: See :meth:`draw`.

        Returns:
            (n, t, 5, H, W) 0..1: RGB multiplied by the opacity, opacity,
            skin.
        """
        clips, frames = codes['cam'].shape[:2]
        flat = {name: code.flatten(0, 1) for name, code in codes.items()}
        vertices = self.flame(
            flat['shape'], flat['exp'], flat['pose']).vertices
        albedo = self.texture(codes['tex'][:, 0])
        layers = picture_layers(self.renderer.render(
            vertices, project(vertices, flat['cam']),
            albedo.repeat_interleave(frames, 0), flat['light'],
            image_size=self.size * self.supersample))
        return F.avg_pool2d(layers, self.supersample).unflatten(
            0, (clips, frames))

    def _backgrounds(self, like: torch.Tensor) -> torch.Tensor:
        """A smooth picture for each of the clips, (n, 1, 3, H, W)."""
        coarse = torch.rand(len(like), 3, _COARSE, _COARSE,
                            device=like.device)
        return F.interpolate(coarse, like.shape[-2:], mode='bicubic',
                             align_corners=True).clamp(0, 1)[:, None]

    def _video(self, images: torch.Tensor) -> torch.Tensor:
        """What cameras do to clips: gain, cast, blur and noise."""
        clips = len(images)

        def draw(*shape: int, normal: bool = True) -> torch.Tensor:
            make = torch.randn if normal else torch.rand
            return make(clips, *shape, 1, 1, device=images.device)

        gains = 1 + self.gain * (draw(1, 1) + .3 * draw(1, 3))
        flat = images.flatten(0, 1)
        soft = F.interpolate(
            F.avg_pool2d(flat, 2, ceil_mode=True), flat.shape[-2:],
            mode='bilinear').view_as(images)
        images = gains * torch.lerp(images, soft, draw(1, 1, normal=False))
        strength = self.noise * draw(1, 1, normal=False)
        return (images + strength * torch.randn_like(images)).clamp(0, 1)
