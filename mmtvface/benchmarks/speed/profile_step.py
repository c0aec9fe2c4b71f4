# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Time, peak memory and most expensive operators of a training step.

The model of a config is trained on rendered clips. Weights that are not there
(SPyNet, VGG-19) are random: they cost the same. Run it in a process of
its own, as its peak memory is that of the process.

Example:
    python tools/analysis_tools/profile_step.py CONFIG --clips 1
"""

import argparse
import json
import logging
import resource
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from mmtvface.registry import DATASETS, MODELS
from mmtvface.utils.setup_env import register_all_modules

GIB = 2**30
# What stands in for a file of weights that is not there.
STAND_INS = {'spynet_pretrained': None, 'resnet_pretrained': None,
             'restorer_pretrained': None, 'pretrained': None,
             'weights': 'random'}


def without_missing_files(config: Any, missing: list[str]) -> Any:
    """A config whose weights that are not there became random.

    Args:
        config: Of a model.
        missing: The paths are appended.
    """
    if isinstance(config, Mapping):
        changed = {}
        for key, value in config.items():
            if (key in STAND_INS and isinstance(value, str)
                    and '://' not in value and value != STAND_INS[key]
                    and not Path(value).exists()):
                missing.append(value)
                value = STAND_INS[key]
            changed[key] = without_missing_files(value, missing)
        return changed
    if isinstance(config, list | tuple):
        return [without_missing_files(item, missing) for item in config]
    return config


def peak_memory(device: torch.device) -> float:
    """Most memory that the process has had so far, GiB."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def build_training(config: Config, device: torch.device, missing: list[str]
                   ) -> tuple[nn.Module, OptimWrapper]:
    """A model in training and its optimizer.

    Args:
        config: With a model and an optim_wrapper.
        device: Of the model.
        missing: Paths of weights that are not there are appended.
    """
    settings = without_missing_files(config.model.to_dict(), missing)
    torch.manual_seed(0)
    model = MODELS.build(settings).to(device).train()
    return model, build_optim_wrapper(model, config.optim_wrapper)


def rendered_batch(detail_size: int | None, clips: int, frames: int,
                   size: int) -> dict[str, list]:
    """A batch of rendered clips.

    Args:
        detail_size: Of displacement maps; None: smooth skin.
        clips: n of the batch.
        frames: t of a clip.
        size: Side of the images, pixels.
    """
    truth = {} if detail_size is None else dict(
        wrinkles=True, detail_size=detail_size)
    data = DATASETS.build(dict(
        type='SyntheticFaceClipDataset', num_clips=clips, clip_length=frames,
        image_size=size, **truth))
    return pseudo_collate([data[index] for index in range(clips)])


def measure(config: Config, clips: int, frames: int, size: int, steps: int,
            device: torch.device) -> dict[str, Any]:
    """Run training steps of a config.

    Args:
        config: With a model and an optim_wrapper.
        clips: n of a batch.
        frames: t of a clip.
        size: Side of the images, pixels.
        steps: Timed steps, after one to warm up; one more is profiled.
        device: Where to run.

    Returns:
        ``seconds`` (median), ``all_seconds``, ``peak_gib`` of the process,
        ``start_gib`` before the first step, ``missing`` weights and
        ``operators`` (name, share of the step, milliseconds, calls).
    """
    missing: list[str] = []
    model, optimizer = build_training(config, device, missing)
    batch = rendered_batch(model.detail and model.detail.size, clips, frames,
                           size)

    def step() -> float:
        start = time.perf_counter()
        model.train_step(batch, optimizer)
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    before = peak_memory(device)
    step()
    seconds = [step() for _ in range(steps)]
    peak = peak_memory(device)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (
        device.type == 'cuda')
    with profile(activities=activities) as profiler:
        step()
    # Kernels of a GPU are counted with the operators that start them.
    events = [event for event in profiler.key_averages()
              if event.device_type == DeviceType.CPU]

    def own(event: Any) -> float:
        if device.type == 'cuda':
            return event.self_device_time_total
        return event.self_cpu_time_total

    total = sum(own(event) for event in events)
    return dict(
        seconds=statistics.median(seconds), all_seconds=seconds,
        peak_gib=peak, start_gib=before, missing=missing,
        operators=[dict(name=event.key, share=own(event) / total,
                        ms=own(event) / 1e3, calls=event.count)
                   for event in sorted(events, key=own, reverse=True)])


def show(result: Mapping[str, Any], most: int) -> None:
    """Print a result."""
    console = Console()
    table = Table('operator', 'share', 'ms', 'calls')
    for row in result['operators'][:most]:
        table.add_row(row['name'], f'{100 * row["share"]:.1f} %',
                      f'{row["ms"]:.0f}', str(row['calls']))
    console.print(table)
    console.print(
        f'step {result["seconds"]:.2f} s, peak memory of the process '
        f'{result["peak_gib"]:.2f} GiB ({result["start_gib"]:.2f} before the '
        'first step)', markup=False)
    if result['missing']:
        console.print('random instead of missing weights: '
                      + ', '.join(result['missing']), markup=False)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config')
    parser.add_argument('--clips', type=int, default=1)
    parser.add_argument('--frames', type=int, default=5)
    parser.add_argument('--size', type=int, help='side of the images, pixels '
                        '(default: as in the config)')
    parser.add_argument('--steps', type=int, default=2, help='timed steps')
    parser.add_argument('--operators', type=int, default=10, metavar='N')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    parser.add_argument('--out', type=Path, help='JSON file')
    args = parser.parse_args(arguments)
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    register_all_modules()
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options or {})
    result = measure(
        config, args.clips, args.frames,
        args.size or config.model.get('image_size', 224), args.steps,
        torch.device(args.device))
    result.update(config=args.config, clips=args.clips, frames=args.frames,
                  threads=torch.get_num_threads(), torch=torch.__version__)
    show(result, args.operators)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + '\n')
    return result
