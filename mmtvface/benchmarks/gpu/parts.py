# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The parts of gpu_check.py; each is run in a process of its own."""

import argparse
import functools
import importlib
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .. import CHECKOUT
from .heads import rendered_heads, turned_heads
from .records import FAILED, Check

TESTS = ('tests/test_gpu', 'tests/test_renderers/test_triton_rasterizer.py',
         'tests/test_models/test_host_sync.py',
         'tests/test_heads/test_flame.py',
         'tests/test_engine/test_hooks.py')
BYTES_PIXEL = 8 + 12 + 4  # index, barycentrics, depth
LOOKS = 12


def environment(check: Check) -> None:
    """Whether there is a GPU that works; see ``gpu_check.py``."""
    if check.dry_run:
        pass
    elif torch.version.cuda is None:
        check.record('GPU', error=(
            'This PyTorch is built without CUDA; install one with CUDA, or '
            'use --dry-run.'))
    elif not torch.cuda.is_available():
        check.record('GPU', error=(
            f'PyTorch is built for CUDA {torch.version.cuda}, but finds no '
            'GPU, or the driver is missing or too old (nvidia-smi shows it); '
            'use --dry-run without one.'))
    else:
        torch.ones(1, device='cuda').add_(1).item()
        card = torch.cuda.get_device_properties(0)
        check.record('GPU', card=card.name, cuda=torch.version.cuda,
                     memory_gib=card.total_memory / 2**30,
                     multiprocessors=card.multi_processor_count)
    # Each temporal model needs it: why it is missing is said once.
    with check.attempt('mmagic'):
        importlib.import_module('mmtvface.models.encoders.propagation')


def tests(check: Check) -> None:
    """The tests that say most on a GPU."""
    import pytest

    class Recorder:
        """Writes each test as it ends."""

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.when == 'call' or report.outcome != 'passed':
                values = dict(outcome=report.outcome, seconds=report.duration)
                if report.outcome == 'failed':
                    lines = report.longreprtext.strip().splitlines()
                    values['error'] = next(
                        (line for line in reversed(lines)
                         if line.startswith('E ')), lines[-1])[:300]
                check.record(report.nodeid, **values)

        def pytest_collectreport(self, report: Any) -> None:
            if report.outcome != 'passed':
                text = str(report.longrepr).strip().splitlines()[-1][:300]
                check.record(report.nodeid, error=f'not run: {text}')

    code = pytest.main(
        ['-q', '-m', 'gpu', '-p', 'no:cacheprovider', '--rootdir',
         str(CHECKOUT), '--continue-on-collection-errors', *TESTS],
        plugins=[Recorder()])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        check.record('pytest', error=f'pytest ended with {code!r}')


def rasterizer(check: Check) -> None:
    """Forward and backward of the rasterizers."""
    from mmtvface.renderers import build_rasterizer
    from mmtvface.renderers.triton_rasterizer import TritonRasterizer

    def measure(label: str, made: Any, batch: int, size: int) -> None:
        vertices, faces = turned_heads(batch, check.dry_run)
        vertices = vertices.float().to(check.device)
        faces = faces.to(check.device)
        leaf = vertices.clone().requires_grad_()
        grads = torch.rand(batch, size, size, 3, device=check.device)

        def both() -> torch.Tensor:
            out = made(leaf, faces, (size, size))
            return torch.autograd.grad(out.barycentrics, leaf, grads)[0]

        repeats = 3 if label.startswith('torch') else 20
        forward = check.median_ms(
            lambda: made(vertices, faces, (size, size)), repeats)
        total = check.median_ms(both, repeats)
        triangles = batch * len(faces)
        # Each image by itself: vertices and triangles in, pixels out; in the
        # backward pass pixels' gradients in, vertices' gradients out.
        least = (3 * vertices.numel() * 4 + 2 * triangles * 3 * 8
                 + 2 * batch * size**2 * BYTES_PIXEL)
        check.record(
            label, batch=batch, size=size, triangles=len(faces),
            forward_ms=forward, forward_backward_ms=total,
            triangles_per_second=1e3 * triangles / total,
            bytes_per_second=1e3 * least / total, peak_gib=check.peak_gib())
        with check.attempt(label):
            check.record(label, **check.busy(both))

    sizes = (12, ) if check.dry_run else (224, 512)
    batches = (1, 2) if check.dry_run else (10, 1, 64)
    cases = [('triton', batch, size) for size in sizes for batch in batches]
    # The others take minutes for more.
    others = [('torch', batch, sizes[0]) for batch in batches[:2]]
    if importlib.util.find_spec('pytorch3d') and not check.dry_run:
        others += [('pytorch3d', *case[1:]) for case in cases]
    blocks = [(32, 32)] if check.dry_run else [(8, 16), (32, 16), (16, 32)]
    searched = [f'triton, {a} faces x {b} pixels a block, {batches[0]} x '
                f'{sizes[0]}' for a, b in blocks]
    runs = [(f'{name}, {batch} x {size}', functools.partial(
        build_rasterizer, name), batch, size)
            for name, batch, size in (*cases, *others)]
    runs[len(cases):len(cases)] = [
        (label, functools.partial(TritonRasterizer, *block), batches[0],
         sizes[0]) for label, block in zip(searched, blocks, strict=True)]
    check.plan(*(run[0] for run in runs))
    for label, build, batch, size in runs:
        with check.attempt(label):
            measure(label, build(), batch, size)


def write_frames(folder: Path, frames: int, small: bool, video: bool) -> Path:
    """A 720p clip of a head that turns.

    Args:
        folder: Where to write.
        frames: Their number.
        small: 320 x 240.
        video: A video; else a clip folder with the landmarks.
    """
    import cv2
    import numpy as np
    width, height = (320, 240) if small else (1280, 720)
    looks = 2 if small else LOOKS
    # There and back
    order = np.abs(np.arange(frames) % (2 * looks - 2) - looks + 1)
    images, points = rendered_heads(
        np.linspace(-.4, .4, looks).tolist(), height)
    left = (width - height) // 2
    images = np.pad(images, ((0, 0), (0, 0), (left, width - height - left),
                             (0, 0)), constant_values=128)
    if video:
        from mmtvface.io.video_writer import write_video
        write_video(folder / 'head.mp4', images[order], 25)
        return folder / 'head.mp4'
    for kind in ('jpg', 'kpt'):
        (folder / 'head' / kind).mkdir(parents=True)
    for number, look in enumerate(order):
        name = f'{number:05d}'
        cv2.imwrite(str(folder / 'head/jpg' / f'{name}.jpg'),
                    images[look, ..., ::-1])
        np.save(folder / 'head/kpt' / f'{name}_kpt2d.npy',
                points[look] + (left, 0))
    return folder / 'head'


def reconstruct(check: Check) -> None:
    """The command ``mmtvface reconstruct`` from start to end."""
    has_video = all(map(importlib.util.find_spec, ('av', 'mediapipe')))
    # A dry run tries what another machine would do, too.
    kinds = {has_video, False} if check.dry_run else {has_video}
    for video in sorted(kinds, reverse=True):
        name = 'a video' if video else (
            'frames with landmarks (what finds faces in videos, PyAV and '
            'mediapipe, is left out)')
        with tempfile.TemporaryDirectory() as folder, check.attempt(name):
            _reconstruct(check, name, Path(folder), video)


def _reconstruct(check: Check, name: str, folder: Path, video: bool) -> None:
    frames = 8 if check.dry_run else 150
    check.plan(name)
    source = write_frames(folder, frames, check.dry_run, video)

    def used() -> float:
        free, total = torch.cuda.mem_get_info()
        return (total - free) / 2**30

    before = None if check.dry_run else used()
    most = before
    command = [sys.executable, '-m', 'mmtvface', 'reconstruct', str(source),
               '--out', str(folder / 'out'), '--save', 'codes', '--device',
               check.device.type]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=CHECKOUT)
    while process.poll() is None:
        time.sleep(.25)
        if before is not None:
            most = max(most, used())
        if check.left() < 1:
            process.kill()
            raise TimeoutError(
                f'it was not done with {frames} frames after '
                f'{time.perf_counter() - start:.0f} s')
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f'mmtvface reconstruct ended with '
                           f'{process.returncode}; see gpu_check.log')
    check.record(
        name, frames=frames, seconds=seconds,
        device_memory_gib=None if before is None else most - before,
        metrics=json.loads((folder / 'out/metrics.json').read_text()))


def part(name: str) -> Callable[[Check], None]:
    """The function of a part."""
    module = dict(steps='steps', data='data', training='data').get(name)
    if module is None:
        return globals()[name]
    return getattr(importlib.import_module(f'.{module}', __package__), name)


def main(argv: list[str] | None = None) -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('part')
    parser.add_argument('--records', type=Path, required=True)
    parser.add_argument('--until', type=float, required=True)
    parser.add_argument('--dry-run', action='store_true')
    args = parser.parse_args(argv)
    # Loaders with many workers hand over tensors by files.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    check = Check(args.part, args.records, args.until, args.dry_run)
    with check.attempt(args.part) as errors:
        part(args.part)(check)
    if errors:
        sys.exit(FAILED)


if __name__ == '__main__':
    main()
