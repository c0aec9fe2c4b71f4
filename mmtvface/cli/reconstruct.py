# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reconstruct the face in an image, a folder, a clip folder or a video.

Examples::

    mmtvface reconstruct video.mp4 --out work_dirs/video
    mmtvface reconstruct CONFIG CHECKPOINT video.mp4
    mmtvface reconstruct video.mp4 --restore RESTORER.py RESTORER.pth
"""

import argparse
import sys
import textwrap
from dataclasses import dataclass, field

from mmtvface.export.writer import OutputSettings, all_kinds
from mmtvface.reconstruction.settings import InputSettings, ReconstructSettings
from mmtvface.utils.settings import Settings, add_options, from_args, option

from .light_start import start_lightly
from .shared import add_model, check_model, step_bars

EPILOG = """\
input: an image, a folder of images, a clip folder (jpg/, optionally
kpt/<name>_kpt2d.npy and serial.npy) or a video.

kinds of output (--save), in the output folder; <name> is that of a frame, or
<frame>_track<id> with --faces all:
"""
ALWAYS = """\
Pictures have the size of the frame (frame/) and of the model's crop (crop/).
metrics.json is always written."""


@dataclass(frozen=True)
class CommandSettings(Settings):
    """All options of the command."""

    out: str = option('work_dirs/reconstruct', 'output folder')
    output: OutputSettings = field(default_factory=OutputSettings)
    input: InputSettings = field(default_factory=InputSettings)
    reconstruct: ReconstructSettings = field(
        default_factory=ReconstructSettings)
    resume: bool = option(
        False, 'go on where the same command was interrupted: faces and '
        'codes are not found again')


def kinds_help() -> str:
    """All kinds of output with their files."""
    lines = []
    for kind in all_kinds().values():
        lines += textwrap.wrap(
            f'{kind.files}: {kind.help}' + (
                f' (needs {kind.required})' if kind.requires else ''), 78,
            initial_indent=f'  {kind.name:<17} ', subsequent_indent=' ' * 20)
    return '\n'.join(lines) + '\n'


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; ``settings`` holds all options."""
    parser = argparse.ArgumentParser(
        description='Reconstruct animatable 3D faces.',
        epilog=EPILOG + kinds_help() + ALWAYS,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model(parser)
    parser.add_argument('input', help='image, folder, clip folder or video')
    add_options(parser, CommandSettings)
    # The model may stand before the options and the input behind them.
    args = parser.parse_intermixed_args(arguments)
    check_model(parser, args, 'give CONFIG CHECKPOINT INPUT, or INPUT alone '
                'for the model of the package')
    try:
        args.settings = from_args(CommandSettings, args)
    except ValueError as error:  # two options that do not go together
        parser.error(str(error))
    return args


def reconstruct(args: argparse.Namespace) -> dict:
    """Run the reconstruction with progress bars; return what was saved."""
    from dataclasses import asdict

    from mmtvface.apis import FaceReconstructor, open_frames
    from mmtvface.utils.atomic import writable_dir

    settings = args.settings
    # No folder is made for an input that is not there, and no model is built
    # for a folder that cannot be written to.
    source = open_frames(args.input)
    writable_dir(settings.out)
    reconstructor = FaceReconstructor(args.config, args.checkpoint,
                                      settings=settings.reconstruct)
    with step_bars() as show:
        return reconstructor.write(
            source, settings.out, progress=show, resume=settings.resume,
            **asdict(settings.input), **asdict(settings.output))


def motion_line(motion: dict) -> str:
    """How the motion is followed, '' if nothing moves.

    Args:
        motion: Of ``metrics.json``.
    """
    from mmtvface.reconstruction.summary import MOTION_NAMES
    parts = []
    for name, found in motion.items():
        if found['amplitude'] is None:
            continue
        start, middle = ((' follows with ', ' of its amplitude (correlation ')
                         if not parts else (' with ', ' ('))
        parts.append(f'{MOTION_NAMES[name]}{start}{found["amplitude"]:.2f}'
                     f'{middle}{found["correlation"]:.2f})')
    return f'motion: {", ".join(parts)}' if parts else ''


def summary(saved: dict) -> str:
    """Lines that say what was made and where."""
    lines = [f'Reconstructed {saved["frames_reconstructed"]} of '
             f'{saved["frames"]} frames ({saved["num_tracks"]} face tracks).']
    for status, names in saved['skipped'].items():
        shown = ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
        lines.append(f'  skipped, {status}: {len(names)} ({shown})')
    if nme := saved['landmark_nme']:
        lines.append(
            f'  landmarks: mean error {100 * nme["mean"]:.2f} % of the '
            f'landmark box, to those {nme["reference"]}')
    if line := motion_line(saved['motion']):
        lines.append(f'  {line}')
    for step in ('refinement', 'smoothing'):
        if statistics := saved.get(step):
            shown = ', '.join(f'{name} {value:.3g}'
                              for name, value in statistics.items())
            lines.append(f'  {step}: {shown}')
    lines += [f'  {kind + ":":<15} {path}'
              for kind, path in saved['files'].items()]
    return '\n'.join(lines) + '\n'


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    start_lightly()
    from mmtvface.utils.command_line import run_command

    def work() -> None:
        sys.stdout.write(summary(reconstruct(args)))

    return run_command(work, 'Interrupted; what was written before is in '
                       f'{args.out}, and --resume goes on from there.')
