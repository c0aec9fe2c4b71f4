# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Benchmark of the head model, its albedo, rasterizers and UV maps."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from mmtvface.geometry.camera import project

from .baselines import naive_flame, naive_rasterize, naive_texture
from .cases import Case, check_same, with_gradient


def random_codes(batch: int) -> tuple[torch.Tensor, ...]:
    """Shape (B, 100), expression (B, 50) and pose (B, 6) codes."""
    generator = torch.Generator().manual_seed(0)
    shape, expression, pose = torch.randn(
        batch, 156, generator=generator).split([100, 50, 6], 1)
    return shape, expression, 0.15 * pose


def flame_section() -> list[Case]:
    """FLAME layer against broadcast sums."""
    from mmtvface.heads.flame import FLAME
    from mmtvface.heads.flame_io import load_head_model
    flame, codes = FLAME('procedural'), random_codes(10)
    many = random_codes(40)
    model = {key: torch.as_tensor(value) for key, value in vars(
        load_head_model('procedural')).items()}
    model = {key: value.float() if value.is_floating_point() else value
             for key, value in model.items()}
    naive = functools.partial(naive_flame, model)

    def ours(*codes: torch.Tensor) -> torch.Tensor:
        return flame(*codes).vertices

    check_same('FLAME', ours(*codes), naive(*codes), 1e-5)
    return [
        Case('FLAME, 40 heads', torch.no_grad()(lambda: ours(*many)),
             'broadcast FLAME, 40 heads'),
        Case('broadcast FLAME, 40 heads',
             torch.no_grad()(lambda: naive(*many))),
        Case('FLAME, 10 heads', lambda: ours(*codes), 'broadcast FLAME'),
        Case('broadcast FLAME', lambda: naive(*codes)),
        Case('FLAME + backward', with_gradient(ours, *codes),
             'broadcast FLAME + backward'),
        Case('broadcast FLAME + backward', with_gradient(naive, *codes)),
    ]


def texture_section() -> list[Case]:
    """Albedo against the (B, N, K) broadcast at 512 x 512, then resizing."""
    from mmtvface.heads.flame_texture import FLAMETexture, load_albedo
    code = 0.3 * torch.randn(10, 50, generator=torch.manual_seed(0))
    texture = FLAMETexture('procedural', size=256, clamp=False)
    mean, basis = (torch.as_tensor(np.ascontiguousarray(x))
                   for x in load_albedo('procedural', 50, 512))

    naive = functools.partial(naive_texture, mean, basis)
    check_same('texture', texture(code), naive(code), 1e-4)
    return [
        Case('FLAMETexture, 10 maps', lambda: texture(code),
             'broadcast texture'),
        Case('broadcast texture', lambda: naive(code)),
        Case('FLAMETexture + backward, 10 maps', with_gradient(texture, code),
             'broadcast texture + backward'),
        Case('broadcast texture + backward', with_gradient(naive, code)),
    ]


def rasterizers_section() -> list[Case]:
    """Rasterizers, rendering and UV maps of 10 heads at 224 x 224."""
    from mmtvface.heads.flame import FLAME
    from mmtvface.renderers import MeshRenderer, UVMapper, build_rasterizer
    size, batch = (224, 224), 10
    vertices = FLAME('procedural')(*random_codes(batch)).vertices
    ndc = project(vertices, torch.tensor([[9., 0., 0.]]).repeat(batch, 1))
    fast, plain = (MeshRenderer('procedural', rasterizer=name)
                   for name in ('numba', 'torch'))
    faces, numba = fast.faces, fast.rasterizer
    light = torch.rand(batch, 9, 3)
    albedo = torch.rand(batch, 3, 256, 256)
    mapper = UVMapper('procedural', 256)
    uv_map = F.pad(fast.uv_coords * torch.tensor([2., -2.])
                  + torch.tensor([-1., 1.]), (0, 1)).repeat(batch, 1, 1)

    def naive() -> torch.Tensor:
        return torch.from_numpy(naive_rasterize(
            ndc[0].double().numpy(), faces.numpy(), size[0]))

    def rendering(renderer: Any) -> Callable[[], Any]:
        return with_gradient(
            lambda *x: renderer.render(*x).image, vertices, ndc, albedo,
            light)

    def uv_each_time() -> torch.Tensor:
        from mmtvface.renderers import interpolate
        fragments = numba(uv_map, fast.uv_faces, (256, 256))
        return interpolate(fragments, faces, vertices)

    index = numba(ndc, faces, size).face_index
    for other in (naive(), plain.rasterizer(ndc, faces, size).face_index):
        agree = (index[:1] if other.ndim == 2 else index) == other
        # A z-buffer in float64 decides some ties on edges otherwise.
        check_same('rasterizer', agree.double().mean(), torch.ones(()), 2e-3)
    check_same('UV maps', mapper.to_uv(vertices), uv_each_time(), 1e-5)
    share = 100 * (index >= 0).double().mean()
    detail = f'{len(faces)} faces, {share:.0f} % of the pixels covered'
    cases = [
        Case(f'numba, 10 images ({detail})',
             lambda: numba(ndc, faces, size), 'torch reference, 10 images'),
        Case('torch reference, 10 images',
             lambda: plain.rasterizer(ndc, faces, size)),
        Case('numba, 1 image', lambda: numba(ndc[:1], faces, size),
             'NumPy face by face, 1 image'),
        Case('NumPy face by face, 1 image', naive),
        Case('render 10 + backward', rendering(fast),
             'render 10 + backward, torch reference'),
        Case('render 10 + backward, torch reference', rendering(plain)),
        Case('UV map of 10 heads', lambda: mapper.to_uv(vertices),
             'UV map, UV map rasterized per head'),
        Case('UV map, UV map rasterized per head', uv_each_time),
        Case('five UV maps of 10 heads',
             lambda: [mapper.to_uv(vertices) for _ in range(5)],
             'five UV maps, UV map rasterized per head'),
        Case('five UV maps, UV map rasterized per head',
             lambda: [uv_each_time() for _ in range(5)]),
    ]
    try:
        other = build_rasterizer('pytorch3d')
    except ImportError:
        return cases
    return [*cases, Case('numba again, 1 image',
                         lambda: numba(ndc[:1], faces, size),
                         'pytorch3d, 1 image'),
            Case('pytorch3d, 1 image', lambda: other(ndc[:1], faces, size))]
