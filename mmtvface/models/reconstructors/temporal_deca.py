# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Clips to FLAME codes, trained by analysis through synthesis."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from torch import nn
from torch.nn import functional as F

from mmtvface.geometry.camera import project
from mmtvface.geometry.lighting import sh_shading
from mmtvface.registry import MODELS
from mmtvface.structures import FaceClipSample, FlameCodeLayout

from .clip_targets import clip_names, gather_targets, repeat_targets
from .shape_exchange import append_exchanged, random_exchange

# Outputs that only a render can give.
RENDERED = frozenset({
    'rendered_images', 'alpha', 'face_mask', 'albedo_images', 'shading',
    'overlay_images', 'normals', 'depth'
})
# Outputs that need the albedo map.
TEXTURED = frozenset(
    {'albedo', 'rendered_images', 'albedo_images', 'overlay_images'})


@MODELS.register_module()
class TemporalDECA(BaseModel):
    """Coarse reconstruction of face clips.

    encoder and head regress codes for every frame; FLAME, the camera, the
    albedo model and the renderer turn them into what the losses compare
    with the input (DECA, Feng et al., SIGGRAPH 2021, with the temporal
    encoder of "Learning to Reconstruct 3D Faces by Watching TV"). Pretraining
    is this model with landmark losses only: what no loss reads is not
    computed, so nothing is rendered then.

    Everything behind the encoder runs in float32, under mixed precision too.

    Args:
        encoder: Config; clips (n, t, 3, H, W) -> features (n, t, C).
        head: Config; features -> flat codes (n, t, total). ``in_channels``
            is taken from the encoder if absent.
        flame: Config of the head model.
        texture: Config of the albedo model; only needed by losses on
            rendered colours.
        renderer: Config of the renderer; only needed by losses on renders
            and for overlays.
        losses: Name -> config; each appears as ``loss_{name}``. None or
            ``loss_weight=0`` switches one off (for config inheritance). A
            model without losses can only predict.
        stage: ``'coarse'``.
        shape_consistency: Append every clip once more with the shape codes
            of its frames permuted (clips of one frame are not doubled).
        skip_nonfinite: A batch whose losses are not finite gives zero
            gradients and a warning that names the clips, instead of stopping
            the training (momentum still moves the weights).
            Codes that are not finite always stop it: they have already
            spoilt the running statistics of the encoder.
        image_size: Side of the square crops that the model is trained on,
            for those who make crops for it. Other sizes are accepted.
        data_preprocessor: Config, default :class:`FaceClipDataPreprocessor`.
        init_cfg: See mmengine's ``BaseModule``.

    Raises:
        ValueError: If a loss needs a part that is not configured, or an
            option has no effect with the parts given.
    """

    def __init__(self,
                 encoder: dict,
                 head: dict,
                 flame: dict,
                 texture: dict | None = None,
                 renderer: dict | None = None,
                 losses: Mapping[str, dict | None] | None = None,
                 stage: str = 'coarse',
                 shape_consistency: bool = False,
                 skip_nonfinite: bool = False,
                 image_size: int = 224,
                 data_preprocessor: dict | nn.Module | None = None,
                 init_cfg: dict | list | None = None) -> None:
        if data_preprocessor is None:
            data_preprocessor = dict(type='FaceClipDataPreprocessor')
        if isinstance(data_preprocessor, Mapping):
            # The base class looks in mmengine's registry, which only finds
            # types of the current default scope.
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor, init_cfg)
        if stage != 'coarse':
            raise ValueError("TemporalDECA: stage must be 'coarse', but it is "
                             f'{stage!r}.')
        self.stage = stage
        self.shape_consistency = shape_consistency
        self.skip_nonfinite = skip_nonfinite
        self.image_size = image_size
        self.encoder = MODELS.build(encoder)
        head = dict(head)
        head.setdefault('in_channels', self.encoder.out_channels)
        self.head = MODELS.build(head)
        self.layout: FlameCodeLayout = self.head.layout
        self.flame = MODELS.build(flame)
        self.texture = MODELS.build(texture) if texture else None
        self.renderer = MODELS.build(renderer) if renderer else None
        self.losses = nn.ModuleDict({
            name: MODELS.build(config)
            for name, config in (losses or {}).items()
            if config and config.get('loss_weight') != 0
        })
        self._check_parts()

    def _check_parts(self) -> None:
        needed = self._needed_outputs()
        for part, keys in (('renderer', RENDERED), ('texture', TEXTURED)):
            if needed & keys and getattr(self, part) is None:
                readers = [
                    name for name, loss in self.losses.items()
                    if keys & set(loss.requires)
                ]
                raise ValueError(
                    f'TemporalDECA: the losses {readers} need a {part}; '
                    f'configure {part}=dict(...) or leave them out.')
        if (self.shape_consistency
                and getattr(self.head, 'shape_mode', 'frame') == 'clip'):
            raise ValueError(
                'TemporalDECA: shape_consistency exchanges the shape codes of '
                "a clip's frames, but the head's shape_mode='clip' makes them "
                'equal: use one or the other.')

    def _needed_outputs(self) -> set[str]:
        return {key for loss in self.losses.values() for key in loss.requires}

    def forward(self,
                inputs: torch.Tensor,
                data_samples: Sequence[FaceClipSample] | None = None,
                mode: str = 'tensor') -> Any:
        """Run the model.

        Args:
            inputs: (n, t, 3, H, W) RGB [0, 1].
            data_samples: n samples; needed for ``'loss'`` only.
            mode: ``'tensor'``: flat codes (n, t, total). ``'predict'``: list
                of n :class:`FaceClipSample` with ``pred_*`` fields.
                ``'loss'``: dict of scalar losses.

        Raises:
            ValueError: If the mode is unknown.
            FloatingPointError: If a code or a loss is not finite.
        """
        if mode == 'tensor':
            return self.encode(inputs)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        raise ValueError("mode must be 'tensor', 'predict' or 'loss', but it "
                         f'is {mode!r}.')

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Flat codes (n, t, total), float32, of clips (n, t, 3, H, W)."""
        features = self.encoder(inputs)
        # Codes do not survive half precision: a bfloat16 camera scale of 9
        # has steps of 0.7 %, which are jitter in a video.
        with torch.autocast(inputs.device.type, enabled=False):
            return self.head(features.float())

    def decode(self, codes: Mapping[str, torch.Tensor]
               ) -> dict[str, torch.Tensor]:
        """Geometry of frames in model space and in the image.

        Args:
            codes: Name -> (B, C), float32.

        Returns:
            ``vertices`` (B, V, 3) metres; ``vertices_ndc`` (B, V, 3),
            ``landmarks2d`` (B, 68, 2) and ``landmarks3d`` (B, 68, 3) NDC.
        """
        head = self.flame(codes['shape'], codes['exp'], codes['pose'])
        cam = codes['cam']
        return dict(
            vertices=head.vertices,
            vertices_ndc=project(head.vertices, cam),
            landmarks2d=project(head.landmarks2d, cam)[..., :2],
            landmarks3d=project(head.landmarks3d, cam))

    def render(self, codes: Mapping[str, torch.Tensor],
               geometry: Mapping[str, torch.Tensor],
               albedo: torch.Tensor | None,
               image_size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """Images of frames, keyed as losses name them.

        Args:
            codes: Name -> (B, C); the light is read.
            geometry: See :meth:`decode`.
            albedo: (B, 3, S, S), or None for masks and normals only.
            image_size: (H, W).

        Returns:
            (B, C, H, W) each: ``rendered_images``, ``albedo_images`` and
            ``shading`` (with an albedo), ``alpha``, ``face_mask``,
            ``normals``, ``depth``; ``uv_grid`` (B, H, W, 2).
        """
        out = self.renderer.render(
            geometry['vertices'],
            geometry['vertices_ndc'],
            albedo,
            codes['light'] if albedo is not None else None,
            image_size=image_size)
        images = dict(
            rendered_images=out.image,
            albedo_images=out.albedo,
            shading=out.shading,
            alpha=out.alpha,
            face_mask=out.face_mask,
            normals=out.normals,
            depth=out.depth,
            uv_grid=out.uv_grid)
        return {key: value for key, value in images.items()
                if value is not None}

    def predict(self,
                inputs: torch.Tensor,
                data_samples: Sequence[FaceClipSample] | None = None
                ) -> list[FaceClipSample]:
        """Reconstruct clips.

        Args:
            inputs: (n, t, 3, H, W) RGB [0, 1].
            data_samples: n samples to be completed (they are not changed).

        Returns:
            n samples with ``pred_codes`` (light (t, 9, 3)),
            ``pred_vertices``, ``pred_landmarks2d``, ``pred_landmarks3d`` and
            ``pred_cam``, float32.
        """
        shape = inputs.shape[:2]
        flat = self.encode(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            codes = self.layout.split(flat.flatten(0, 1))
            geometry = self.decode(codes)
        codes = {key: code.unflatten(0, shape) for key, code in codes.items()}
        geometry = {
            key: value.unflatten(0, shape)
            for key, value in geometry.items()
        }
        if data_samples is None:
            data_samples = [FaceClipSample() for _ in range(len(inputs))]
        results = []
        for index, sample in enumerate(data_samples):
            result = sample.new()
            result.pred_codes = {
                key: code[index]
                for key, code in codes.items()
            }
            result.pred_cam = codes['cam'][index]
            for key in ('vertices', 'landmarks2d', 'landmarks3d'):
                result.set_data({f'pred_{key}': geometry[key][index]})
            results.append(result)
        return results

    def loss(self, inputs: torch.Tensor,
             data_samples: Sequence[FaceClipSample] | None
             ) -> dict[str, torch.Tensor]:
        """Losses of a batch, and diagnostics (whose keys lack "loss").

        Args:
            inputs: (n, t, 3, H, W) RGB [0, 1].
            data_samples: n samples with ground truth.

        Returns:
            ``loss_{name}`` of each loss, weighted; ``shape_spread``: the
            standard deviation of the shape code within the clips over its
            norm.

        Raises:
            ValueError: If there are no losses or targets are missing.
            FloatingPointError: If a code or a loss is not finite.
        """
        if not self.losses or data_samples is None:
            raise ValueError('TemporalDECA: training needs losses=dict(...) '
                             'in the configuration and data samples.')
        flat = self.encode(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            outputs, targets = self._compare(inputs, flat, data_samples)
            losses = {
                f'loss_{name}': loss(outputs, targets)
                for name, loss in self.losses.items()
            }
        losses = self._guard(losses, flat, data_samples)
        with torch.no_grad():
            shape = self.layout.split(flat)['shape']
            spread = (shape - shape.mean(1, keepdim=True)).square().sum(-1)
            norm = shape.square().sum(-1).mean().clamp(min=1e-12)
            losses['shape_spread'] = (spread.mean() / norm).sqrt()
        return losses

    def _compare(self, inputs: torch.Tensor, flat: torch.Tensor,
                 data_samples: Sequence[FaceClipSample]
                 ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Outputs and targets of all frames, doubled if asked for."""
        num_clips, num_frames = inputs.shape[:2]
        needed = self._needed_outputs()
        targets = gather_targets(
            inputs, data_samples,
            (key for loss in self.losses.values()
             for key in loss.requires_targets))
        codes = self.layout.split(flat.flatten(0, 1))
        # The albedo does not depend on the shape: once for all copies.
        albedo = (self.texture(codes['tex']) if needed & TEXTURED else None)
        copies = 2 if self.shape_consistency and num_frames > 1 else 1
        if copies == 2:
            codes = append_exchanged(codes,
                                     random_exchange(num_clips, num_frames))
            targets = repeat_targets(targets, copies)
        outputs = dict(
            codes=codes,
            num_frames=num_frames,
            num_copies=copies,
            **self.decode(codes))
        if albedo is not None:
            albedo = torch.cat([albedo] * copies) if copies > 1 else albedo
            outputs['albedo'] = albedo
        if needed & RENDERED:
            outputs.update(
                self.render(codes, outputs, albedo, tuple(inputs.shape[-2:])))
        if 'overlay_images' in needed:
            outputs['overlay_images'] = overlay_images(outputs,
                                                       targets['images'])
        return outputs, targets

    def _guard(self, losses: dict[str, torch.Tensor], flat: torch.Tensor,
               data_samples: Sequence[FaceClipSample]
               ) -> dict[str, torch.Tensor]:
        """Keep losses that are not finite away from the weights."""
        names = ['codes', *losses]
        # One synchronisation with the device for all terms. Losses on renders
        # alone stay finite without codes: such faces are not drawn.
        finite = torch.stack([
            flat.detach().isfinite().all(),
            *(value.detach().isfinite() for value in losses.values())
        ]).tolist()
        if all(finite):
            return losses
        bad = [name for name, ok in zip(names, finite, strict=True) if not ok]
        clips = clip_names(data_samples)
        broken = [
            clip for clip, ok in zip(
                clips,
                flat.detach().isfinite().flatten(1).all(1).tolist(),
                strict=True) if not ok
        ]
        message = (f'{bad} are not finite for the batch of clips {clips}; ' +
                   (f'the codes of {broken} are not finite either.' if broken
                    else 'the codes are finite.'))
        if broken or not self.skip_nonfinite:
            raise FloatingPointError(
                f'{message} Check these clips (images, landmarks), lower the '
                'learning rate or clip gradients. skip_nonfinite=True leaves '
                'out batches whose codes are finite.')
        MMLogger.get_current_instance().warning(f'Skipped a batch: {message}')
        # Zero gradients for every weight, so that distributed training stays
        # in step.
        zero = sum(0. * parameter.sum() for parameter in self.parameters()
                   if parameter.requires_grad)
        return {name: zero for name in losses}


def overlay_images(outputs: Mapping[str, torch.Tensor],
                   images: torch.Tensor) -> torch.Tensor:
    """The input with its face replaced by the shaded mesh.

    Albedo and light are constants, so that only the shape is seen by a loss
    on the overlay.

    Args:
        outputs: ``albedo`` (B, 3, S, S), ``uv_grid`` (B, H, W, 2),
            ``normals`` and ``face_mask`` (B, ., H, W), ``codes``.
        images: (B, 3, H, W) RGB [0, 1].

    Returns:
        (B, 3, H, W) RGB.
    """
    height, width = images.shape[-2:]
    light = outputs['codes']['light'].detach()
    normals = outputs['normals'].flatten(2).mT
    shading = sh_shading(normals, light).mT.unflatten(2, (height, width))
    albedo = F.grid_sample(
        outputs['albedo'].detach(), outputs['uv_grid'], align_corners=False)
    mask = outputs['face_mask']
    return albedo * shading * mask + images * (1 - mask)
