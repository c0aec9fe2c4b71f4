# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Take SPyNet out of a checkpoint, for ``spynet_pretrained``.

Example::

    python tools/model_converters/spynet_to_mmtvface.py \
        spynet_20210409-c6c1bd09.pth data/checkpoints/spynet.pth
"""
# ruff: noqa: E402

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# The package of this checkout, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmtvface.converters.command import add_output_arguments, run_converter

if TYPE_CHECKING:
    from mmtvface.converters.jobs import Conversion


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Take SPyNet out of a checkpoint.')
    parser.add_argument(
        'checkpoint', help="OpenMMLab's SPyNet, or a checkpoint of "
        'BasicVSR(++) or the temporal DECA')
    add_output_arguments(parser)
    parser.add_argument(
        '--prefix', help='where SPyNet stands in the file, if it has '
        'several different ones, for example E_flame.encoder.spynet')
    return parser.parse_args(arguments)


def convert(args: argparse.Namespace) -> 'Conversion':
    """Run the conversion."""
    from mmtvface.converters import jobs
    return jobs.convert_spynet_file(args.checkpoint, args.prefix)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    return run_converter(convert, parse_args(arguments))


if __name__ == '__main__':
    sys.exit(main())
