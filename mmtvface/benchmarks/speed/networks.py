# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Benchmark of encoders, the detail branch and whole training steps."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmtvface.registry import MODELS

from .. import CHECKOUT
from .baselines import naive_mrf
from .cases import Case, check_same, with_gradient

TINY = 'configs/temporal_deca/temporal-deca_tiny_1xb8-quickstart_synthetic.py'
LITE = 'configs/lite_deca/lite-deca_r50_1xb2-coarse_face-clips.py'
SMALL = ('configs/lite_deca/'
         'lite-deca_r18w32_1xb12-1800_synthtv-packaged-112.py')
FULL = 'configs/temporal_deca/temporal-deca_r50_1xb2-coarse_face-clips.py'
STEPS = {
    'single-frame coarse step': 'deca/deca_r50_1xb2-coarse_face-clips.py',
    'single-frame detail step': 'deca/deca_r50_1xb2-detail_face-clips.py',
    'temporal coarse step':
    'temporal_deca/temporal-deca_r50_1xb2-coarse_face-clips.py',
    'temporal detail step':
    'temporal_deca/temporal-deca_r50_1xb2-detail_face-clips.py',
}


def encoder_section() -> list[Case]:
    """Encoders on a clip of 5 frames, forward and in training."""
    clip = torch.rand(1, 5, 3, 224, 224, generator=torch.manual_seed(0))
    single = MODELS.build(dict(type='ResNetEncoder', depth=50)).eval()
    settings = Config.fromfile(CHECKOUT / TINY).model.encoder
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
    settings = Config.fromfile(CHECKOUT / FULL).model.encoder
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
    lite = MODELS.build(Config.fromfile(CHECKOUT / LITE).model.encoder).eval()

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
    config = Config.fromfile(CHECKOUT / SMALL).model
    config.update(losses=None, renderer=None, texture=None)
    config.encoder.branches = ('forward', 'forward')
    torch.manual_seed(0)
    model = MODELS.build(config).eval()
    frames = torch.rand(8, 1, 3, 112, 112)
    streams: dict[str, Any] = dict(state=None, index=0)

    @torch.no_grad()
    def codes_to_head(features: torch.Tensor) -> torch.Tensor:
        codes = model.layout.split(model.head(features[:, None])[:, 0])
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


def detail_section() -> list[Case]:
    """Normals of displacement maps; the deformable convolution."""
    from mmtvface.geometry.grid_mesh import grid_faces, grid_normals
    from mmtvface.geometry.mesh import vertex_normals
    from mmtvface.heads.flame import FLAME
    from mmtvface.renderers import DetailSurface
    generator = torch.manual_seed(0)
    codes = [torch.randn(10, size, generator=generator) * scale
             for size, scale in ((100, 1.), (50, 1.), (6, .15))]
    surface = DetailSurface('procedural', 256)
    maps = surface.maps(FLAME('procedural')(*codes).vertices)
    waves = 1e-3 * torch.randn(10, 1, 256, 256, generator=generator)
    dense = surface.displace(waves, maps)
    faces = grid_faces(256, 256)

    def scattered(positions: torch.Tensor) -> torch.Tensor:
        normals = vertex_normals(positions.flatten(2).mT, faces)
        return normals.mT.unflatten(2, (256, 256))

    check_same('normals', (grid_normals(dense) - scattered(dense)).abs()
               .mean(), torch.zeros(()), 1e-5)
    mesh = f'vertex normals of the mesh of {len(faces)} triangles'
    return [
        Case('detail normals, 10 maps of 256', lambda: grid_normals(dense),
             mesh),
        Case(mesh, lambda: scattered(dense)),
        Case('detail normals + backward', with_gradient(grid_normals, dense),
             f'{mesh} + backward'),
        Case(f'{mesh} + backward', with_gradient(scattered, dense)),
        *_deformable_cases(generator),
    ]


def _deformable_cases(generator: torch.Generator) -> list[Case]:
    """The alignment's operator at the published size."""
    from mmcv.ops import ModulatedDeformConv2d

    from mmtvface.models.encoders.deform_conv import deform_conv
    side, groups = 112, 16
    conv = ModulatedDeformConv2d(128, 64, 3, padding=1, deform_groups=groups)
    inputs = [
        torch.randn(1, 128, side, side, generator=generator),
        3 * torch.randn(1, groups * 18, side, side, generator=generator),
        torch.rand(1, groups * 9, side, side, generator=generator)]

    def run(name: str) -> Callable[..., torch.Tensor]:
        return lambda *x: deform_conv(*x, conv, name)

    @torch.no_grad()
    def forward(name: str) -> torch.Tensor:
        return run(name)(*inputs)

    check_same('deformable op', forward('auto'), forward('compiled'), 1e-4)
    return [
        Case('deformable op, 128 channels of 112', lambda: forward('auto'),
             'compiled deformable op'),
        Case('compiled deformable op', lambda: forward('compiled')),
        Case('deformable op + backward', with_gradient(run('auto'), *inputs),
             'compiled deformable op + backward'),
        Case('compiled deformable op + backward',
             with_gradient(run('compiled'), *inputs)),
    ]


def mrf_section() -> list[Case]:
    """ID-MRF of feature maps, without the network."""
    from mmtvface.models.losses.mrf import patch_distance
    generator = torch.manual_seed(0)
    pred, target = (torch.randn(4, 256, 48, 48, generator=generator).relu()
                    for _ in range(2))

    def ours(x: torch.Tensor) -> torch.Tensor:
        return patch_distance(x, target).mean()

    def naive(x: torch.Tensor) -> torch.Tensor:
        return naive_mrf(x, target)

    check_same('ID-MRF', ours(pred), naive(pred), 1e-4)
    return [
        Case('ID-MRF of 4 x 2304 patches + backward',
             with_gradient(ours, pred),
             'ID-MRF, all matrices kept + backward'),
        Case('ID-MRF, all matrices kept + backward',
             with_gradient(naive, pred)),
    ]


def steps_section() -> list[dict[str, Any]]:
    """Whole training steps at (1, 5, 3, 224, 224), each in a process."""
    rows = []
    with tempfile.TemporaryDirectory(prefix='mmtvface_benchmark_') as folder:
        for name, config in STEPS.items():
            out = Path(folder) / 'step.json'
            done = subprocess.run(
                [sys.executable,
                 str(CHECKOUT / 'tools/analysis_tools/profile_step.py'),
                 str(CHECKOUT / 'configs' / config), '--size', '224',
                 '--out', str(out)],
                cwd=CHECKOUT, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f'{name}: {done.stderr[-2000:]}')
            result = json.loads(out.read_text())
            times = [1e3 * seconds for seconds in result['all_seconds']]
            rows.append(dict(
                name=f'{name}, 1 clip of 5 x 224', rounds=len(times),
                median_ms=1e3 * result['seconds'], min_ms=min(times),
                max_ms=max(times), baseline=None, ratio=None,
                peak_gib=result['peak_gib'],
                operators=result['operators'][:10]))
    return rows
