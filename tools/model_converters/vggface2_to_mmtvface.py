# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Convert VGGFace2's ResNet-50 to a file of tensors, for IdentityLoss.

Example::

    python tools/model_converters/vggface2_to_mmtvface.py \
        resnet50_ft_weight.pkl data/checkpoints/resnet50_ft.pth
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
        description="Convert VGGFace2's ResNet-50 to a file of tensors.")
    parser.add_argument('weights', help='resnet50_ft_weight.pkl')
    add_output_arguments(parser)
    return parser.parse_args(arguments)


def convert(args: argparse.Namespace) -> 'Conversion':
    """Run the conversion."""
    from mmtvface.converters import jobs
    return jobs.convert_vggface2_file(args.weights)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    return run_converter(convert, parse_args(arguments))


if __name__ == '__main__':
    sys.exit(main())
