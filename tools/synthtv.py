# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""The SynthTV benchmark: what video buys when pictures are bad.

Examples::

    python tools/synthtv.py generate --out data/synthtv --size 64
    python tools/synthtv.py train deca_r18w32_1xb8-1k_synthtv-64
    python tools/synthtv.py evaluate CONFIG CHECKPOINT --smooth one-euro \
        --tune --out results/synthtv/smooth.json
    python tools/synthtv.py table results/synthtv/*.json --baseline deca
    python tools/synthtv.py picture docs/synthtv_levels.jpg
"""
# ruff: noqa: E402

import argparse
import os
import sys
from pathlib import Path

# Waiting threads leave the cores alone; read when torch is loaded.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from mmtvface.cli.shared import positive

SPLITS = ('train', 'val', 'test')


def add_generate(commands: argparse._SubParsersAction) -> None:
    """Arguments of ``generate``."""
    parser = commands.add_parser(
        'generate', help='render the clean scenes into a folder',
        description='Render the clean scenes of the splits. The same command '
        'goes on after an interruption. Degradations are not stored: the data '
        'set adds them.')
    parser.add_argument('--out', default='data/synthtv',
                        help='folder (default: %(default)s)')
    parser.add_argument('--size', type=positive(int), default=64,
                        help='side of the images in pixels (default: '
                        '%(default)s)')
    parser.add_argument('--splits', nargs='+', choices=SPLITS,
                        default=list(SPLITS))
    parser.add_argument('--scenes', nargs='+', type=positive(int),
                        metavar='N', help='scenes of each of the splits '
                        '(default: 4000, 100 and 300)')
    parser.add_argument('--lengths', nargs='+', type=positive(int),
                        metavar='T', help='frames of a scene of each of the '
                        'splits (default: 10, 20 and 20)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--performance', choices=('talking', 'lively'),
                        default='talking', help='how people move: as in the '
                        'benchmark, or more, for training (default: '
                        '%(default)s)')
    parser.add_argument('--config', help='config whose training data has the '
                        'head; default: the built-in head')
    parser.add_argument('--workers', type=positive(int), default=2,
                        help='processes (default: %(default)s)')
    parser.set_defaults(run=run_generate)


def head_of(config: str | None) -> dict | None:
    """``head`` of the data sets of a config."""
    if config is None:
        return None
    from mmengine.config import Config
    cfg = Config.fromfile(config)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if head := (cfg.get(key) or {}).get('dataset', {}).get('head'):
            return dict(head)
    return None


def run_generate(args: argparse.Namespace) -> None:
    """Render scenes."""
    from rich.progress import Progress

    from mmtvface.benchmarks.synthtv import SceneSettings
    from mmtvface.benchmarks.synthtv.folder import generate
    from mmtvface.benchmarks.synthtv.scenes import NUM_SCENES
    counts = args.scenes or [NUM_SCENES[split] for split in args.splits]
    lengths = args.lengths or [None] * len(args.splits)
    for name, numbers in (('scenes', counts), ('lengths', lengths)):
        if len(numbers) != len(args.splits):
            raise ValueError(f'--{name} needs {len(args.splits)} numbers, '
                             f'one for each of {args.splits}, but it has '
                             f'{len(numbers)}.')
    head = head_of(args.config)
    settings = [
        (SceneSettings(split, args.size, length, args.seed, head,
                       performance=args.performance), count)
        for split, length, count in zip(
            args.splits, lengths, counts, strict=True)]
    with Progress() as bars:
        tasks: dict[str, int] = {}

        def tell(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done)

        outcome = generate(args.out, settings, args.workers, tell)
    for folder, what in outcome.items():
        sys.stdout.write(f'{folder}: {what}\n')


def add_measuring(parser: argparse.ArgumentParser) -> None:
    """Arguments of the commands that measure a model."""
    parser.add_argument('--data', default='data/synthtv', help='folder of '
                        'the scenes, or "none": render them on the fly '
                        '(default: %(default)s)')
    parser.add_argument('--clips', type=positive(int), help='measure only '
                        'so many clips of each level')
    parser.add_argument('--split', choices=('val', 'test'), default='test')
    parser.add_argument('--name', help='of the method in tables')
    parser.add_argument('--batch-size', type=positive(int), default=4,
                        help='clips at a time (default: %(default)s)')
    parser.add_argument('--device', default='auto')


def add_evaluate(commands: argparse._SubParsersAction) -> None:
    """Arguments of ``evaluate``."""
    parser = commands.add_parser(
        'evaluate', help='measure a model at all levels',
        description='Measure a model on whole clips of the test split.')
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--out', required=True, metavar='JSON')
    parser.add_argument('--smooth', choices=('one-euro', ),
                        help='filter the codes, causally')
    parser.add_argument('--tune', nargs='?', type=positive(int), const=40,
                        default=0, metavar='CLIPS', help='tune the filter on '
                        "so many hard clips of 'val' (default: 40)")
    parser.add_argument('--min-cutoff', type=float, default=2.,
                        help='Hz, without --tune (default: %(default)s)')
    parser.add_argument('--beta', type=float, default=.2,
                        help='without --tune (default: %(default)s)')
    parser.add_argument('--identity-cutoff', type=float, default=.2,
                        help='Hz, without --tune (default: %(default)s)')
    parser.add_argument('--refine', type=positive(int), default=0,
                        metavar='N', help='steps of refinement on the true '
                        'landmarks with noise')
    parser.add_argument('--wrinkles', type=positive(int), metavar='CLIPS',
                        help='also measure the normals of a model with a '
                        'detail branch on so many wrinkled clips')
    add_measuring(parser)
    parser.set_defaults(run=run_evaluate)


def flops_per_frame(config: str, frames: int, size: int) -> float:
    """FLOPs of encoder and regressor for a frame of a clip.

    Args:
        config: File of the model.
        frames: Of the clip.
        size: Side of its images in pixels.
    """
    from mmtvface.benchmarks.speed.flops import build, count
    parts = count(build(config), (frames, size, size))['parts']
    return sum(part['flops'] for part in parts if part['name'].split('.')[0]
               in ('encoder', 'head')) / frames


def check_out(out: str) -> None:
    """Raise unless a result can be written there.

    Raises:
        ValueError: If it is no .json, or its folder cannot be written to.
    """
    from mmtvface.utils.atomic import writable_dir
    if not out.endswith('.json'):
        raise ValueError(f'--out must end with .json, but it is {out}.')
    writable_dir(Path(out).parent)


def measure(args: argparse.Namespace, config: str, checkpoint: str,
            out: str, **options: object) -> None:
    """Measure a model and write the result."""
    import json

    import torch
    from rich.progress import Progress

    from mmtvface.benchmarks.synthtv.evaluate import evaluate_model, plain
    from mmtvface.benchmarks.synthtv.table import compare
    from mmtvface.reconstruction.model_setup import load_config
    from mmtvface.utils.atomic import atomic_path
    from mmtvface.utils.setup_env import register_all_modules
    check_out(out)
    register_all_modules()
    device = args.device
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    with Progress() as bars:
        tasks: dict[str, int] = {}

        def tell(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        result = plain(evaluate_model(
            load_config(config), checkpoint,
            None if args.data == 'none' else args.data, name=args.name,
            num_clips=args.clips, split=args.split, device=device,
            batch_size=args.batch_size, tell=tell, **options))
    result['flops_per_frame'] = flops_per_frame(
        config, result['data']['clip_length'], result['data']['image_size'])
    with atomic_path(out) as part:
        part.write_text(json.dumps(result) + '\n', encoding='utf-8')
    sys.stdout.write(compare([result]) + f'Written to {out}.\n')


def run_evaluate(args: argparse.Namespace) -> None:
    """Measure a model."""
    from mmtvface.reconstruction.smoothing import SmoothSettings
    smooth = SmoothSettings(args.min_cutoff, args.beta, args.identity_cutoff)
    if args.tune and not args.smooth:
        raise ValueError('--tune has nothing to tune without --smooth.')
    measure(args, args.config, args.checkpoint, args.out,
            smooth=smooth if args.smooth else None, tune_clips=args.tune,
            wrinkled_clips=args.wrinkles or 0, refine=args.refine)


def add_train(commands: argparse._SubParsersAction) -> None:
    """Arguments of ``train``."""
    parser = commands.add_parser(
        'train', help='train a config of configs/synthtv, then measure it')
    parser.add_argument('config', help='name in configs/synthtv, or a file')
    parser.add_argument('--iters', type=positive(int), help='budget; '
                        'schedules that last the whole training are '
                        'stretched to it')
    parser.add_argument('--work-dir')
    parser.add_argument('--resume', action='store_true')
    parser.add_argument('--seed', type=int)
    parser.add_argument('--out', metavar='JSON', help='default: '
                        'results/synthtv/<name>.json')
    parser.add_argument('--cfg-options', nargs='+', default=[],
                        metavar='KEY=VALUE')
    add_measuring(parser)
    parser.set_defaults(run=run_train)


def run_train(args: argparse.Namespace) -> None:
    """Train and measure a model."""
    import train

    from mmtvface.benchmarks.synthtv.budget import (
        budget_options,
        find_config,
        last_checkpoint,
    )
    path = find_config(args.config, REPO / 'configs/synthtv')
    work_dir = args.work_dir or f'work_dirs/{path.stem}'
    out = args.out or f'results/synthtv/{path.stem}.json'
    check_out(out)  # not after hours of training
    options = [*budget_options(path, args.iters), *args.cfg_options]
    if args.data != 'data/synthtv':
        root = 'None' if args.data == 'none' else args.data
        options += [f'{part}_dataloader.dataset.data_root={root}'
                    for part in ('train', 'val', 'test')]
    arguments = [str(path), '--work-dir', work_dir]
    arguments += ['--resume'] * args.resume
    arguments += ['--seed', str(args.seed)] if args.seed is not None else []
    arguments += ['--cfg-options', *options] if options else []
    train.main(arguments)
    # What was trained: --cfg-options may have changed the model.
    measure(args, str(Path(work_dir) / path.name),
            str(last_checkpoint(work_dir)), out)


def add_table(commands: argparse._SubParsersAction) -> None:
    """Arguments of ``table``."""
    parser = commands.add_parser('table', help='compare results')
    parser.add_argument('results', nargs='+', metavar='JSON')
    parser.add_argument('--baseline', metavar='NAME', help='name of a '
                        'result, or an unmistakable part of it; default: the '
                        'first')
    parser.add_argument('--markdown', metavar='FILE',
                        help='also write the tables here')
    parser.set_defaults(run=run_table)


def run_table(args: argparse.Namespace) -> None:
    """Show and write the tables."""
    from mmtvface.benchmarks.synthtv.table import compare, read_result
    from mmtvface.utils.atomic import atomic_path
    text = compare([read_result(path) for path in args.results],
                   args.baseline)
    if args.markdown:
        Path(args.markdown).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(args.markdown) as part:
            part.write_text(text, encoding='utf-8')
    sys.stdout.write(text)


def add_picture(commands: argparse._SubParsersAction) -> None:
    """Arguments of ``picture``."""
    parser = commands.add_parser('picture', help='show the levels')
    parser.add_argument('out', metavar='FILE', help='a .jpg or .png')
    parser.add_argument('--size', type=positive(int), default=112)
    parser.add_argument('--clips', nargs='+', type=int, default=[0, 1])
    parser.set_defaults(run=run_picture)


def run_picture(args: argparse.Namespace) -> None:
    """Draw the picture."""
    import cv2

    from mmtvface.benchmarks.synthtv.picture import draw_levels
    from mmtvface.utils.atomic import atomic_path
    sheet = draw_levels(args.size, args.clips)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(args.out) as part:
        if not cv2.imwrite(str(part), sheet[..., ::-1],
                           [cv2.IMWRITE_JPEG_QUALITY, 88]):
            raise ValueError(f'Cannot write {args.out}.')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    for add in (add_generate, add_evaluate, add_table, add_train,
                add_picture):
        add(commands)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    from mmtvface.utils.command_line import run_command
    return run_command(lambda: args.run(args), 'Interrupted; the same '
                       'command goes on from here.')


if __name__ == '__main__':
    sys.exit(main())
