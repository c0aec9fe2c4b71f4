# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The three stages of training one after another, a test and a picture.

    python tools/train_chain.py

trains the small configs on generated clips of the built-in head: pretrain,
coarse, detail; each starts from the weights of the one before. Then it tests
the last one on people it never saw and draws them: input, coarse shape,
detailed shape, truth. The same command continues after an interruption and
repeats nothing that is finished; a stage whose config changed is trained
anew, and with it all that follow.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from quickstart import (
    QuickstartError,
    claim_folder,
    hashed,
    mark_folder,
    newest_checkpoint,
    run_tool,
    shown,
)
from setup_steps.progress import say

ROOT = Path(__file__).resolve().parent.parent
STAGES = ('pretrain', 'coarse', 'detail')
CONFIGS = tuple(
    ROOT / 'configs' / 'temporal_deca' /
    f'temporal-deca_tiny_1xb8-{stage}_synthetic-wrinkles.py'
    for stage in STAGES)
PEOPLE, PICTURE_SIZE, JPEG_QUALITY = 3, 256, 90


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Train pretrain, coarse and detail stage, then test and '
        'draw the result.')
    parser.add_argument(
        '--configs', nargs=3, type=Path, default=CONFIGS,
        metavar=tuple(stage.upper() for stage in STAGES),
        help='configs of the three stages, default: the small ones')
    parser.add_argument(
        '--work-dir', type=Path, default=ROOT / 'work_dirs' / 'chain',
        help='folder of the results, default: %(default)s')
    parser.add_argument(
        '--detail-options', nargs='+', default=[], metavar='KEY=VALUE',
        help='overrides of the detail config, for example '
        'model.losses.displacement=None to train without the true '
        'displacement')
    parser.add_argument(
        '--people', type=int, default=PEOPLE,
        help='rows of the picture, default: %(default)s')
    args = parser.parse_args(argv)
    for config in args.configs:
        if not config.is_file():
            parser.error(f'there is no config file {config}')
    if args.people < 1:
        parser.error(f'--people must be positive, but it is {args.people}')
    return args


def read_config(path: Path, options: list[str]):
    """A config with overrides as tools/train.py reads them."""
    # The same parser, so that both understand the same values.
    import train as train_tool
    return train_tool.load_config(train_tool.parse_args([
        str(path), *(['--cfg-options', *options] if options else [])]))


def stage_key(path: Path, options: list[str], before: str) -> str:
    """Of everything that decides about a stage.

    Args:
        path: The config.
        options: Its overrides.
        before: Key of the stage before, '' for the first.
    """
    config = read_config(path, options).to_dict()
    return hashed(before + json.dumps(config, sort_keys=True, default=str))


def train_stage(config: Path, folder: Path, key: str, start: Path | None,
                options: list[str]) -> Path:
    """Train a stage, resume it, or reuse it.

    Args:
        config: The config.
        folder: Of its logs and checkpoints.
        key: See :func:`stage_key`.
        start: Checkpoint of the stage before, or None.
        options: Overrides of the config.

    Returns:
        The checkpoint.

    Raises:
        QuickstartError: If it fails.
    """
    finished = claim_folder(folder, key)
    checkpoint = newest_checkpoint(folder)
    if finished and checkpoint:
        say(f'      already trained: {shown(checkpoint)}')
        return checkpoint
    mark_folder(folder, key, finished=False)
    options = list(options) + ([] if start is None else
                               [f'load_from={start}'])
    arguments = [ROOT / 'tools' / 'train.py', config, '--work-dir', folder]
    if options:
        arguments += ['--cfg-options', *options]
    if checkpoint:
        say(f'      resuming from {checkpoint.name}')
        arguments += ['--resume', checkpoint]
    run_tool(arguments, folder / 'train.log', 'training')
    checkpoint = newest_checkpoint(folder)
    if checkpoint is None:
        raise QuickstartError(
            f'The training left no checkpoint in {folder}: see '
            f'{folder / "train.log"}.')
    mark_folder(folder, key, finished=True)
    return checkpoint


def test_stage(config: Path, checkpoint: Path, folder: Path, key: str,
               options: list[str]) -> dict:
    """Metrics of a checkpoint on held-out clips, measured once."""
    out = folder / 'metrics.json'
    if not (claim_folder(folder, hashed(f'{key}\n{checkpoint.name}'))
            and out.is_file()):
        run_tool([ROOT / 'tools' / 'test.py', config, checkpoint,
                  '--work-dir', folder, '--out', out,
                  *(['--cfg-options', *options] if options else [])],
                 folder / 'test.log', 'testing')
        mark_folder(folder, hashed(f'{key}\n{checkpoint.name}'),
                    finished=True)
    return json.loads(out.read_text())


def draw_picture(config: Path, checkpoint: Path, path: Path, people: int,
                 options: list[str]) -> None:
    """Write the most wrinkled held-out people: input, coarse, detail, truth.

    They are chosen by their true wrinkles, not by the result.
    """
    from mmtvface.engine.hooks.visualization_hook import clip_pixels
    from mmtvface.reconstruction.model_setup import build_model
    from mmtvface.registry import DATASETS
    from mmtvface.renderers import DetailSurface
    from mmtvface.visualization.detail_comparison import (
        compare_detail,
        detail_grid,
        most_wrinkled,
    )
    cfg = read_config(config, options)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    model = build_model(cfg, checkpoint, 'cpu')
    items = [dataset[index] for index in range(len(dataset))]
    chosen = most_wrinkled([item['data_samples'] for item in items], people)
    rows = []
    for number, frame in chosen:
        item = items[number]
        found = model.test_step(dict(
            inputs=[item['inputs']], data_samples=[item['data_samples']]))[0]
        truth = DetailSurface(cfg.model.head, found.gt_displacement.shape[-1],
                              faceted=False)
        rows.append(compare_detail(
            clip_pixels(item['inputs'])[frame], found, frame, model.renderer,
            model.detail.surface, truth, PICTURE_SIZE))
    write_jpeg(path, detail_grid(rows))


def write_jpeg(path: Path, picture: np.ndarray) -> None:
    """Write an RGB picture, whole or not at all."""
    data = cv2.imencode('.jpg', np.ascontiguousarray(picture[..., ::-1]),
                        [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    part = path.with_name(path.name + '.part')
    part.write_bytes(data.tobytes())
    part.replace(path)


def step(number: int, title: str, work: Callable, *arguments):
    """Announce a step, do it, and say how long it took."""
    say(f'[{number}/{len(STAGES) + 2}] {title}')
    begin = time.monotonic()
    result = work(*arguments)
    say(f'      done in {time.monotonic() - begin:.0f} s')
    return result


def run(args: argparse.Namespace) -> dict:
    """All steps; returns the metrics.

    Raises:
        QuickstartError: With the reason to stop.
    """
    from mmtvface.utils.setup_env import register_all_modules
    register_all_modules()
    work_dir = args.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    configs = [path.resolve() for path in args.configs]
    checkpoint, key = None, ''
    for number, (stage, config) in enumerate(
            zip(STAGES, configs, strict=True), 1):
        options = args.detail_options if stage == STAGES[-1] else []
        key = stage_key(config, options, key)
        checkpoint = step(number, f'{stage}: {config.stem}', train_stage,
                          config, work_dir / stage, key, checkpoint, options)
    metrics = step(4, 'testing on people that were never seen', test_stage,
                   config, checkpoint, work_dir / 'test', key, options)
    picture = work_dir / 'detail.jpg'
    step(5, f'drawing {shown(picture)}', draw_picture, config, checkpoint,
         picture, args.people, options)
    return metrics


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    warnings.filterwarnings('ignore', category=FutureWarning)
    args = parse_args(argv)
    begin = time.monotonic()
    try:
        metrics = run(args)
    except (QuickstartError, ValueError, OSError,
            subprocess.SubprocessError) as error:
        sys.stderr.write(f'train_chain stopped: {error}\n')
        return 1
    except KeyboardInterrupt:
        sys.stderr.write('train_chain interrupted: the same command '
                         'continues.\n')
        return 130
    for name, value in metrics.items():
        # null stands for a metric that nothing was measured for.
        say(f'  {name}: {"none" if value is None else f"{value:.4g}"}')
    say(f'finished in {time.monotonic() - begin:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
