# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Benchmark of data: clips from files and videos, synthetic clips, a step."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper

from mmtvface.registry import DATASETS, MODELS

from .. import CHECKOUT
from . import loading, video_to_clips
from .baselines import naive_clip, write_clip
from .cases import Case, check_same
from .networks import TINY


def per_frame(name: str, rounds: int, rate: float,
              baseline: str | None = None,
              ratio: float | None = None) -> dict[str, Any]:
    """A row from frames per second."""
    ms = 1e3 / rate
    return dict(name=name, median_ms=ms, min_ms=ms, max_ms=ms, rounds=rounds,
                baseline=baseline, ratio=ratio)


def dataset_section() -> list[Case]:
    """Loading of clips from files, and rendering of synthetic clips."""
    folder = tempfile.TemporaryDirectory(prefix='mmtvface_benchmark_')
    clip = Path(folder.name) / 'clip'
    write_clip(clip)
    files = DATASETS.build(dict(
        type='FaceClipDataset', data_root=folder.name, clip_length=5,
        test_mode=True))
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
    config = Config.fromfile(CHECKOUT / TINY).model
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


def loading_section() -> list[dict[str, Any]]:
    """Loading with workers, see :mod:`.loading`."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    args = loading.parse_args(
        ['--clips', '6', '--frames', '10', '--rounds', '3', '--batches', '20'])
    loading.one_thread(0)
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = loading.measure(Path(folder), args)['loaders']
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    return [per_frame(
        f'clips from {name}, two workers, a frame', args.rounds,
        row['frames_per_second'], 'naive loader, two workers, a frame',
        row['times_naive'])
        for name, row in found.items() if name != 'naive'] + [per_frame(
            'naive loader, two workers, a frame', args.rounds,
            found['naive']['frames_per_second'])]


def video_section() -> list[dict[str, Any]]:
    """Clips of a 720p video, see :mod:`.video_to_clips`."""
    repeats, threads = 2, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = video_to_clips.measure(150, repeats)
    finally:
        torch.set_num_threads(threads)
    rates = found['frames_per_second']
    baseline = 'MediaPipe on every whole frame, a frame'
    return [
        per_frame('clips of a 720p video, one process, a frame', repeats,
                  rates['pipeline'], baseline, found['times_plain_loop']),
        per_frame(baseline, repeats, rates['plain'])]
