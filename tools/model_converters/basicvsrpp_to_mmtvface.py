# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Convert BasicVSR++ to the beginning of a temporal encoder.

Takes restoration checkpoints of mmagic and mmediting; the result is for
``load_from``: propagation, fusion and SPyNet of the encoder start from it,
the rest from its own initialisation.

Example::

    python tools/model_converters/basicvsrpp_to_mmtvface.py \
        basicvsr_plusplus_c64n7.pth data/checkpoints/basicvsrpp_init.pth \
        --config-out work_dirs/basicvsrpp_init.py
"""
# ruff: noqa: E402

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

REPO = Path(__file__).resolve().parents[2]
# The package of this checkout, installed or not.
sys.path.insert(0, str(REPO))

from mmtvface.converters.command import (
    add_config_arguments,
    add_output_arguments,
    run_converter,
)

if TYPE_CHECKING:
    from mmtvface.converters.jobs import Conversion


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Convert BasicVSR++ to the beginning of an encoder.')
    parser.add_argument('checkpoint', help='checkpoint of BasicVSR++')
    add_output_arguments(parser)
    add_config_arguments(parser, 'the full-size temporal model, changed to '
                         'the propagation of the file')
    parser.add_argument(
        '--weights', choices=('generator', 'generator_ema'), help='which '
        'weights are taken (default: the moving average if there is one)')
    return parser.parse_args(arguments)


def convert(args: argparse.Namespace) -> 'Conversion':
    """Run the conversion; a config that is given must fit as it is."""
    from mmtvface.converters import jobs
    config = jobs.read_config(args.config or REPO / jobs.INIT_CONFIG)
    return jobs.convert_basicvsrpp_file(
        args.checkpoint, config, args.cfg_options, args.weights,
        adapt=args.config is None)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    return run_converter(convert, parse_args(arguments))


if __name__ == '__main__':
    sys.exit(main())
