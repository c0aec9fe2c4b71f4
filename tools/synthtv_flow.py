# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Train SPyNet on the true motion of SynthTV's heads.

The weights serve temporal encoders with flow guidance
(``spynet_pretrained``) where published ones cannot be had or used.

Examples::

    python tools/synthtv_flow.py --data data/synthtv \
        --out data/checkpoints/spynet_synthtv.pth --iters 500
"""
# ruff: noqa: E402

import argparse
import os
import sys
from pathlib import Path

# Waiting threads leave the cores alone; read when torch is loaded.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmtvface.cli.shared import positive

TRAINING_LENGTH, EVALUATION_LENGTH = 3, 5


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
    parser.add_argument('--shared-iters', type=int, default=500,
                        help='steps before, of one level in the place of all '
                        '(default: %(default)s)')
    parser.add_argument('--settle-iters', type=int, default=250,
                        help='steps after, on clips without artificial '
                        'shifts (default: %(default)s)')
    parser.add_argument('--clips', type=positive(int), default=4,
                        help='clips of a step (default: %(default)s)')
    parser.add_argument('--lr', type=float, default=1e-3,
                        help='largest learning rate (default: %(default)s)')
    parser.add_argument('--max-shift', type=int, default=4,
                        help='largest artificial shift of training pictures, '
                        'pixels (default: %(default)s)')
    parser.add_argument('--val-clips', type=positive(int), default=100,
                        help='clips of the final comparison, at each '
                        'difficulty (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of weights and batches (default: %(default)s)')
    return parser.parse_args(arguments)


def train(args: argparse.Namespace) -> None:
    """Train, save, compare with zero flow."""
    from rich.progress import Progress

    from mmtvface.benchmarks.synthtv.dataset import SynthTVDataset
    from mmtvface.benchmarks.synthtv.degradation_levels import GRADES
    from mmtvface.benchmarks.synthtv.flow_pairs import FlowPairSource
    from mmtvface.benchmarks.synthtv.flow_training import (
        FlowTraining,
        flow_errors,
        new_spynet,
        save_spynet,
        train_flow,
    )
    from mmtvface.utils.atomic import writable_dir
    writable_dir(Path(args.out).expanduser().parent)
    how = FlowTraining(args.iters, args.shared_iters, args.settle_iters,
                       args.clips, args.lr, args.max_shift, seed=args.seed)

    def source(split: str, difficulty: str, num_clips: int,
               clip_length: int) -> FlowPairSource:
        return FlowPairSource(SynthTVDataset(
            split, difficulty, num_clips, clip_length, data_root=args.data,
            image_size=args.size, with_vertices=True), args.stride)

    # Made first: a missing folder is told before the training.
    checks = {name: source('val', name, args.val_clips, EVALUATION_LENGTH)
              for name in GRADES}
    steps = how.shared_iters + how.iters + how.settle_iters
    pairs = source('train', 'mixed', 100 * steps * how.clips, TRAINING_LENGTH)
    spynet = new_spynet(args.seed)
    with Progress() as bars:
        task = bars.add_task('training', total=steps)
        mean = mean_zero = None

        def tell(step: int, error: float, zero: float) -> None:
            nonlocal mean, mean_zero
            share = max(1 / step, .02)
            mean = error if mean is None else mean + share * (error - mean)
            mean_zero = (zero if mean_zero is None
                         else mean_zero + share * (zero - mean_zero))
            bars.update(task, completed=step, description=(
                f'error {mean:.3f} px, of zero flow {mean_zero:.3f}'))
            if not step % 50:
                bars.console.print(f'step {step}: error {mean:.3f} px, of '
                                   f'zero flow {mean_zero:.3f}')

        train_flow(spynet, pairs, how, tell)
    path = save_spynet(spynet, args.out)
    sys.stdout.write(f'{path}\nmean end-point error of neighbouring frames of '
                     f'val, pixels at {args.size // args.stride} px\n')
    for name, check in checks.items():
        errors = flow_errors(spynet, check)
        sys.stdout.write(
            f'{name:8} zero flow {errors.zero:.4f}  trained '
            f'{errors.trained:.4f}  ratio '
            f'{errors.trained / errors.zero:.3f}\n')


def main(arguments: list[str] | None = None) -> int:
    """Entry point; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    from mmtvface.utils.command_line import run_command
    return run_command(lambda: train(args), 'Interrupted; nothing is saved.')


if __name__ == '__main__':
    sys.exit(main())
