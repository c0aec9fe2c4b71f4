# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Times the parts of mmtvface against naive implementations of the same.

Each case and its baseline are run in turn, again and again, so that other
load on the machine hits both; the ratio is the median over the rounds of
baseline / case. Where both compute the same numbers, that is checked first. A
section whose packages or files are missing is skipped with the reason.

Example:
    python tools/analysis_tools/benchmark.py --sections flame rasterizers
"""

import argparse
import functools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from benchmark_baselines import (
    naive_clip,
    naive_flame,
    naive_rasterize,
    naive_texture,
    write_clip,
)
from benchmark_cases import Case, check_same, with_gradient
from benchmark_detail import detail_section, mrf_section, steps_section
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mmtvface.geometry.camera import project
from mmtvface.registry import DATASETS, MODELS
from mmtvface.utils.setup_env import register_all_modules

TINY = 'configs/temporal_deca/temporal-deca_tiny_1xb8-quickstart_synthetic.py'
ROOT = Path(__file__).resolve().parents[2]


def random_codes(batch: int) -> tuple[torch.Tensor, ...]:
    """Shape (B, 100), expression (B, 50) and pose (B, 6) codes."""
    generator = torch.Generator().manual_seed(0)
    shape, expression, pose = torch.randn(
        batch, 156, generator=generator).split([100, 50, 6], 1)
    return shape, expression, 0.15 * pose


def flame_section() -> list[Case]:
    """FLAME layer against broadcast sums."""
    from mmtvface.head_models.flame import FLAME
    from mmtvface.head_models.flame_io import load_head_model
    flame, codes = FLAME('procedural'), random_codes(10)
    model = {key: torch.as_tensor(value) for key, value in vars(
        load_head_model('procedural')).items()}
    model = {key: value.float() if value.is_floating_point() else value
             for key, value in model.items()}
    naive = functools.partial(naive_flame, model)

    def ours(*codes: torch.Tensor) -> torch.Tensor:
        return flame(*codes).vertices

    check_same('FLAME', ours(*codes), naive(*codes), 1e-5)
    return [
        Case('FLAME, 10 heads', lambda: ours(*codes), 'broadcast FLAME'),
        Case('broadcast FLAME', lambda: naive(*codes)),
        Case('FLAME + backward', with_gradient(ours, *codes),
             'broadcast FLAME + backward'),
        Case('broadcast FLAME + backward', with_gradient(naive, *codes)),
    ]


def texture_section() -> list[Case]:
    """Albedo against the (B, N, K) broadcast at 512 x 512, then resizing."""
    from mmtvface.head_models.flame_texture import FLAMETexture, load_albedo
    code = 0.3 * torch.randn(2, 50, generator=torch.manual_seed(0))
    texture = FLAMETexture('procedural', size=256, clamp=False)
    mean, basis = (torch.as_tensor(np.ascontiguousarray(x))
                   for x in load_albedo('procedural', 50, 512))

    naive = functools.partial(naive_texture, mean, basis)
    check_same('texture', texture(code), naive(code), 1e-4)
    return [
        Case('FLAMETexture, 2 maps', lambda: texture(code),
             'broadcast texture'),
        Case('broadcast texture', lambda: naive(code)),
        Case('FLAMETexture + backward', with_gradient(texture, code),
             'broadcast texture + backward'),
        Case('broadcast texture + backward', with_gradient(naive, code)),
    ]


def rasterizers_section() -> list[Case]:
    """Rasterizers, rendering and UV maps of 10 heads at 224 x 224."""
    from mmtvface.head_models.flame import FLAME
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
    atlas = F.pad(fast.uv_coords * torch.tensor([2., -2.])
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
        fragments = numba(atlas, fast.uv_faces, (256, 256))
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
        Case('UV maps of 10 heads', lambda: mapper.to_uv(vertices),
             'UV maps, atlas rasterized per head'),
        Case('UV maps, atlas rasterized per head', uv_each_time),
    ]
    try:
        other = build_rasterizer('pytorch3d')
    except ImportError:
        return cases
    return [*cases, Case('numba again, 1 image',
                         lambda: numba(ndc[:1], faces, size),
                         'pytorch3d, 1 image'),
            Case('pytorch3d, 1 image', lambda: other(ndc[:1], faces, size))]


def encoder_section() -> list[Case]:
    """Encoders on a clip of 5 frames."""
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


def dataset_section() -> list[Case]:
    """Loading of clips from files, and rendering of synthetic clips."""
    folder = tempfile.TemporaryDirectory(prefix='mmtvface_benchmark_')
    clip = Path(folder.name) / 'clip'
    write_clip(clip)
    files = DATASETS.build(dict(
        type='FaceClipDataset', data_root=folder.name, clip_length=5,
        scale=1.6, test_mode=True))
    synthetic = DATASETS.build(dict(
        type='SyntheticFaceClipDataset', num_clips=1, clip_length=5))
    naive = torch.from_numpy(np.stack(naive_clip(clip))[..., :3])
    loaded = files[0]['inputs'].permute(0, 2, 3, 1).double() / 255
    check_same('crops', (loaded - naive).abs().mean(), torch.zeros(()), 0.02)

    def gather(keep: Any = folder) -> list[np.ndarray]:
        return naive_clip(clip)

    return [
        Case('FaceClipDataset, 5 frames of 512 to 224', lambda: files[0],
             'crop by NumPy gathers'),
        Case('crop by NumPy gathers', gather),
        Case('SyntheticFaceClipDataset, 5 frames of 224',
             lambda: synthetic[0]),
    ]


def training_section() -> list[Case]:
    """A training step of the small config with a photometric loss."""
    config = Config.fromfile(ROOT / TINY).model
    config.losses.photometric = dict(type='PhotometricLoss', mask='rendered')
    side = config.renderer.image_size
    data = DATASETS.build(dict(
        type='SyntheticFaceClipDataset', num_clips=2, clip_length=5,
        image_size=side))
    batch = pseudo_collate([data[0], data[1]])

    def step(rasterizer: str) -> Callable[[], Any]:
        settings = config.copy()
        settings.renderer = {**config.renderer, 'rasterizer': rasterizer}
        torch.manual_seed(0)
        model = MODELS.build(settings).train()
        optimizer = OptimWrapper(torch.optim.Adam(
            [p for p in model.parameters() if p.requires_grad], 1e-4))
        return lambda: model.train_step(batch, optimizer)

    baseline = 'the same with the torch reference rasterizer'
    return [
        Case(f'step of 2 x 5 frames of {side}', step('auto'), baseline),
        Case(baseline, step('torch')),
    ]


SECTIONS = {
    'flame': flame_section,
    'texture': texture_section,
    'rasterizers': rasterizers_section,
    'encoder': encoder_section,
    'dataset': dataset_section,
    'training': training_section,
    'detail': detail_section,
    'mrf': mrf_section,
    'steps': steps_section,
}


def measure(cases: list[Case], repeats: int,
            budget: float) -> list[dict[str, Any]]:
    """Time all cases in turn, after one run each to warm up.

    Args:
        cases: Of one section.
        repeats: Rounds; fewer (but two) if the budget is used up.
        budget: Seconds.

    Returns:
        A row per case: milliseconds (median, min, max), rounds, baseline
        and ratio (median over the rounds of baseline / case).
    """
    start = time.perf_counter()
    for case in cases:
        case.run()
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    for done in range(repeats):
        if done >= 2 and time.perf_counter() - start > budget:
            break
        for case in cases:
            begin = time.perf_counter()
            case.run()
            times[case.name].append(1e3 * (time.perf_counter() - begin))
    rows = []
    for case in cases:
        own = times[case.name]
        ratio = case.baseline and statistics.median(
            b / a for a, b in zip(own, times[case.baseline], strict=True))
        rows.append(dict(
            name=case.name, median_ms=statistics.median(own),
            min_ms=min(own), max_ms=max(own), rounds=len(own),
            baseline=case.baseline, ratio=ratio))
    return rows


def show(console: Console, section: str, result: dict[str, Any]) -> None:
    """Print a section."""
    if 'skipped' in result:
        console.print(f'{section}: skipped, {result["skipped"]}',
                      markup=False)
        return
    table = Table(title=section, title_justify='left')
    table.add_column('case')
    for heading in ('median ms', 'min ms', 'faster than baseline',
                    'peak memory'):
        table.add_column(heading, justify='right')
    for row in result['rows']:
        table.add_row(
            row['name'], f'{row["median_ms"]:.1f}', f'{row["min_ms"]:.1f}',
            f'{row["ratio"]:.1f} x' if row['ratio'] else '',
            f'{row["peak_gib"]:.1f} GiB' if 'peak_gib' in row else '')
    console.print(table)


def markdown(report: dict[str, Any]) -> str:
    """The table of the README."""
    lines = ['| case | ms | baseline: ms | times faster | peak memory |',
             '|---|---|---|---|---|']
    for section in report['sections'].values():
        rows = {row['name']: row for row in section.get('rows', ())}
        baselines = {row['baseline'] for row in rows.values()}
        for name, row in rows.items():
            if name in baselines and not row['baseline']:
                continue
            other = rows.get(row['baseline'])
            cells = [name, f'{row["median_ms"]:.1f}',
                     f'{other["name"]}: {other["median_ms"]:.0f}' if other
                     else '', f'{row["ratio"]:.1f}' if row['ratio'] else '',
                     f'{row["peak_gib"]:.1f} GiB' if 'peak_gib' in row
                     else '']
            lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and write its JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--sections', nargs='+', choices=list(SECTIONS),
                        default=[name for name in SECTIONS if name != 'steps'],
                        help='default: all but steps, which takes minutes')
    parser.add_argument('--repeats', type=int, default=7, help='rounds')
    parser.add_argument('--budget', type=float, default=15, metavar='S',
                        help='seconds of timing per section')
    parser.add_argument('--out', type=Path,
                        default=Path('work_dirs/benchmark.json'))
    parser.add_argument('--markdown', type=Path, metavar='FILE',
                        help="also write the README's table")
    args = parser.parse_args(argv)
    if args.repeats < 1:
        parser.error(f'--repeats must be positive, but it is {args.repeats}')
    register_all_modules()
    console = Console()
    report: dict[str, Any] = dict(
        environment=dict(
            python=platform.python_version(), torch=torch.__version__,
            machine=platform.machine(), threads=torch.get_num_threads()),
        sections={})
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task('', total=len(args.sections))
        for name in args.sections:
            progress.update(task, description=name)
            start = time.perf_counter()
            try:
                rows = SECTIONS[name]()
                if isinstance(rows[0], Case):
                    rows = measure(rows, args.repeats, args.budget)
                result: dict[str, Any] = dict(rows=rows)
            except (ImportError, FileNotFoundError) as error:
                result = dict(skipped=str(error))
            result['seconds'] = time.perf_counter() - start
            report['sections'][name] = result
            show(console, name, result)
            progress.advance(task)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=1) + '\n')
    console.print(f'Written to {args.out}', markup=False)
    if args.markdown:
        args.markdown.write_text(markdown(report))
    return report


if __name__ == '__main__':
    main()
