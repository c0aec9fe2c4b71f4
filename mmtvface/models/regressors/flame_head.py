# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Regressor from the features of frames to code vectors."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModule
from torch import nn

from mmtvface.heads import FLAME, LandmarkHead
from mmtvface.models.encoders import LandmarkLocator
from mmtvface.registry import MODELS
from mmtvface.structures import FlameCodeLayout
from mmtvface.utils.checks import check_count

from .landmark_feedback import LandmarkFeedback

SHAPE_MODES = ('frame', 'clip', 'confidence')
IDENTITY_CODES = ('shape', 'tex')
# The constant SH band contributes L0 / sqrt(4 pi) to the shading.
AMBIENT_SH = math.sqrt(4 * math.pi)
# A landmark error of 0.05 NDC, 6 pixels of 224, of a net that knows little.
INITIAL_LOG_SIGMA = math.log(.05)


class ClipMean(NamedTuple):
    """What the frames of a stream say together about the person.

    Attributes:
        codes: (n, 1, total), whose identity is their mean; the others mean
            nothing.
        logit: (n, 1, 1): logarithm of the sum of their weights.
    """

    codes: torch.Tensor
    logit: torch.Tensor


def share_over_clip(codes: torch.Tensor, layout: FlameCodeLayout,
                    names: Sequence[str],
                    weights: torch.Tensor) -> torch.Tensor:
    """Replace codes by their mean over the frames of the clip.

    Args:
        codes: (n, t, layout.total).
        layout: Names and sizes of the codes.
        names: The codes that are constant over a clip.
        weights: (n, t, 1) of the frames, sum 1 over t.

    Returns:
        (n, t, layout.total); the argument is unchanged.
    """
    parts = codes.split(list(layout.sizes.values()), -1)
    return torch.cat([
        (weights * part).sum(1, keepdim=True).expand_as(part)
        if name in names else part
        for name, part in zip(layout.sizes, parts, strict=True)
    ], -1)


def build_code_scale(
        layout: FlameCodeLayout,
        scales: Mapping[str, float | Sequence[float]]) -> torch.Tensor:
    """Vector (layout.total,) of the units of all codes, 1 by default.

    Raises:
        ValueError: If there is no such code, or a unit is not positive or
            has another number of entries than the code.
    """
    vector = torch.ones(layout.total)
    names = list(layout.sizes)
    parts = dict(zip(names, vector.split(list(layout.sizes.values())),
                     strict=True))
    for name, scale in scales.items():
        if name not in parts:
            raise ValueError(f'code_scale: there is no code {name!r}; the '
                             f'codes are {names}.')
        values = torch.as_tensor(scale, dtype=vector.dtype)
        if values.shape not in ((), parts[name].shape) or not (
                values > 0).all():
            raise ValueError(
                f'code_scale: {name!r} takes a positive number or '
                f'{len(parts[name])} of them, but it is {scale}.')
        parts[name].copy_(values)
    return vector


@MODELS.register_module()
class FLAMEHead(BaseModule):
    """Two-layer regressor of DECA (Feng et al., SIGGRAPH 2021, sec. 4.1).

    Linear, ReLU, Linear: ``layers.0`` and ``layers.2``, named as in the
    published encoder.

    Deviation: the last layer starts near zero with a bias that puts an
    average, evenly lit head in the middle of the crop, so that the first
    gradients of the landmark and photometric losses are useful. With
    ``init_cam=None, init_light=None, init_std=None`` it starts like DECA's.

    Args:
        in_channels: Length of the features of a frame.
        layout: The codes; a :class:`FlameCodeLayout`, its sizes as a dict,
            or None for the sizes of DECA (236 in all).
        hidden_channels: Width of the hidden layer.
        shape_mode: ``'frame'``: all codes of a frame come from that frame.
            ``'clip'``: the identity (shape and texture codes) is the mean
            over the frames of the clip, hence constant in it.
            ``'confidence'``: a mean whose weights (a softmax over the clip)
            it regresses too, so that a covered or blurred frame counts
            less; it starts as ``'clip'``.
        init_cam: Initial (scale in NDC units per metre, tx, ty in metres).
        init_light: Initial shading of the ambient light; 1 shows the
            albedo as it is.
        init_std: Standard deviation of the initial weights of the last
            layer; the bias is zero but for camera and light.
        code_scale: Name of a code -> the unit in which the last layer gives
            it, a number or one per entry; None (published): 1 for all. Codes
            differ in size (camera shifts are centimetres, given in metres),
            and an optimizer like Adam moves all outputs equally far a step,
            so units near the codes' standard deviations train much faster
            from scratch. Given units are part of the weights: a checkpoint
            brings its own, and does not load into a head without units (nor
            one without them into a head with units).
        landmark_uncertainty: Also regress how far each landmark may be off,
            see :meth:`landmark_log_sigma`; learnt by
            :class:`UncertainLandmarkLoss`.
        feedback: How often codes are corrected by how far they miss the
            landmarks that the encoder locates, see
            :class:`LandmarkFeedback`; needs an encoder with
            ``with_landmarks`` and :meth:`watch`.
        init_cfg: See mmengine's ``BaseModule``.

    Attributes:
        layout: The code layout.
        out_channels: ``layout.total``.
    """

    def __init__(self,
                 in_channels: int,
                 layout: FlameCodeLayout | Mapping[str, int] | None = None,
                 hidden_channels: int = 1024,
                 shape_mode: str = 'frame',
                 init_cam: Sequence[float] | None = (9.0, 0.0, 0.0),
                 init_light: float | None = 1.0,
                 init_std: float | None = 1e-3,
                 code_scale: Mapping[str, float | Sequence[float]]
                 | None = None,
                 landmark_uncertainty: bool = False,
                 feedback: int = 0,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if shape_mode not in SHAPE_MODES:
            raise ValueError(f'shape_mode must be one of {SHAPE_MODES}, but '
                             f'it is {shape_mode!r}.')
        if not isinstance(layout, FlameCodeLayout):
            layout = FlameCodeLayout(**(layout or {}))
        if init_cam is not None and len(init_cam) != layout.cam:
            raise ValueError(f'init_cam must have {layout.cam} entries, but '
                             f'it is {tuple(init_cam)}.')
        self.layout = layout
        self.in_channels = in_channels
        self.out_channels = layout.total
        self.shape_mode = shape_mode
        self.init_cam = init_cam
        self.init_light = init_light
        self.init_std = init_std
        check_count('feedback', feedback, 0)
        # What is located is for the feedback.
        own = in_channels - (LandmarkLocator.out_channels if feedback else 0)
        if own < 1:
            raise ValueError('feedback needs the features of an encoder with '
                             'with_landmarks=True.')
        self.layers = nn.Sequential(
            nn.Linear(own, hidden_channels), nn.ReLU(inplace=True),
            nn.Linear(hidden_channels, layout.total))
        self.confidence = None
        if shape_mode == 'confidence':
            self.confidence = nn.Linear(hidden_channels, 1)
        self.uncertainty = None
        if landmark_uncertainty:
            self.uncertainty = nn.Linear(hidden_channels, 68)
        self.feedback = nn.ModuleList(
            LandmarkFeedback(layout) for _ in range(feedback))
        self.landmark_head: LandmarkHead | None = None
        self.register_buffer(
            'code_scale', build_code_scale(layout, code_scale or {}),
            persistent=code_scale is not None)
        self._init_last_layer()

    def _init_last_layer(self) -> None:
        last = self.layers[2]
        if self.confidence is not None:
            nn.init.zeros_(self.confidence.weight)
            nn.init.zeros_(self.confidence.bias)
        for step in self.feedback:
            step.start()
        if self.uncertainty is not None:
            nn.init.zeros_(self.uncertainty.weight)
            nn.init.constant_(self.uncertainty.bias, INITIAL_LOG_SIGMA)
        with torch.no_grad():
            if self.init_std is not None:
                nn.init.normal_(last.weight, std=self.init_std)
                last.bias.zero_()
            # views into the bias
            bias = self.layout.split(last.bias)
            unit = self.layout.split(self.code_scale)
            if self.init_cam is not None:
                start = torch.tensor(self.init_cam).to(last.bias)
                bias['cam'].copy_(start / unit['cam'])
            if self.init_light is not None and self.layout.light:
                bias['light'].zero_()
                bias['light'][0] = (
                    self.init_light * AMBIENT_SH / unit['light'][0])

    def init_weights(self) -> None:
        """Set the last layer's start again, then run ``init_cfg``."""
        if not self.is_init:
            self._init_last_layer()
        super().init_weights()

    def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor],
                              prefix: str, *args: Any) -> None:
        # Raised here, since loading that is not strict would only warn.
        given = prefix + 'code_scale' in state_dict
        own = 'code_scale' not in self._non_persistent_buffers_set
        if given != own and f'{prefix}layers.2.weight' in state_dict:
            raise ValueError(
                'FLAMEHead: the weights were trained '
                f'{"with" if given else "without"} code_scale, but the config '
                f'gives {"one" if own else "none"}, so that all codes would '
                'be wrong. Use the config they were trained with.')
        if f'{prefix}feedback.{len(self.feedback)}.layers.0.bias' in (
                state_dict):
            raise ValueError(
                'FLAMEHead: the weights correct codes more often than the '
                f"config, whose head has feedback={len(self.feedback)}, so "
                'that the last corrections would be left out. Use the config '
                'they were trained with.')
        super()._load_from_state_dict(state_dict, prefix, *args)

    def watch(self, flame: FLAME) -> None:
        """Give the head model whose landmarks the feedback looks at.

        Raises:
            ValueError: If it does not fit the codes.
        """
        if not isinstance(flame, FLAME) or (
                flame.num_shape, flame.num_expression) != (
                    self.layout.shape, self.layout.exp):
            raise ValueError(
                'FLAMEHead: feedback needs a FLAME head with '
                f'{self.layout.shape} identity and {self.layout.exp} '
                'expression components, as many as there are codes.')
        self.landmark_head = LandmarkHead(flame)

    def hidden(self, features: torch.Tensor) -> torch.Tensor:
        """Hidden layer (..., hidden_channels) of features (..., C)."""
        return self.layers[:2](features[..., :self.layers[0].in_features])

    def _codes_of_frames(self, features: torch.Tensor
                         ) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes (n, t, total), logarithm of the confidence (n, t, 1)."""
        if self.feedback and self.landmark_head is None:
            raise RuntimeError('FLAMEHead: feedback looks at the landmarks of '
                               'a head model: call watch(flame) before.')
        hidden = self.hidden(features)
        codes = self.layers[2](hidden) * self.code_scale
        logits = torch.zeros_like(codes[..., :1]) if (
            self.confidence is None) else self.confidence(hidden)
        for step in self.feedback:
            flat, change = step(
                self.landmark_head, codes.flatten(0, 1),
                features.flatten(0, 1), self.code_scale)
            codes = flat.unflatten(0, codes.shape[:2])
            if self.confidence is not None:
                logits = logits + change.unflatten(0, codes.shape[:2])
        return codes, logits

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Regress the codes of every frame.

        Args:
            features: (n, t, in_channels).

        Returns:
            Code vectors (n, t, out_channels) in the order of the layout.

        Raises:
            ValueError: If the shape is another one.
        """
        return self.advance(features)[0]

    def advance(self, features: torch.Tensor, past: ClipMean | None = None
                ) -> tuple[torch.Tensor, ClipMean | None]:
        """Regress the codes of the next frames of streams.

        An identity that is shared is that of all frames up to these: that
        of the last frames is the one of the whole stream.

        Args:
            features: (n, t, in_channels).
            past: What the call before returned; None starts the streams.

        Returns:
            Code vectors (n, t, out_channels), and what these frames and those
            before them say together; None if they share nothing.

        Raises:
            ValueError: If the shape is another one.
        """
        if features.ndim != 3 or features.shape[-1] != self.in_channels:
            raise ValueError(
                f'features must have the shape (n, t, {self.in_channels}), '
                f'but it is {tuple(features.shape)}.')
        codes, logits = self._codes_of_frames(features)
        if self.shape_mode == 'frame' or not codes.shape[1]:
            return codes, past
        if past is not None:
            # All that was before is one more frame, of the weight of all.
            codes = torch.cat([past.codes, codes], 1)
            logits = torch.cat([past.logit, logits], 1)
        codes = share_over_clip(codes, self.layout, IDENTITY_CODES,
                                logits.softmax(1))
        past = ClipMean(codes[:, -1:], logits.logsumexp(1, keepdim=True))
        return codes[:, -features.shape[1]:], past

    def landmark_log_sigma(self, features: torch.Tensor
                           ) -> torch.Tensor | None:
        """Logarithm of the expected landmark errors, None without them.

        Args:
            features: (n, t, in_channels).

        Returns:
            (n, t, 68), of sigma in NDC.
        """
        if self.uncertainty is None:
            return None
        return self.uncertainty(self.hidden(features))
