# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Train SPyNet on the true motion of SynthTV's heads.

The weights serve temporal encoders with flow guidance
(``spynet_pretrained``) where published ones cannot be had or used. The three
configs of configs/spynet are trained one after the other.

Examples::

    python tools/synthtv_flow.py --data data/synthtv \
        --out data/checkpoints/spynet_synthtv.pth --iters 500
"""
# ruff: noqa: E402

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

# Waiting threads leave the cores alone; read when torch is loaded.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmtvface.cli.shared import natural, positive

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.model import BaseModel
    from torch.utils.data import Dataset

CONFIGS = Path(__file__).resolve().parents[1] / 'configs/spynet'


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='folder of tools/synthtv.py generate; '
                        'default: render the scenes on the fly')
    parser.add_argument('--out', default='data/checkpoints/spynet_synthtv.pth',
                        help='checkpoint (default: %(default)s)')
    parser.add_argument('--size', type=positive(int), default=64,
                        help='side of the images in pixels (default: '
                        '%(default)s)')
    parser.add_argument('--stride', type=positive(int), default=2,
                        help='propagation_stride of the encoder (default: '
                        '%(default)s)')
    parser.add_argument('--iters', type=positive(int), default=500,
                        help='steps (default: %(default)s)')
    parser.add_argument('--shared-iters', type=natural, default=500,
                        help='steps before, of one level in the place of all '
                        '(default: %(default)s)')
    parser.add_argument('--settle-iters', type=natural, default=250,
                        help='steps after, on clips without artificial '
                        'shifts (default: %(default)s)')
    parser.add_argument('--clips', type=positive(int), default=4,
                        help='clips of a step (default: %(default)s)')
    parser.add_argument('--lr', type=float, default=1e-3,
                        help='largest learning rate (default: %(default)s)')
    parser.add_argument('--max-shift', type=natural, default=4,
                        help='largest artificial shift of training pictures, '
                        'pixels (default: %(default)s)')
    parser.add_argument('--val-clips', type=positive(int), default=100,
                        help='clips of the final comparison, at each '
                        'difficulty (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of weights and batches (default: %(default)s)')
    return parser.parse_args(arguments)


def stage_config(name: str, args: argparse.Namespace, iters: int,
                 load_from: str | None, work_dir: Path) -> 'Config':
    """The config of a part, as long as wanted, on the wanted data."""
    from mmengine.config import Config
    path, = CONFIGS.glob(f'spynet_{name}_*.py')
    cfg = Config.fromfile(path)
    loader, checks = cfg.train_dataloader, cfg.val_dataloader.dataset
    for dataset in (loader.dataset, *checks.datasets):
        dataset.update(data_root=args.data, image_size=args.size,
                       stride=args.stride)
    for dataset in checks.datasets:
        dataset.num_clips = args.val_clips
    loader.update(batch_size=args.clips, num_workers=0,
                  persistent_workers=False)
    loader.dataset.max_shift = args.max_shift
    # One step has no cycle, and a rise that ends with the first step divides
    # by zero.
    rise = .2 if iters == 10 else .1
    rate, fall, rest = cfg.param_scheduler
    rate.update(total_steps=max(iters, 2), pct_start=rise,
                eta_max=args.lr / (2 if name == 'settle' else 1))
    top, end = round(rise * iters) - 1, iters - 1
    fall.update(end=top, T_max=top)
    rest.update(begin=top, end=end, T_max=end - top)
    cfg.param_scheduler = [rate, fall, rest] if top > 0 else [rate]
    cfg.train_cfg.max_iters = iters
    cfg.default_hooks.checkpoint.interval = iters
    cfg.merge_from_dict(dict(
        work_dir=str(work_dir / name), load_from=load_from,
        visualizer=dict(vis_backends=[dict(type='LocalVisBackend')]),
        randomness=dict(seed=args.seed)))
    return cfg


def flow_errors(model: 'BaseModel', dataset: 'Dataset') -> dict[str, float]:
    """Of all clips of a data set, see :class:`FlowError`."""
    import torch
    from torch.utils.data import default_collate

    from mmtvface.evaluation.metrics import FlowError
    metric = FlowError()
    for index in range(len(dataset)):
        with torch.no_grad():
            samples = model.val_step(default_collate([dataset[index]]))
        metric.process(None, samples)
    return metric.compute_metrics(metric.results)


def train(args: argparse.Namespace) -> None:
    """Train, save, compare with zero flow."""
    import torch
    from mmengine.runner import Runner

    from mmtvface.engine.safe_resume import allow_safe_globals
    from mmtvface.registry import DATASETS
    from mmtvface.utils.atomic import atomic_path, writable_dir
    from mmtvface.utils.setup_env import register_all_modules
    if not args.lr > 0:
        raise ValueError(f'lr must be positive, but it is {args.lr}.')
    out = Path(args.out).expanduser()
    writable_dir(out.parent)
    register_all_modules()
    allow_safe_globals()
    parts = {name: iters for name, iters in (
        ('shared', args.shared_iters), ('full', args.iters),
        ('settle', args.settle_iters)) if iters}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = checks = None
        for name, iters in parts.items():
            cfg = stage_config(name, args, iters, checkpoint, Path(folder))
            # A missing folder is told before the training.
            checks = checks or DATASETS.build(cfg.val_dataloader.dataset)
            for split in ('val', 'test'):
                for part in ('dataloader', 'cfg', 'evaluator'):
                    cfg.pop(f'{split}_{part}')
            runner = Runner.from_cfg(cfg)
            runner.train()
            checkpoint = str(Path(cfg.work_dir) / f'iter_{iters}.pth')
    errors = flow_errors(runner.model.eval(), checks)
    with atomic_path(out) as part:
        torch.save({'state_dict': runner.model.spynet.state_dict()}, part)
    sys.stdout.write(f'{out}\nmean end-point error of neighbouring frames of '
                     f'val, pixels at {args.size // args.stride} px\n')
    for name in ('easy', 'medium', 'hard'):
        sys.stdout.write(
            '{:8} zero flow {:.4f}  trained {:.4f}  ratio {:.3f}\n'.format(
                name, *(errors[f'{name}_{what}']
                        for what in ('zero', 'trained', 'ratio'))))


def main(arguments: list[str] | None = None) -> int:
    """Entry point; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    from mmtvface.utils.command_line import run_command
    return run_command(lambda: train(args), 'Interrupted; nothing is saved.')


if __name__ == '__main__':
    sys.exit(main())
