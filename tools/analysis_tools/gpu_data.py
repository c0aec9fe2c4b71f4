# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""How fast a GPU sees generated clips, and whether it learns from them."""

import itertools
import logging
import os
import tempfile
import time
from collections.abc import Iterable
from typing import Any

import torch
from gpu_parts import ROOT, Check
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import DataLoader

CONFIG = (ROOT / 'configs/lite_deca/'
          'lite-deca_r18w32_1xb32-2k_rendered-112.py')


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


def frames_per_second(batches: Iterable, clip_length: int,
                      seconds: float) -> tuple[float, int]:
    """Rate of a loader from its second batch on, and frames counted."""
    frames, start = 0, None
    for batch in batches:
        if start is None:
            start = time.perf_counter()
            continue
        frames += len(batch['data_samples']) * clip_length
        if time.perf_counter() - start > seconds:
            break
    return frames / (time.perf_counter() - start), frames


def data(check: Check) -> None:
    """Clips per second: rendered by workers, codes alone, by the GPU."""
    from mmtvface.registry import DATASETS, MODELS
    from mmtvface.utils.setup_env import register_all_modules
    register_all_modules()
    config = rendered_config(check.dry_run)
    clips, length = (2, 2) if check.dry_run else (64, 5)
    size = 32 if check.dry_run else 112
    seconds = min(8., check.left() / 5)
    # As many as there are cores, but not more than a small machine bears
    workers = 0 if check.dry_run else min(16, os.cpu_count() or 1)
    codes: list = []
    for render in (False, True):
        name = f'{"pictures" if render else "codes"} by {workers} workers'
        with check.attempt(name):
            dataset = DATASETS.build(dict(
                type='SyntheticFaceClipDataset', num_clips=10**6,
                clip_length=length, image_size=size, render=render,
                with_vertices=False))
            loader = DataLoader(
                dataset, batch_size=2 if render else clips,
                num_workers=workers, collate_fn=pseudo_collate)
            batches = itertools.islice(loader, 3 if check.dry_run else None)
            if not render:
                batches = _keep_first(batches, codes)
            rate, frames = frames_per_second(batches, length, seconds)
            check.record(name, frames_per_second=rate, frames=frames,
                         size=size, workers=workers)
    with check.attempt('pictures by ClipRenderer'):
        renderer = MODELS.build(config.model.data_preprocessor).to(
            check.device)
        for side in (size, ) if check.dry_run else (112, 224):
            renderer.size = side
            ms = check.median_ms(lambda: renderer(codes[0]), 10)
            check.record(
                f'pictures by ClipRenderer, {side} pixels', clips=clips,
                frames_per_second=1e3 * clips * length / ms, ms=ms,
                peak_gib=check.peak_gib())
    with check.attempt('packaged model'):
        from mmtvface.apis.model_setup import build_model, load_config
        from mmtvface.utils.packaged_model import packaged_model
        packaged = packaged_model()
        model = build_model(load_config(packaged.config),
                            packaged.checkpoint, str(check.device))
        side = model.image_size
        clip = torch.rand(1, 4 if check.dry_run else 100, 3, side, side,
                          device=check.device)
        for kind in (torch.float32, torch.bfloat16):

            def encode(kind: torch.dtype = kind) -> Any:
                with torch.no_grad(), torch.autocast(
                        check.device.type, kind,
                        enabled=kind == torch.bfloat16):
                    return model.head(model.encoder(clip))

            ms = check.median_ms(encode, 5)
            check.record(
                f'packaged model, {str(kind).removeprefix("torch.")}',
                frames_per_second=1e3 * clip.shape[1] / ms, ms=ms,
                peak_gib=check.peak_gib())


def _keep_first(batches: Iterable, kept: list) -> Iterable:
    for batch in batches:
        if not kept:
            kept.append(batch)
        yield batch


class _Curve(Hook):
    """Records losses as they fall; ends the training in time."""

    def __init__(self, check: Check, every: int) -> None:
        self.check, self.every = check, every
        self.start = time.perf_counter()

    def after_train_iter(self, runner: Runner, batch_idx: int,
                         data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """See the class."""
        if runner.iter == 2:  # after what is made once
            self.start = time.perf_counter()
        if (runner.iter + 1) % self.every == 0:
            losses = {name: float(value) for name, value in outputs.items()}
            self.check.record(
                'losses', iteration=runner.iter + 1, losses=losses,
                seconds=time.perf_counter() - self.start)
        if self.check.left() < 3:
            runner.train_loop.stop_training = True


def training(check: Check) -> None:
    """Train the lite model on clips that are rendered on the GPU."""
    from mmtvface.utils.setup_env import register_all_modules
    register_all_modules()
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    config = rendered_config(check.dry_run)
    for part in ('val', 'test'):
        for name in ('dataloader', 'cfg', 'evaluator'):
            config.pop(f'{part}_{name}')
    steps = 4 if check.dry_run else 100000
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps)
    config.default_hooks.logger.interval = 10**6
    config.default_hooks.checkpoint = None
    config.default_hooks.runtime_info = dict(
        type='DeferredRuntimeInfoHook', interval=10**6)
    config.param_scheduler = config.param_scheduler[:1]
    with tempfile.TemporaryDirectory() as folder:
        config.work_dir = folder
        runner = Runner.from_cfg(config)
        curve = _Curve(check, 2 if check.dry_run else 50)
        runner.register_hook(curve)
        runner.train()
        seconds = time.perf_counter() - curve.start
        frames = 5 * config.train_dataloader.batch_size
        finite = all(bool(value.isfinite().all())
                     for value in runner.model.parameters())
        values = dict(iterations=runner.iter, seconds=seconds,
                      frames_per_minute=60 * frames * max(
                          runner.iter - 3, 0) / seconds,
                      finite=finite, peak_gib=check.peak_gib())
        if not finite:
            values['error'] = 'weights are not finite'
        check.record('training', **values)
