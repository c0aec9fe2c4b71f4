# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Times the loading of face clips against a naive loader.

Makes clips of generated content with JPEG frames, masks and landmarks as
``mmtvface prepare`` writes them, and loads windows of five frames as 224 x
224 crops with a torch ``DataLoader``: from folders, from a packed file, and
from the folders with a naive implementation of the same (whole frames, float
arithmetic). The three are run in turn, again and again, so that other load
on the machine hits all; numbers are medians over the rounds. CPU time is that
of the process and its workers; it depends less on what else runs.

Example:
    python tools/analysis_tools/benchmark_loading.py --json loading.json
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from mmtvface.dataset_tools.clip_packing import pack_clips
from mmtvface.datasets import BalancedClipSampler, FaceClipDataset
from mmtvface.geometry.camera import pixel_to_ndc
from mmtvface.geometry.face_mask import landmark_mask

#: Sides of the square frames, drawn in turn.
SIDES = (256, 288, 320, 352, 400, 512)
TARGET = 400  # frames/s with two workers on two cores


def make_frame(rng: np.random.Generator, side: int
               ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A frame with the structure of a face crop.

    Args:
        rng: Generator.
        side: Width and height.

    Returns:
        (S, S, 3) uint8 BGR, landmarks (68, 2) float32, mask (S, S) 0/255.
    """
    image = sum(cv2.resize(
        rng.normal(0, 60 / octave, (4 * octave, 4 * octave, 3)), (side, side),
        interpolation=cv2.INTER_CUBIC) for octave in (1, 2, 4, 8))
    image = np.clip(image + 110 + rng.normal(0, 2, image.shape), 0, 255)
    angle = np.pi * np.arange(17) / 16
    jaw = np.stack([-np.cos(angle), .1 + np.sin(angle)], 1)
    brows = np.stack([np.linspace(-.8, .8, 10), np.full(10, -.4)], 1)
    inner = rng.uniform(-.4, .7, (41, 2))
    points = np.concatenate([jaw, brows, inner]) * .26 * side
    points = (points + side / 2 + rng.normal(0, 1, 2)).astype(np.float32)
    return (image.astype(np.uint8), points,
            255 * landmark_mask(points, (side, side)))


def write_clips(root: Path, clips: int, frames: int, quality: int) -> None:
    """Write clips of generated frames."""
    rng = np.random.default_rng(0)
    for clip in range(clips):
        folder = root / 'train' / f'clip_{clip:04d}'
        for name in ('jpg', 'kpt', 'seg/masks'):
            (folder / name).mkdir(parents=True)
        for index in range(1, frames + 1):
            image, points, mask = make_frame(rng, SIDES[clip % len(SIDES)])
            cv2.imwrite(str(folder / f'jpg/{index:06d}.jpg'), image,
                        [cv2.IMWRITE_JPEG_QUALITY, quality])
            np.save(folder / f'kpt/{index:06d}_kpt2d.npy', points)
            cv2.imwrite(str(folder / f'seg/masks/{index:06d}.png'), mask,
                        [cv2.IMWRITE_PNG_BILEVEL, 1])


class NaiveClips(Dataset):
    """The straightforward way: float images, masks as numbers."""

    def __init__(self, dataset: FaceClipDataset):
        self.infos = [dataset.get_data_info(i) for i in range(len(dataset))]

    def __len__(self) -> int:
        return len(self.infos)

    def __getitem__(self, index: int) -> dict:
        info, size = self.infos[index], 224
        scale = np.random.default_rng(index).uniform(1.4, 1.8)
        out = dict(images=[], masks=[], landmarks=[])
        folder = Path(info['folder'])
        for image, points, mask in zip(
                info['image_names'], info['landmark_names'],
                info['mask_names'], strict=True):
            image = cv2.imread(str(folder / 'jpg' / image))
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB) / 255.
            points = np.load(folder / 'kpt' / points)
            mask = cv2.imread(str(folder / 'seg/masks' / mask), 0) / 255.
            low, high = points.min(0), points.max(0)
            side = (high - low).mean() * scale
            factor = size / side
            offset = (size - 1) / 2 - factor * (low + high) / 2
            matrix = np.array([[factor, 0, offset[0]],
                               [0, factor, offset[1]]])
            out['images'].append(cv2.warpAffine(image, matrix, (size, size)))
            out['masks'].append(cv2.warpAffine(
                mask, matrix, (size, size), flags=cv2.INTER_NEAREST))
            out['landmarks'].append(
                pixel_to_ndc(points * factor + offset, size))
        return dict(
            inputs=torch.from_numpy(np.stack(out['images'])).permute(
                0, 3, 1, 2).float(),
            masks=torch.from_numpy(np.stack(out['masks'])).float(),
            landmarks=torch.from_numpy(np.stack(out['landmarks'])).float())


def cpu_seconds(workers: Sequence[Any] = ()) -> float:
    """CPU time of this process and of running workers.

    Args:
        workers: Processes of a data loader. Their times are known where
            there is ``/proc`` (Linux), in steps of 10 ms.

    Returns:
        Seconds; not a number if the workers' are not known.
    """
    total = time.process_time()
    for worker in workers:
        try:
            stat = Path(f'/proc/{worker.pid}/stat').read_text()
        except OSError:
            return float('nan')
        # User and system time, after the name in brackets
        ticks = stat.rsplit(')', 1)[1].split()[11:13]
        total += sum(map(int, ticks)) / os.sysconf('SC_CLK_TCK')
    return total


def one_thread(worker: int) -> None:
    """Set up a worker: the workers are the threads."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def run(dataset: Dataset, workers: int, batches: int) -> dict[str, float]:
    """Load batches of two windows.

    Returns:
        Frames per second of wall time and CPU milliseconds per frame of this
        process and its workers, both without the start of these.
    """
    sampler = BalancedClipSampler(dataset, seed=0)
    loader = DataLoader(dataset, 2, sampler=sampler, num_workers=workers,
                        collate_fn=pseudo_collate, worker_init_fn=one_thread)
    iterator, frames = iter(loader), 0
    for _ in range(2 * max(1, workers)):
        next(iterator)
    processes = getattr(iterator, '_workers', ())
    cpu, start = cpu_seconds(processes), time.perf_counter()
    for _ in range(batches):
        frames += sum(len(clip) for clip in next(iterator)['inputs'])
    wall = time.perf_counter() - start
    cpu = cpu_seconds(processes) - cpu
    if workers:
        iterator._shutdown_workers()
    return dict(frames_per_second=frames / wall, cpu_ms=1e3 * cpu / frames)


def measure(root: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Write the clips and run the three loaders in turn."""
    write_clips(root, args.clips, args.frames, args.quality)
    packed = pack_clips(root, 'train')
    options = dict(clip_length=5, image_size=224)
    folders = FaceClipDataset(str(root / 'train'), **options)
    loaders = {'folders': folders, 'packed': FaceClipDataset(
        str(packed), **options), 'naive': NaiveClips(folders)}
    rounds: dict[str, list[dict]] = {name: [] for name in loaders}
    for _ in range(args.rounds):
        for name, dataset in loaders.items():
            rounds[name].append(run(dataset, args.workers, args.batches))
    results = {name: {key: statistics.median(r[key] for r in found)
                      for key in found[0]} for name, found in rounds.items()}
    for name in ('folders', 'packed'):
        results[name]['times_naive'] = statistics.median(
            naive['cpu_ms'] / ours['cpu_ms'] for naive, ours in zip(
                rounds['naive'], rounds[name], strict=True))
    return dict(
        loaders=results, workers=args.workers, rounds=args.rounds,
        cores=os.cpu_count(), load=os.getloadavg()[0],
        machine=platform.machine(), python=platform.python_version(),
        opencv=cv2.__version__, sides=list(SIDES), quality=args.quality,
        target_frames_per_second=TARGET)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Time the loading of face clips.')
    parser.add_argument('--workers', type=int, default=2,
                        help='of the data loader (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=5,
                        help='default: %(default)s')
    parser.add_argument('--batches', type=int, default=40,
                        help='of two windows, in each round (default: '
                        '%(default)s)')
    parser.add_argument('--clips', type=int, default=12,
                        help='default: %(default)s')
    parser.add_argument('--frames', type=int, default=20,
                        help='of each clip (default: %(default)s)')
    parser.add_argument('--quality', type=int, default=95,
                        help='of the JPEG files (default: %(default)s)')
    parser.add_argument('--json', help='write the results to this file')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and print a table."""
    args = parse_args(arguments)
    MMLogger.get_current_instance().setLevel('ERROR')
    one_thread(0)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), args)
    table = Table(title=f'Loading 224 x 224 crops, {args.workers} workers')
    for column in ('loader', 'frames/s', 'CPU ms/frame', 'x naive (CPU)'):
        table.add_column(column, justify='right')
    for name, found in results['loaders'].items():
        table.add_row(name, f"{found['frames_per_second']:.0f}",
                      f"{found['cpu_ms']:.2f}",
                      f"{found.get('times_naive', 1):.2f}")
    console = Console()
    console.print(table)
    console.print(f"{results['cores']} cores, load {results['load']:.1f} at "
                  f'the end; the target is {TARGET} frames/s with two '
                  'workers on two free cores.')
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1) + '\n')
    return 0
