# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Convert a checkpoint of DECA or of the temporal DECA.

Takes deca_model.tar and checkpoints of the trainings, of single frames and
of clips, with and without the detail networks.

Example::

    python tools/model_converters/deca_to_mmtvface.py deca_model.tar \
        data/checkpoints/deca.pth --flame data/flame \
        --config-out work_dirs/deca.py
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
        description='Convert a checkpoint of DECA or the temporal DECA.')
    parser.add_argument('checkpoint', help='deca_model.tar or a checkpoint '
                        'of a training')
    add_output_arguments(parser)
    add_config_arguments(parser, 'that of the full-size model and stage '
                         'found in the file')
    parser.add_argument('--flame', metavar='FOLDER', help='folder of the '
                        'published head model files, which the config is '
                        'pointed at')
    return parser.parse_args(arguments)


def convert(args: argparse.Namespace) -> 'Conversion':
    """Run the conversion."""
    from mmengine.config import Config

    from mmtvface.converters import jobs

    def config(facts: jobs.DecaFacts) -> Config:
        config = jobs.read_config(args.config
                                  or REPO / jobs.deca_config(facts))
        if args.flame:
            config.model.head = dict(type='flame', root=str(args.flame))
        return config

    return jobs.convert_deca_file(args.checkpoint, config, args.cfg_options)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    return run_converter(convert, parse_args(arguments))


if __name__ == '__main__':
    sys.exit(main())
