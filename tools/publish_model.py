# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Make a trained model a part of the package.

Example::

    python tools/publish_model.py CONFIG CHECKPOINT \
        --metrics results/synthtv/lite.json --metric trial_nme=0.05 \
        --command "python tools/train.py CONFIG"
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
REPO = Path(__file__).resolve().parents[1]


def number(text: str) -> tuple[str, float]:
    """Parse NAME=NUMBER."""
    name, _, value = text.partition('=')
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not NAME=NUMBER") from None


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Write the weights of a training checkpoint without '
        'optimizer, history and losses, the config without the training, and '
        'a metafile with checksum and metrics. The same input gives the same '
        'bytes.')
    parser.add_argument('config', help='config that was trained')
    parser.add_argument('checkpoint', help='of the training (.pth)')
    parser.add_argument('--out', default=str(REPO / 'mmtvface' / 'weights'),
                        help='folder (default: %(default)s)')
    parser.add_argument('--name', help='of the files (default: that of the '
                        'packaged model)')
    parser.add_argument('--metrics', nargs='+', default=[], metavar='JSON',
                        help='results of tools/synthtv.py evaluate or of '
                        'tools/test.py --out; a model whose mouth opens with '
                        'less than half of its true amplitude is refused, as '
                        'is one of which that is not known')
    parser.add_argument('--metric', nargs='+', default=[], type=number,
                        metavar='NAME=NUMBER', help='further metrics')
    parser.add_argument('--command', action='append', metavar='TEXT',
                        help='that trained it; may be repeated, in order '
                        '(default: python tools/train.py CONFIG)')
    return parser.parse_args(arguments)


def read_metrics(args: argparse.Namespace) -> dict:
    """All metrics of the command line.

    Raises:
        ValueError: If a file is not a JSON object.
    """
    from mmtvface.converters.publish import result_summary
    metrics = {}
    for path in args.metrics:
        try:
            result = json.loads(Path(path).read_text(encoding='utf-8'))
        except ValueError as error:
            raise ValueError(f'{path} is no JSON: {error}') from error
        if not isinstance(result, dict):
            raise ValueError(f'{path} must hold a JSON object, but it holds '
                             f'a {type(result).__name__}.')
        metrics[str(result.get('name', Path(path).stem))
                ] = result_summary(result)
    return metrics | dict(args.metric)


def run(args: argparse.Namespace) -> None:
    """Publish and say what was written."""
    from mmtvface.converters.publish import publish
    from mmtvface.utils.assets import require_file
    from mmtvface.utils.packaged_model import PACKAGED_NAME
    path = require_file(args.config, 'Config', 'See the folder configs/.')
    path = path.resolve()
    # The metafile goes to other machines: it names no folders of this one.
    origin = (path.relative_to(REPO).as_posix()
              if path.is_relative_to(REPO) else path.name)
    made = publish(
        path, args.checkpoint, args.out, args.name or PACKAGED_NAME,
        metrics=read_metrics(args),
        commands=args.command or [f'python tools/train.py {origin}'],
        origin=origin)
    info = made.info
    sys.stdout.write(
        f'{made.checkpoint}: {info["bytes"] / 1e6:.1f} MB, '
        f'{info["parameters"]} parameters, {info["iterations"]} iterations, '
        f'sha256 {info["sha256"]}\n{made.config}\n'
        f'{made.config.with_suffix(".json")}\n')


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    sys.path.insert(0, str(REPO))
    from mmtvface.utils.command_line import run_command
    return run_command(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
