# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Tests a checkpoint with the metrics of its config."""

import argparse
import json
import os
import sys
from pathlib import Path

# Sets up OpenMP and the path.
from train import disconnect, load_config  # isort: skip
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmtvface.engine.safe_resume import allow_safe_globals
from mmtvface.utils.setup_env import register_all_modules


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Test a checkpoint.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir', help='folder of logs, default: work_dirs/<name of the '
        'config>')
    parser.add_argument(
        '--out', metavar='JSON', help='file that the metrics are written to')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
        help='overrides of the config')
    parser.add_argument(
        '--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none', help='what started several processes')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if not Path(args.config).is_file():
        parser.error(f'there is no config file {args.config}')
    if not Path(args.checkpoint).is_file():
        parser.error(f'there is no checkpoint {args.checkpoint}')
    if args.out and not args.out.endswith('.json'):
        parser.error(f'--out must end with .json, but it is {args.out}')
    return args


def write_metrics(metrics: dict, path: str) -> None:
    """Write metrics as JSON, numbers as plain floats."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    plain = {key: float(value) for key, value in metrics.items()}
    part = target.with_name(target.name + '.part')
    part.write_text(json.dumps(plain, indent=2, sort_keys=True) + '\n')
    part.replace(target)


def needs_test_part(cfg: Config, path: str) -> None:
    """Raise a clear error for configs without a test set.

    Raises:
        ValueError: If the config has no test dataloader or metric.
    """
    for key in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        if cfg.get(key) is None:
            raise ValueError(
                f'{path} has no {key}, so there is nothing to test: add the '
                'three entries test_dataloader, test_evaluator and test_cfg.')


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    args = parse_args(argv)
    register_all_modules()
    allow_safe_globals()
    cfg = load_config(args)
    needs_test_part(cfg, args.config)
    cfg.resume = False
    cfg.load_from = args.checkpoint
    metrics = Runner.from_cfg(cfg).test()
    if args.out and is_main_process():
        write_metrics(metrics, args.out)
    disconnect()
    return 0


if __name__ == '__main__':
    sys.exit(main())
