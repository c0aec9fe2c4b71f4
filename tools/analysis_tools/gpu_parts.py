# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The parts of gpu_check.py; each is run in a process of its own."""

import argparse
import contextlib
import gc
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
TESTS = ('tests/test_gpu', 'tests/test_renderers/test_triton_rasterizer.py',
         'tests/test_models/test_host_sync.py',
         'tests/test_head_models/test_flame.py',
         'tests/test_engine/test_hooks.py')
# Least that has to be moved: index, barycentrics and depth of a pixel ...
BYTES_PIXEL = 8 + 12 + 4
# ... and the corners of a triangle with their indices.
BYTES_TRIANGLE = 3 * (12 + 8)


class Check:
    """Where a part writes what it finds, and what it may use.

    Args:
        part: Its name.
        records: File to append lines of JSON to.
        seconds: The part starts nothing new after these.
        dry_run: Tiny sizes on the CPU.
    """

    def __init__(self, part: str, records: Path, seconds: float,
                 dry_run: bool) -> None:
        self.part, self.dry_run = part, dry_run
        self.device = torch.device('cpu' if dry_run else 'cuda')
        self._records = records
        self._end = time.perf_counter() + seconds

    def left(self) -> float:
        """Seconds until the end."""
        return self._end - time.perf_counter()

    def record(self, name: str, **values: Any) -> None:
        """Write a line at once."""
        line = json.dumps(dict(part=self.part, name=name, **values))
        with self._records.open('a') as file:
            file.write(line + '\n')

    @contextlib.contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """An error in here becomes a record of one sentence."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  whatever a card comes with
            self.record(name, error=one_sentence(error))
        gc.collect()
        if self.device.type == 'cuda':
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def median_ms(self, run: Callable[[], Any], repeats: int = 20) -> float:
        """Median time of a run on the device, after two to warm up."""
        if self.device.type != 'cuda':
            start = time.perf_counter()
            run()
            return 1e3 * (time.perf_counter() - start)
        run(), run()
        marks = [[torch.cuda.Event(enable_timing=True) for _ in range(2)]
                 for _ in range(repeats)]
        for begin, end in marks:
            begin.record()
            run()
            end.record()
        torch.cuda.synchronize()
        return statistics.median(a.elapsed_time(b) for a, b in marks)

    def peak_gib(self) -> float | None:
        """Most device memory since the last attempt."""
        if self.device.type != 'cuda':
            return None
        return torch.cuda.max_memory_allocated() / 2**30


def one_sentence(error: BaseException) -> str:
    """What a user needs of an error."""
    if isinstance(error, torch.OutOfMemoryError):
        return 'The GPU has not enough memory for this.'
    text = ' '.join(str(error).split()) or type(error).__name__
    if 'Failed to find C compiler' in text:
        return ('Triton finds no C compiler; install gcc or set CC.')
    if 'no kernel image' in text or 'PTX' in text:
        return f'The driver is too old for this PyTorch or Triton: {text:.200}'
    return f'{type(error).__name__}: {text:.300}'


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
            if report.outcome == 'failed':
                check.record(report.nodeid, error=str(
                    report.longrepr).strip().splitlines()[-1][:300])

    pytest.main(['-q', '-m', 'gpu', '-p', 'no:cacheprovider',
                 '--rootdir', str(ROOT), *TESTS], plugins=[Recorder()])


def head_mesh(batch: int, device: torch.device, small: bool
              ) -> tuple[torch.Tensor, torch.Tensor]:
    """Heads that look in several directions: (B, V, 3) NDC and faces."""
    from mmtvface.geometry.rotation import axis_angle_to_matrix
    if small:
        from mmtvface.testing.toy_meshes import toy_ellipsoid
        template, topology = toy_ellipsoid(5, 6)
        faces = topology.faces
    else:
        from mmtvface.head_models.procedural import procedural_head
        head = procedural_head()
        template, faces = head.template * 9, head.faces
    template = torch.as_tensor(template, dtype=torch.float32)
    turns = torch.zeros(batch, 3)
    turns[:, 1] = torch.linspace(-.6, .6, batch)
    vertices = template @ axis_angle_to_matrix(turns).mT
    return vertices.to(device), torch.as_tensor(
        faces, dtype=torch.long).to(device)


def rasterizer(check: Check) -> None:
    """Forward and backward of the rasterizers."""
    from mmtvface.renderers import build_rasterizer
    from mmtvface.renderers.triton_rasterizer import TritonRasterizer
    names = ['triton', 'torch']
    if importlib.util.find_spec('pytorch3d') and not check.dry_run:
        names.append('pytorch3d')
    sizes = (12, ) if check.dry_run else (224, 512)
    batches = (1, 2) if check.dry_run else (10, 1, 64)

    def measure(name: str, label: str, made: Any, batch: int, size: int
                ) -> None:
        with check.attempt(label):
            vertices, faces = head_mesh(batch, check.device, check.dry_run)
            leaf = vertices.clone().requires_grad_()
            fragments = made(leaf, faces, (size, size))
            grads = torch.randn_like(fragments.barycentrics)
            del fragments

            def both() -> torch.Tensor:
                out = made(leaf, faces, (size, size))
                return torch.autograd.grad(out.barycentrics, leaf, grads)[0]

            forward = check.median_ms(
                lambda: made(vertices, faces, (size, size)))
            total = check.median_ms(both)
            pixels, triangles = batch * size**2, batch * len(faces)
            least = (2 * pixels * BYTES_PIXEL + 2 * triangles * BYTES_TRIANGLE
                     + vertices.numel() * 4)
            check.record(
                label, backend=name, batch=batch, size=size,
                triangles=len(faces), forward_ms=forward,
                forward_backward_ms=total,
                triangles_per_second=1e3 * triangles / total,
                bytes_per_second=1e3 * least / total,
                peak_gib=check.peak_gib())

    for name in names:
        made = build_rasterizer(name)
        for size in sizes:
            for batch in batches:
                if name == 'torch' and (batch > 10 or size > 224):
                    continue  # minutes
                if check.left() > 3:
                    measure(name, f'{name}, {batch} x {size}', made, batch,
                            size)
    for faces in (8, 16, 32, 64):
        for pixels in (16, 32, 64):
            if check.left() > 3 and not check.dry_run:
                label = f'triton, blocks {faces} x {pixels}, 10 x 224'
                measure('triton', label, TritonRasterizer(faces, pixels), 10,
                        224)


def write_frames(folder: Path, frames: int, small: bool) -> Path:
    """A 720p clip of a head that turns: a video, or frames with landmarks.

    Returns:
        The video where PyAV and mediapipe are there, else a clip folder.
    """
    import cv2
    import numpy as np

    from mmtvface.testing.rendered_heads import rendered_heads
    width, height = (320, 240) if small else (1280, 720)
    yaws = .4 * np.sin(np.arange(frames) / 8)
    images, points = rendered_heads(yaws.tolist(), height)
    left = (width - height) // 2
    images = np.pad(images, ((0, 0), (0, 0), (left, width - height - left),
                             (0, 0)), constant_values=128)
    if all(map(importlib.util.find_spec, ('av', 'mediapipe'))):
        from mmtvface.utils.video_writer import write_video
        path = folder / 'head.mp4'
        write_video(path, images, 25)
        return path
    for kind in ('jpg', 'kpt'):
        (folder / 'head' / kind).mkdir(parents=True)
    for number, (image, marks) in enumerate(zip(images, points, strict=True)):
        name = f'{number:05d}'
        cv2.imwrite(str(folder / 'head/jpg' / f'{name}.jpg'),
                    image[..., ::-1])
        np.save(folder / 'head/kpt' / f'{name}_kpt2d.npy',
                marks + (left, 0))
    return folder / 'head'


def reconstruct(check: Check) -> None:
    """The command ``mmtvface reconstruct`` from start to end."""
    with tempfile.TemporaryDirectory() as name, check.attempt('command'):
        folder, frames = Path(name), 8 if check.dry_run else 150
        source = write_frames(folder, frames, check.dry_run)
        used: list[float] = []
        command = [sys.executable, '-m', 'mmtvface', 'reconstruct',
                   str(source), '--out', str(folder / 'out'), '--save',
                   'codes', '--device', check.device.type]
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT)
        while process.poll() is None:
            time.sleep(.25)
            if not check.dry_run:
                free, total = torch.cuda.mem_get_info()
                used.append((total - free) / 2**30)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise RuntimeError(f'mmtvface reconstruct ended with '
                               f'{process.returncode}; see gpu_check.log')
        report = json.loads((folder / 'out/metrics.json').read_text())
        check.record(
            'command', input='video' if source.is_file() else
            'frames with landmarks (no PyAV or mediapipe here)',
            frames=frames, seconds=seconds, device_memory_gib=max(
                used, default=None), metrics=report)


def main(argv: list[str] | None = None) -> None:
    """Run a part."""
    from gpu_data import data, training
    from gpu_steps import steps
    parts = {'tests': tests, 'rasterizer': rasterizer, 'steps': steps,
             'data': data, 'reconstruct': reconstruct, 'training': training}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('part', choices=list(parts))
    parser.add_argument('--records', type=Path, required=True)
    parser.add_argument('--seconds', type=float, required=True)
    parser.add_argument('--dry-run', action='store_true')
    args = parser.parse_args(argv)
    check = Check(args.part, args.records, args.seconds, args.dry_run)
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    with check.attempt(args.part):
        parts[args.part](check)


if __name__ == '__main__':
    main()
