# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How fast a GPU sees generated clips, and whether it learns from them."""

import logging
import math
import os
import tempfile
import time
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmtvface.registry import DATASETS, MODELS
from mmtvface.utils.setup_env import register_all_modules

from .. import CHECKOUT
from .records import Check
from .steps import precision

CONFIG = (CHECKOUT / 'configs/lite_deca/'
          'lite-deca_r18w32_1xb32-2k_rendered-112.py')
LEAVE = 10  # seconds that ending a training may take


def rendered_config(dry_run: bool) -> Config:
    """The config that trains on rendered clips, narrow for a dry run."""
    config = Config.fromfile(CONFIG)
    if dry_run:
        size = 32
        config.merge_from_dict(dict(
            model=dict(
                image_size=size, renderer=dict(image_size=size),
                encoder=dict(base_channels=4, propagation_channels=8),
                data_preprocessor=dict(renderer=dict(image_size=size))),
            train_dataloader=dict(batch_size=2, num_workers=0,
                                  persistent_workers=False,
                                  pin_memory=False)))
    return config


def dataset(render: bool, length: int, size: int) -> Any:
    """Clips, or the codes of clips."""
    return DATASETS.build(dict(
        type='SyntheticFaceClipDataset', num_clips=10**6, clip_length=length,
        image_size=size, render=render, with_vertices=False))


def loader_rate(check: Check, data: Any, batch_size: int, workers: int
                ) -> dict[str, float]:
    """Frames per second of a loader that works with all its workers."""
    loader = DataLoader(data, batch_size=batch_size, num_workers=workers,
                        collate_fn=pseudo_collate)
    seconds = min(6., check.left() / 2)
    frames, begin, used, first = 0, 0., 0., 2 * workers
    for index, batch in enumerate(loader):
        if index > first:
            frames += sum(len(sample.gt_landmarks)
                          for sample in batch['data_samples'])
            # Before the end of the loop, which ends the workers
            used = time.perf_counter() - begin
            if used > seconds or check.dry_run:
                break
        elif index == first:
            begin = time.perf_counter()
        if check.left() < 2:
            break
    if not used:
        raise TimeoutError(f'{workers} workers gave too few batches in time')
    return dict(frames=frames, workers=workers,
                frames_per_second=frames / used)


def data(check: Check) -> None:
    """How many clips a GPU draws, encodes, and is handed by workers."""
    register_all_modules()
    clips, length, size = (2, 2, 32) if check.dry_run else (64, 5, 112)
    workers = 0 if check.dry_run else min(16, len(os.sched_getaffinity(0)))
    drawn = [f'pictures by ClipRenderer, {side} pixels'
             for side in ((size, ) if check.dry_run else (112, 224))]
    encoded = {f'packaged model, {name}': kind for name, kind in (
        ('float32', torch.float32), ('bf16', torch.bfloat16))}
    loaded = {f'{name} by {workers} workers': render for name, render in (
        ('codes', False), ('pictures', True))}
    check.plan(*drawn, *encoded, *loaded)
    codes = dataset(False, length, size)
    batch = pseudo_collate([codes[index] for index in range(clips)])
    for label in drawn:
        with check.attempt(label):
            side = int(label.split()[-2])
            check.record(label, **draw_rate(check, batch, side, clips
                                            * length))
    for label, kind in encoded.items():
        with check.attempt(label):
            check.record(label, **encode_rate(check, kind))
    for label, render in loaded.items():
        with check.attempt(label):
            check.record(label, **loader_rate(
                check, dataset(render, length, size), 2 if render else clips,
                workers))


def draw_rate(check: Check, batch: dict, side: int, frames: int
              ) -> dict[str, Any]:
    """Of ClipRenderer."""
    config = rendered_config(check.dry_run).model.data_preprocessor
    config.renderer.image_size = side
    renderer = MODELS.build(config).to(check.device)
    ms = check.median_ms(lambda: renderer(batch), 10)
    return dict(frames_per_second=1e3 * frames / ms, ms=ms,
                peak_gib=check.peak_gib())


def encode_rate(check: Check, kind: torch.dtype) -> dict[str, Any]:
    """Of the packaged model."""
    from mmtvface.reconstruction.model_setup import build_model, load_config
    from mmtvface.utils.packaged_model import packaged_model
    packaged = packaged_model()
    model = build_model(load_config(packaged.config), packaged.checkpoint,
                        str(check.device))
    side = model.image_size
    clip = torch.rand(1, 4 if check.dry_run else 100, 3, side, side,
                      device=check.device)

    def encode() -> torch.Tensor:
        with torch.no_grad(), torch.autocast(
                check.device.type, torch.bfloat16,
                enabled=kind == torch.bfloat16):
            return model.encode(clip)

    with precision('float32'):
        ms = check.median_ms(encode, 5)
    return dict(frames_per_second=1e3 * clip.shape[1] / ms, ms=ms,
                peak_gib=check.peak_gib())


class _Curve(Hook):
    """Records losses as they fall; ends the training in time."""

    # Before IterTimerHook, which would take the wait for losses for data's
    priority = 'ABOVE_NORMAL'

    def __init__(self, check: Check, every: int, frames: int) -> None:
        self.check, self.every, self.frames = check, every, frames
        self.start, self.finite = 0., True

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """See the class."""
        done = runner.iter + 1
        if done == 2:  # what is made once is made
            self.start = time.perf_counter()
        last = self.check.left() < LEAVE
        if done % self.every == 0 or last and done > 2:
            losses = {name: float(value) for name, value in outputs.items()}
            seconds = time.perf_counter() - self.start
            self.finite &= all(map(math.isfinite, losses.values()))
            self.check.record(
                f'losses {done}', losses={
                    name: value if math.isfinite(value) else None
                    for name, value in losses.items()})
            waited = runner.message_hub.get_scalar('train/data_time')
            self.check.record(
                'training', iterations=done, seconds=seconds,
                frames_per_minute=60 * self.frames * (done - 2) / seconds,
                share_of_time_for_data=waited.mean(max(done - 2, 1)) * max(
                    done - 2, 1) / seconds,
                peak_gib=self.check.peak_gib())
        if last:
            runner.train_loop.stop_training = True


def training(check: Check) -> None:
    """Train the lite model on clips that are rendered on the GPU."""
    register_all_modules()
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    check.plan('training')
    every = 2 if check.dry_run else 50
    config = rendered_config(check.dry_run)
    for part in ('val', 'test'):
        for name in ('dataloader', 'cfg', 'evaluator'):
            config.pop(f'{part}_{name}')
    config.train_cfg = dict(type='IterBasedTrainLoop',
                            max_iters=4 if check.dry_run else 100000)
    config.default_hooks.logger.interval = every
    config.default_hooks.checkpoint = None
    config.default_hooks.runtime_info = dict(
        type='DeferredRuntimeInfoHook', interval=every)
    config.param_scheduler = config.param_scheduler[:1]
    config.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    if not check.dry_run:
        config.train_dataloader.num_workers = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        config.work_dir = folder
        runner = Runner.from_cfg(config)
        curve = _Curve(check, every, 5 * config.train_dataloader.batch_size)
        runner.register_hook(curve)
        runner.train()
        curve.finite &= all(bool(value.isfinite().all())
                            for value in runner.model.parameters())
        check.record('training', finite=curve.finite)
        if not curve.finite:
            check.record('training', error='losses or weights are not finite')
