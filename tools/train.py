# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Trains a config."""
# ruff: noqa: E402

import argparse
import os
import sys
from pathlib import Path

# Threads that wait by spinning take the core away from the data workers: a
# step of the quick config took ten times as long on two cores. OpenMP reads
# this once, when torch is loaded.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
# The package beside this file, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from mmengine.config import Config, DictAction
from mmengine.runner import Runner, find_latest_checkpoint

from mmtvface.registry import METRICS
from mmtvface.utils.safe_torch import allow_safe_globals
from mmtvface.utils.setup_env import register_all_modules


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train a config.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='folder of logs and checkpoints, default: '
        'work_dirs/<name of the config>')
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='continue from a checkpoint; without a path from the newest '
        'one in the work dir, if there is one')
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--max-minutes', type=float, help='stop after this time with a '
        'checkpoint, from which --resume continues')
    parser.add_argument('--seed', type=int, help='seed of everything random')
    parser.add_argument(
        '--deterministic', action='store_true',
        help='use deterministic algorithms only (slower on GPUs)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
        help='overrides of the config, for example train_cfg.max_iters=100 '
        'or "optim_wrapper.optimizer.lr=1e-5"')
    parser.add_argument(
        '--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none', help='what started several processes')
    # Older launchers pass the rank as an argument.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if not Path(args.config).is_file():
        parser.error(f'there is no config file {args.config}')
    if args.resume not in (None, 'auto') and not Path(args.resume).is_file():
        parser.error(f'there is no checkpoint {args.resume} to resume from')
    return args


def use_amp(cfg: Config) -> None:
    """Switch the optimizer wrapper of a config to mixed precision.

    Raises:
        ValueError: If there is no GPU, or if the config uses a wrapper of
            another kind.
    """
    if not torch.cuda.is_available():
        raise ValueError('--amp needs a GPU, and torch finds none here: '
                         'leave it out.')
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(
            '--amp replaces optim_wrapper.type=OptimWrapper, but the config '
            f'has {kind}: set its precision in the config.')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def fit_to_machine(cfg: Config, launcher: str) -> None:
    """Settings that depend on the machine and not on the experiment.

    mmengine's launchers take a GPU for granted. Without one the processes
    are connected here, over gloo, before its runner would try.
    """
    cfg.launcher = launcher
    if launcher != 'pytorch' or torch.cuda.is_available():
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    wrapper = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))
    # Modules on the CPU have no device ids; the runner would fill them in.
    cfg.model_wrapper_cfg = {**(cfg.get('model_wrapper_cfg') or wrapper),
                             'device_ids': None}


def share_head_model(cfg: Config) -> None:
    """Give the model's head to the metrics that need one and have none.

    Args:
        cfg: Is changed.
    """
    flame = cfg.get('model', {}).get('flame')
    if flame is None:
        return
    for key in ('val_evaluator', 'test_evaluator'):
        metrics = cfg.get(key) or []
        for metric in metrics if isinstance(metrics, list) else [metrics]:
            if isinstance(metric, dict) and getattr(
                    METRICS.get(metric.get('type')), 'needs_head_model',
                    False):
                metric.setdefault('flame', flame)


def resume_from(cfg: Config, checkpoint: str | None) -> None:
    """Let a training go on, or begin where it never began.

    Args:
        cfg: Is changed.
        checkpoint: 'auto': the last one of the work folder; where there is
            none, the training begins as without it, from the ``load_from`` of
            the config. None: nothing to do.
    """
    if checkpoint == 'auto':
        if find_latest_checkpoint(cfg.work_dir) is None:
            return
        checkpoint = None  # the runner finds it again
    elif checkpoint is None:
        return
    cfg.resume, cfg.load_from = True, checkpoint


def load_config(args: argparse.Namespace) -> Config:
    """Read a config and apply what the command line says."""
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get('work_dir'):
        cfg.work_dir = os.path.join('work_dirs', Path(args.config).stem)
    fit_to_machine(cfg, args.launcher)
    return cfg


def disconnect() -> None:
    """Leave the other processes in good order.

    A process that ends with its threads of communication still running is
    aborted by the C++ runtime now and then, after all work is done.
    """
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    args = parse_args(argv)
    register_all_modules()
    allow_safe_globals()
    cfg = load_config(args)
    if args.amp:
        use_amp(cfg)
    resume_from(cfg, args.resume)
    if args.max_minutes is not None:
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(
            type='TimeLimitHook', minutes=args.max_minutes)]
    if args.seed is not None:
        cfg.merge_from_dict({'randomness.seed': args.seed})
    if args.deterministic:
        cfg.merge_from_dict({'randomness.deterministic': True})
    share_head_model(cfg)
    Runner.from_cfg(cfg).train()
    disconnect()
    return 0


if __name__ == '__main__':
    sys.exit(main())
