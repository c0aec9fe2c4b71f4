# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Animate a reconstructed face: expression transfer, or a teaser.

Examples::

    mmtvface animate transfer me.jpg actor.mp4
    mmtvface animate teaser CONFIG CHECKPOINT me.jpg
"""

import argparse
import sys
from dataclasses import dataclass, field

from mmtvface.animation.settings import TeaserOptions, TransferOptions
from mmtvface.reconstruction.settings import ReconstructSettings
from mmtvface.utils.settings import Settings, add_options, from_args, option

from .light_start import start_lightly
from .shared import add_model, check_model, step_bars

TRANSFER = """\
The source's shape, albedo, light and wrinkles with the driver's expression
and jaw; the wrinkles follow the expression.
source, driver: an image, a folder of images, a clip folder, a video, or a
codes.npz of mmtvface reconstruct or of this command.
output: animation.mp4 (driver, its shape, the source in grey with detail and
in colour), codes.npz, meshes/ and dense/ on request, metrics.json."""
TEASER = """\
A head that turns and then makes faces, with the person's wrinkles.
source: an image, a folder of images, a clip folder, a video, or a codes.npz.
output: teaser.mp4 (source, grey shape with detail, in colour), teaser.png (a
contact sheet) and metrics.json."""


@dataclass(frozen=True)
class TransferCommand(Settings):
    """All options of ``mmtvface animate transfer``."""

    out: str = option('work_dirs/transfer', 'output folder')
    driver_frames: str | None = option(
        None, "what the driver's codes.npz was made from, to show it",
        metavar='INPUT')
    options: TransferOptions = field(default_factory=TransferOptions)
    reconstruct: ReconstructSettings = field(
        default_factory=ReconstructSettings)


@dataclass(frozen=True)
class TeaserCommand(Settings):
    """All options of ``mmtvface animate teaser``."""

    out: str = option('work_dirs/teaser', 'output folder')
    options: TeaserOptions = field(default_factory=TeaserOptions)
    reconstruct: ReconstructSettings = field(
        default_factory=ReconstructSettings)


def _add_command(commands: argparse._SubParsersAction, name: str, help: str,
                 text: str, settings: type[Settings], *inputs: str) -> None:
    parser = commands.add_parser(
        name, help=help, description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model(parser)
    for given in inputs:
        parser.add_argument(given, help='who is animated' if given == 'source'
                            else 'whose expression it is')
    add_options(parser, settings)
    parser.set_defaults(settings=settings)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Animate faces.')
    commands = parser.add_subparsers(dest='command', required=True)
    _add_command(commands, 'transfer', 'put an expression onto another face',
                 TRANSFER, TransferCommand, 'source', 'driver')
    _add_command(commands, 'teaser', 'show a head from all sides and in '
                 'motion', TEASER, TeaserCommand, 'source')
    args = parser.parse_args(arguments)
    check_model(parser, args, 'give both before the source, or neither for '
                'the model of the package')
    return args


def animate(args: argparse.Namespace) -> dict:
    """Run a command with progress bars; return what was made."""
    from mmtvface.animation.teaser import animate_teaser
    from mmtvface.animation.tracks import is_codes, read_codes
    from mmtvface.animation.transfer import animate_transfer
    from mmtvface.apis import FaceReconstructor, open_frames
    from mmtvface.utils.atomic import writable_dir

    settings = from_args(args.settings, args)
    transfers = isinstance(settings, TransferCommand)
    # No folder is made for an input that is not there, and no model is built
    # for a folder that cannot be written to.
    for name in ([args.source, args.driver] if transfers else
                 [args.source]):
        if is_codes(name):
            read_codes(name)
        else:
            open_frames(name)
    writable_dir(settings.out)
    reconstructor = FaceReconstructor(args.config, args.checkpoint,
                                      settings=settings.reconstruct)
    with step_bars(26) as show:
        if transfers:
            return animate_transfer(
                reconstructor, args.source, args.driver, settings.out,
                settings.options, settings.driver_frames, show)
        return animate_teaser(reconstructor, args.source, settings.out,
                              settings.options, show)


def summary(made: dict, coarse: bool) -> str:
    """Lines that say what was made and where."""
    lines = [f'Animated {made.get("frames_animated", made["frames"])} of '
             f'{made["frames"]} frames.']
    if skipped := made.get('skipped'):
        shown = ', '.join(skipped[:5]) + (', ...' if skipped[5:] else '')
        lines.append(f'  no face in {len(skipped)} ({shown})')
    if not made['detail'] and not coarse:
        lines.append('  without wrinkles: the model has no detail branch')
    if not made['textured']:
        lines.append('  grey only: the model has no albedo model or UV map')
    lines += [f'  {kind + ":":<10} {path}'
              for kind, path in made['files'].items()]
    return '\n'.join(lines) + '\n'


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    start_lightly()
    from mmtvface.utils.command_line import run_command
    kept = dict(
        transfer='the frames that were finished before, if any, are in',
        teaser='a teaser is kept only if it is complete: no half video is in')

    def work() -> None:
        sys.stdout.write(summary(animate(args), not args.detail))

    return run_command(
        work, f'Interrupted; {kept[args.command]} {args.out}.')
