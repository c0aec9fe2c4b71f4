# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Clips to FLAME codes, trained by analysis through synthesis."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import nn

from mmtvface.geometry.camera import project
from mmtvface.heads import HeadAssets, fill, load_head, modern_model
from mmtvface.heads.assets import HeadSpec
from mmtvface.heads.old_spelling import rename_old_weights
from mmtvface.models.encoders import ClipEncoder
from mmtvface.models.losses import LocatedLandmarkLoss
from mmtvface.models.losses.base_loss import compute_losses
from mmtvface.models.losses.temporal import relative_deviation
from mmtvface.models.outputs import CoarseOutputs, DetailOutputs
from mmtvface.models.targets import DetailTargets, Targets
from mmtvface.registry import MODELS
from mmtvface.structures import FaceClipSample, FlameCodeLayout

from .loss_guard import LossGuard

STAGES = ('coarse', 'detail')


@MODELS.register_module()
class TemporalDECA(BaseModel):
    """Reconstruction of face clips, coarse and in detail.

    encoder and regressor regress codes for every frame; FLAME, the camera, the
    albedo model and the renderer turn them into what the losses compare
    with the input (DECA, Feng et al., SIGGRAPH 2021, with the temporal
    encoder of "Learning to Reconstruct 3D Faces by Watching TV"). Pretraining
    is this model with landmark losses only: what no loss reads is not
    computed (see :mod:`mmtvface.models.outputs`), so nothing is rendered.

    A detail branch adds displacement maps. It is trained in a stage of its
    own, in which everything else is frozen: without gradients and in
    evaluation mode, batch norm included. In the coarse stage it is the branch
    that is frozen, and only predicts. Weights go from stage to stage by
    mmengine's ``load_from``.

    Everything behind the encoder runs in float32, under mixed precision too.

    Args:
        encoder: Config; clips (n, t, 3, H, W) -> features (n, t, C).
        regressor: Config of a :class:`FLAMEHead`; features -> code vectors
            (n, t, total). ``in_channels`` is taken from the encoder if
            absent.
        head: The head, see :func:`mmtvface.heads.load_head`. All parts that
            need one get it from here.
        flame: Config of the layer that poses the head, default ``FLAME``.
        texture: Config of the albedo maps; only needed by losses on rendered
            colours.
        renderer: Config of the renderer; only needed by losses on renders
            and for overlays.
        losses: Name -> config; each appears as ``loss_{name}``. None or
            ``loss_weight=0`` switches one off (for config inheritance). A
            model without losses can only predict.
        stage: ``'coarse'`` or ``'detail'``: what is trained.
        shape_consistency: Append every clip once more with the shape codes
            of its frames permuted (clips of one frame are not doubled).
        detail: Config of the :class:`DetailBranch`, if there is one.
        detail_consistency: The same as ``shape_consistency`` for the detail
            codes, in the detail stage.
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
        ValueError: If an option has no effect with the parts given.
    """

    def __init__(self,
                 encoder: dict,
                 regressor: dict | None = None,
                 head: HeadAssets | HeadSpec = 'procedural',
                 flame: dict | None = None,
                 texture: dict | None = None,
                 renderer: dict | None = None,
                 losses: Mapping[str, dict | None] | None = None,
                 stage: str = 'coarse',
                 shape_consistency: bool = False,
                 detail: dict | None = None,
                 detail_consistency: bool = False,
                 skip_nonfinite: bool = False,
                 image_size: int = 224,
                 data_preprocessor: dict | nn.Module | None = None,
                 init_cfg: dict | list | None = None) -> None:
        parts = modern_model(dict(
            regressor=regressor or {}, head=head, flame=flame or {},
            texture=texture, renderer=renderer, detail=detail))
        head = load_head(parts['head'])

        def build(config: Mapping[str, Any]) -> nn.Module:
            return MODELS.build(fill(config, MODELS, head=head,
                                     image_size=image_size))

        if not isinstance(data_preprocessor, nn.Module):
            # The base class looks in mmengine's registry, which only finds
            # types of the current default scope.
            data_preprocessor = build(data_preprocessor or dict(
                type='mmtvface.FaceClipDataPreprocessor'))
        super().__init__(data_preprocessor, init_cfg)
        if stage not in STAGES:
            raise ValueError(f'TemporalDECA: stage must be one of {STAGES}, '
                             f'but it is {stage!r}.')
        self.stage = stage
        self.shape_consistency = shape_consistency
        self.detail_consistency = detail_consistency
        self.skip_nonfinite = skip_nonfinite
        self.image_size = image_size
        self.encoder = MODELS.build(encoder)
        self.regressor = MODELS.build(dict(
            dict(in_channels=self.encoder.out_channels), **parts['regressor']))
        self.layout: FlameCodeLayout = self.regressor.layout
        self.flame = build(dict(dict(type='mmtvface.FLAME'),
                                **parts['flame']))
        if self.regressor.feedback:
            self.regressor.watch(self.flame)
        self.texture, self.renderer = (
            build(parts[name]) if parts[name] else None
            for name in ('texture', 'renderer'))
        self.losses = nn.ModuleDict({
            name: MODELS.build(config)
            for name, config in (losses or {}).items()
            if config and config.get('loss_weight') != 0})
        self.detail = self._build_detail(
            dict(parts['detail'], head=head)) if detail else None
        self._guard = LossGuard()
        self._check_parts()
        for part in self._frozen_parts():
            part.requires_grad_(False).eval()

    def _build_detail(self, detail: Mapping[str, Any]) -> nn.Module:
        if (not isinstance(self.encoder, ClipEncoder)
                or self.encoder.trunk_channels is None):
            raise ValueError(
                'TemporalDECA: next to a detail branch the encoder must be a '
                f'ClipEncoder, but it is a {type(self.encoder).__name__}.')
        shared = dict(num_expression=self.layout.exp,
                      trunk_channels=self.encoder.trunk_channels)
        branch = MODELS.build({**shared, **detail})
        if branch.takes_flows and self.encoder.with_flow is not True:
            raise ValueError(
                "TemporalDECA: the detail encoder's with_flow='given' takes "
                'the flows of the coarse encoder, but that has with_flow='
                f'{self.encoder.with_flow!r}.')
        return branch

    def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor],
                              prefix: str, *args: Any) -> None:
        rename_old_weights(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _check_parts(self) -> None:
        if self.stage == 'detail' and self.detail is None:
            raise ValueError("TemporalDECA: stage='detail' needs a branch: "
                             "detail=dict(type='DetailBranch', ...).")
        for option, stage in (('shape_consistency', 'coarse'),
                              ('detail_consistency', 'detail')):
            if getattr(self, option) and stage != self.stage:
                raise ValueError(f"TemporalDECA: {option} needs stage="
                                 f"'{stage}', but it is '{self.stage}'.")
        if self.shape_consistency and self.regressor.shape_mode != 'frame':
            raise ValueError(
                'TemporalDECA: shape_consistency exchanges the shape codes of '
                "a clip's frames, but the regressor's shape_mode makes them "
                'equal: use one or the other.')
        self._check_located()

    def _check_located(self) -> None:
        """Raise where located landmarks are read that nobody trains."""
        encoder = self.encoder
        clips = isinstance(encoder, ClipEncoder)
        if self.regressor.feedback and not (clips and encoder.with_landmarks):
            raise ValueError(
                'TemporalDECA: the feedback of the regressor reads landmarks '
                'that the encoder locates, but it locates none; configure '
                'encoder=dict(with_landmarks=True) or leave it out.')
        if not self.losses or self.stage == 'detail':
            return
        needed = ['located_landmarks'] * bool(self.regressor.feedback)
        if clips and encoder.close_looks:
            needed = ['located_landmarks', 'located_first']
        trained = {loss.source for loss in self.losses.values()
                   if isinstance(loss, LocatedLandmarkLoss)}
        if lacking := [name for name in needed if name not in trained]:
            raise ValueError(
                f'TemporalDECA: no loss trains {lacking}, which the feedback '
                'of the head or the close looks of the encoder read; add '
                "losses=dict(name=dict(type='LocatedLandmarkLoss', source="
                f"'{lacking[0]}')).")

    def _frozen_parts(self) -> list[nn.Module]:
        """What the stage does not train."""
        if self.stage == 'coarse':
            return [self.detail] if self.detail is not None else []
        trained = ('detail', 'losses', 'data_preprocessor')
        return [part for name, part in self.named_children()
                if name not in trained]

    def train(self, mode: bool = True) -> 'TemporalDECA':
        """Set the mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def forward(self,
                inputs: torch.Tensor,
                data_samples: Sequence[FaceClipSample] | None = None,
                mode: str = 'tensor') -> Any:
        """Run the model.

        Args:
            inputs: (n, t, 3, H, W) RGB [0, 1].
            data_samples: n samples; needed for ``'loss'`` only.
            mode: ``'tensor'``: code vectors (n, t, total). ``'predict'``: list
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
        """Code vectors (n, t, total), float32, of clips (n, t, 3, H, W)."""
        return self._regress(self.encoder(inputs))

    def _regress(self, features: torch.Tensor) -> torch.Tensor:
        # Codes do not survive half precision: a bfloat16 camera scale of 9
        # has steps of 0.7 %, which are jitter in a video.
        with torch.autocast(features.device.type, enabled=False):
            return self.regressor(features.float())

    def encode_with_detail(
            self, inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Code vectors and detail codes, with everything shared done once.

        Args:
            inputs: (n, t, 3, H, W) RGB [0, 1].

        Returns:
            (n, t, total) and (n, t, num_detail), float32; None without a
            detail branch.
        """
        flat, detail, _ = self._encode(inputs)
        return flat, detail

    def _encode(self, inputs: torch.Tensor, with_detail: bool = True
                ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Code vectors, detail codes, features of the coarse encoder."""
        encoder, trained = self.encoder, self.stage == 'coarse'
        with torch.set_grad_enabled(torch.is_grad_enabled() and trained):
            if self.detail is None or not with_detail:
                features = encoder(inputs)
                return self._regress(features), None, features
            clips = encoder.prepare(inputs)
            flows = encoder.compute_flows(clips)
            maps = encoder.trunk(clips, flows)
            features = encoder.stages(maps).unflatten(0, inputs.shape[:2])
            flat = self._regress(features)
        return flat, self.detail.encode(clips, flows, maps), features

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

    def surface(self, codes: Mapping[str, torch.Tensor]
                ) -> dict[str, torch.Tensor]:
        """:meth:`decode` without ``vertices_ndc``, and the detail.

        A ``detail`` code adds ``displacement`` (B, 1, S, S), metres.
        """
        fields = self.decode(codes)
        del fields['vertices_ndc']
        if 'detail' in codes:
            fields['displacement'] = self.detail.decode(codes)
        return fields

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
            ``pred_cam``, float32; with a detail branch also
            ``pred_codes['detail']`` and ``pred_displacement``; with a
            regressor that knows it ``pred_landmark_sigma`` (t, 68), the
            expected error of each landmark in NDC.
        """
        flat, detail, features = self._encode(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            codes = self.layout.split(flat.flatten(0, 1))
            if detail is not None:
                codes['detail'] = detail.flatten(0, 1)
            fields = self.surface(codes)
            log_sigma = self.regressor.landmark_log_sigma(features.float())
            if log_sigma is not None:
                fields['landmark_sigma'] = log_sigma.flatten(0, 1).exp()
        shape = inputs.shape[:2]
        codes, fields = (
            {key: value.unflatten(0, shape) for key, value in part.items()}
            for part in (codes, fields))
        results = [FaceClipSample() for _ in inputs] if (
            data_samples is None) else [x.new() for x in data_samples]
        for index, result in enumerate(results):
            result.pred_codes = {
                key: code[index] for key, code in codes.items()}
            result.pred_cam = codes['cam'][index]
            for key, value in fields.items():
                result.set_data({f'pred_{key}': value[index]})
        return results

    def loss(self, inputs: torch.Tensor,
             data_samples: Sequence[FaceClipSample] | None
             ) -> dict[str, torch.Tensor]:
        """Losses of a batch, and diagnostics (whose keys lack "loss").

        Args:
            inputs: (n, t, 3, H, W) RGB [0, 1].
            data_samples: n samples with ground truth.

        Returns:
            ``loss_{name}`` of each loss, weighted; ``shape_spread``, or
            ``detail_spread`` in the detail stage: the standard deviation of
            the code within the clips over its norm.

        Raises:
            ValueError: If there are no losses, or one reads what model or
                data do not have.
            FloatingPointError: If a code or a loss is not finite.
        """
        if not self.losses or data_samples is None:
            raise ValueError('TemporalDECA: training needs losses=dict(...) '
                             'in the configuration and data samples.')
        flat, detail, features = self._encode(
            inputs, with_detail=self.stage == 'detail')
        with torch.autocast(inputs.device.type, enabled=False):
            if detail is None:
                outputs = CoarseOutputs(self, inputs, flat, features)
                targets = Targets(inputs, data_samples, self.flame,
                                  outputs.num_copies)
            else:
                outputs = DetailOutputs(self, flat, detail)
                targets = DetailTargets(inputs, data_samples, self.flame,
                                        self.detail, outputs)
            losses = compute_losses(self.losses, outputs, targets)
        losses = self._guard(
            losses, [flat] if detail is None else [flat, detail],
            data_samples, self.parameters(), self.skip_nonfinite)
        if detail is None:
            losses['shape_spread'] = relative_deviation(
                self.layout.split(flat)['shape'])
        else:
            losses['detail_spread'] = relative_deviation(detail)
        return losses
