# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Tests a checkpoint with the metrics of its config.

Another test set is taken from a second config by ``--data``::

    python tools/test.py CONFIG CHECKPOINT --out-dir work_dirs/aflw2000 \
        --data configs/_base_/datasets/aflw2000.py
"""

import argparse
import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

# Sets up OpenMP and the path.
from train import disconnect, load_config, share_head_model  # isort: skip
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmtvface.evaluation.plots import save_charts
from mmtvface.evaluation.tables import markdown_table
from mmtvface.reconstruction.model_setup import load_weights
from mmtvface.utils.atomic import atomic_path, writable_dir
from mmtvface.utils.command_line import run_command
from mmtvface.utils.safe_torch import allow_safe_globals
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
        '--out-dir', metavar='DIR', help='folder that metrics.json, table.md, '
        'curves.json and the charts (PNG) are written to')
    parser.add_argument(
        '--data', metavar='CONFIG', help='config whose test data and metrics '
        'replace those of the first, such as '
        'configs/_base_/datasets/aflw2000.py')
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
    if args.data and not Path(args.data).is_file():
        parser.error(f'there is no config file {args.data}')
    if args.out and not args.out.endswith('.json'):
        parser.error(f'--out must end with .json, but it is {args.out}')
    return args


def write_metrics(metrics: dict, path: str | Path) -> None:
    """Write metrics as JSON, numbers as plain floats, null for NaN."""
    plain = {key: float(value) for key, value in metrics.items()}
    plain = {key: value if math.isfinite(value) else None
             for key, value in plain.items()}
    write_text(path, json.dumps(plain, indent=2, sort_keys=True))


def write_text(path: str | Path, text: str) -> None:
    """Write a text file that is there as a whole or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as part:
        part.write_text(text.rstrip('\n') + '\n', encoding='utf-8')


def take_test_data(cfg: Config, path: str) -> None:
    """Replace the test data and the metrics of a config.

    Crops keep the size that the model is made for.

    Args:
        cfg: Is changed.
        path: Config with ``test_dataloader`` and ``test_evaluator``.

    Raises:
        ValueError: If it lacks them.
    """
    other = Config.fromfile(path)
    for key in ('test_dataloader', 'test_evaluator'):
        if other.get(key) is None:
            raise ValueError(f'{path} has no {key}, so it cannot be used '
                             'with --data.')
        cfg[key] = other[key]
    size = cfg.get('model', {}).get('image_size')
    if size and 'image_size' in cfg.test_dataloader.dataset:
        cfg.test_dataloader.dataset.image_size = size
    cfg.test_cfg = cfg.get('test_cfg') or dict(type='TestLoop')


def leave_out_training(cfg: Config) -> None:
    """Drop the training, whose data need not be on this machine.

    The runner would build it as soon as a hook asks for the iteration.

    Args:
        cfg: Is changed.
    """
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper',
                'param_scheduler'):
        cfg[key] = None


def result_rows(metrics: dict) -> list[tuple[str, str]]:
    """Names and numbers as text, '-' for NaN, in the metrics' order."""
    return [(name, f'{float(value):.6g}' if math.isfinite(value) else '-')
            for name, value in metrics.items()]


def print_table(metrics: dict) -> None:
    """Show the metrics in the terminal."""
    from rich.console import Console
    from rich.table import Table
    table = Table(title='Test results')
    table.add_column('metric')
    table.add_column('value', justify='right')
    for row in result_rows(metrics):
        table.add_row(*row)
    Console().print(table)


def write_report(metrics: dict, evaluator: Evaluator, folder: str) -> None:
    """Write the numbers, the table and the charts of a test.

    Args:
        metrics: Results.
        evaluator: Whose metrics may have charts.
        folder: Is made if need be.
    """
    out = writable_dir(folder)
    write_metrics(metrics, out / 'metrics.json')
    write_text(out / 'table.md',
               markdown_table(('metric', 'value'), result_rows(metrics)))
    charts = [
        replace(chart, name='_'.join(filter(None, (metric.prefix,
                                                   chart.name))))
        for metric in evaluator.metrics if hasattr(metric, 'charts')
        for chart in metric.charts()]
    write_text(out / 'curves.json',
               json.dumps([chart.plain() for chart in charts]))
    save_charts(charts, out)


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


def test(args: argparse.Namespace) -> None:
    """Test the checkpoint and show and write the results."""
    register_all_modules()
    allow_safe_globals()
    cfg = load_config(args)
    if args.data:
        take_test_data(cfg, args.data)
        if args.cfg_options:  # those of the test data too
            cfg.merge_from_dict(args.cfg_options)
    needs_test_part(cfg, args.config)
    share_head_model(cfg)
    leave_out_training(cfg)
    if args.out_dir and is_main_process():
        # No hours of testing for a folder that cannot be written to.
        writable_dir(args.out_dir)
    cfg.resume = False
    cfg.load_from = args.checkpoint
    runner = Runner.from_cfg(cfg)
    # The runner alone would test random weights where some are missing.
    model = runner.model
    load_weights(model.module if is_model_wrapper(model) else model,
                 Path(args.checkpoint))
    metrics = runner.test()
    if is_main_process():
        print_table(metrics)
        if args.out:
            write_metrics(metrics, args.out)
        if args.out_dir:
            write_report(metrics, runner.test_evaluator, args.out_dir)
    disconnect()


def main(argv: list[str] | None = None) -> int:
    """Entry point; errors of the user are one sentence and code 2."""
    args = parse_args(argv)
    return run_command(lambda: test(args))


if __name__ == '__main__':
    sys.exit(main())
