# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Benchmark of the image encoders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmark_cases import Case, check_same
from mmengine.config import Config

from mmtvface.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
TINY = 'configs/temporal_deca/temporal-deca_tiny_1xb8-quickstart_synthetic.py'
LITE = 'configs/lite_deca/lite-deca_r50_1xb2-coarse_face-clips.py'
SMALL = ('configs/lite_deca/'
         'lite-deca_r18w32_1xb12-1800_synthtv-packaged-112.py')
FULL = 'configs/temporal_deca/temporal-deca_r50_1xb2-coarse_face-clips.py'


def encoder_section() -> list[Case]:
    """Encoders on a clip of 5 frames, forward and in training."""
    clip = torch.rand(1, 5, 3, 224, 224, generator=torch.manual_seed(0))
    single = MODELS.build(dict(type='ResNetEncoder', depth=50)).eval()
    settings = Config.fromfile(ROOT / TINY).model.encoder
    small = clip[..., :128, :128]
    temporal = {}
    for op in ('auto', 'compiled'):
        torch.manual_seed(0)
        temporal[op] = MODELS.build({**settings, 'deform_op': op})

    def training(op: str) -> Callable[[], Any]:
        encoder = temporal[op].train()
        weights = [p for p in encoder.parameters() if p.requires_grad]
        return lambda: torch.autograd.grad(
            encoder(small).square().mean(), weights, allow_unused=True)

    @torch.no_grad()
    def together() -> torch.Tensor:
        return single(clip)

    @torch.no_grad()
    def frame_by_frame() -> torch.Tensor:
        return torch.cat([single(clip[:, [i]]) for i in range(5)], 1)

    check_same('ResNetEncoder', together(), frame_by_frame(), 1e-3)
    return [
        Case('ResNetEncoder-50, 5 frames of 224', together,
             'ResNetEncoder-50, frame by frame'),
        Case('ResNetEncoder-50, frame by frame', frame_by_frame),
        Case('small TemporalResNet + backward, 5 frames of 128',
             training('auto'),
             'small TemporalResNet + backward, compiled deformable op'),
        Case('small TemporalResNet + backward, compiled deformable op',
             training('compiled')),
    ]


def temporal_section() -> list[Case]:
    """The full-size temporal encoder, forward."""
    clip = torch.rand(1, 5, 3, 224, 224, generator=torch.manual_seed(0))
    settings = Config.fromfile(ROOT / FULL).model.encoder
    settings.spynet_pretrained = None
    encoders = {}
    for op in ('auto', 'compiled'):
        torch.manual_seed(0)
        encoders[op] = MODELS.build({**settings, 'deform_op': op}).eval()

    @torch.no_grad()
    def forward(op: str) -> torch.Tensor:
        return encoders[op](clip)

    check_same('TemporalResNet', forward('auto'), forward('compiled'), 1e-3)
    name = 'TemporalResNet-50 forward, 5 frames of 224'
    lite = MODELS.build(Config.fromfile(ROOT / LITE).model.encoder).eval()

    @torch.no_grad()
    def forward_lite() -> torch.Tensor:
        return lite(clip)

    return [
        Case('LiteTemporalEncoder-50 forward, 5 frames of 224', forward_lite,
             name),
        Case(name, lambda: forward('auto'),
             f'{name}, compiled deformable op'),
        Case(f'{name}, compiled deformable op', lambda: forward('compiled')),
    ]


def stream_section() -> list[Case]:
    """The packaged network on a live stream: codes and head of each frame."""
    config = Config.fromfile(ROOT / SMALL).model
    config.update(losses=None, renderer=None, texture=None)
    config.encoder.branches = ('forward', 'forward')
    torch.manual_seed(0)
    model = MODELS.build(config).eval()
    frames = torch.rand(8, 1, 3, 112, 112)
    streams: dict[str, Any] = dict(state=None, index=0)

    @torch.no_grad()
    def codes_to_head(features: torch.Tensor) -> torch.Tensor:
        codes = model.layout.split(model.regressor(features[:, None])[:, 0])
        return model.decode(codes)['vertices']

    @torch.no_grad()
    def step() -> torch.Tensor:
        index = streams['index'] = (streams['index'] + 1) % len(frames)
        features, streams['state'] = model.encoder.step(
            frames[index], streams['state'])
        return codes_to_head(features)

    @torch.no_grad()
    def window() -> torch.Tensor:
        return codes_to_head(model.encoder(frames[:5].transpose(0, 1))[:, -1])

    state = None
    with torch.no_grad():
        for frame in frames[:5]:
            features, state = model.encoder.step(frame, state)
    check_same('stream', codes_to_head(features), window(), 1e-4)
    name = 'stream of 112 pixels: lite encoder, codes, head of a frame'
    return [
        Case(name, step, 'the same by a window of 5 for each frame'),
        Case('the same by a window of 5 for each frame', window),
    ]
