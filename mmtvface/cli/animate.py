# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Animate a reconstructed face: expression transfer, or a teaser.

Examples::

    mmtvface animate transfer me.jpg actor.mp4
    mmtvface animate teaser CONFIG CHECKPOINT me.jpg
"""

import argparse
import sys

from .light_start import start_lightly
from .number_arguments import positive
from .shared import add_model, add_reading, check_model, step_bars

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
SAVES = ('codes', 'obj', 'dense')


def _add_common(parser: argparse.ArgumentParser, size: int) -> None:
    """Options of both commands, for the model and for the look."""
    parser.add_argument('--size', type=positive(int), default=size,
                        help='side of each picture in pixels (default: '
                        '%(default)s)')
    parser.add_argument('--background', type=int, default=255,
                        help='grey behind heads, 0 to 255 (default: '
                        '%(default)s)')
    parser.add_argument('--texture', choices=('model', 'photo'),
                        default='model', help='colours from the albedo model '
                        "or from the source's own frame (default: "
                        '%(default)s)')
    parser.add_argument('--coarse', action='store_true',
                        help='without the detail branch')
    parser.add_argument('--source-frame', metavar='FRAME',
                        help="number (from 0) or name of the source's frame "
                        'whose codes are taken (default: a robust mean over '
                        'all frames)')
    add_reading(parser)


def _add_command(commands: argparse._SubParsersAction, name: str, help: str,
                 text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=help, description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model(parser)
    parser.add_argument('source', help='who is animated')
    return parser


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Animate faces.')
    commands = parser.add_subparsers(dest='command', required=True)
    transfer = _add_command(commands, 'transfer', 'put an expression onto '
                            'another face', TRANSFER)
    transfer.add_argument('driver', help='whose expression it is')
    transfer.add_argument('--out', default='work_dirs/transfer',
                          help='output folder (default: %(default)s)')
    transfer.add_argument('--driver-frames', metavar='INPUT',
                          help="what the driver's codes.npz was made from, "
                          'to show it')
    transfer.add_argument('--pose', choices=('driver', 'source', 'fixed'),
                          default='driver', help='where the rotation of the '
                          'head comes from (default: %(default)s)')
    transfer.add_argument('--angles', nargs=3, type=float, default=(0, 0, 0),
                          metavar=('YAW', 'PITCH', 'ROLL'),
                          help='of --pose fixed, degrees; positive: to the '
                          "person's left, down, right shoulder (default: "
                          '0 0 0)')
    transfer.add_argument('--relative', action='store_true',
                          help='add the change of the expression from the '
                          "driver's face at rest to the source's own")
    transfer.add_argument('--neutral-frame', metavar='FRAME',
                          help="the driver's frame at rest, for --relative "
                          '(default: the median over all frames)')
    transfer.add_argument('--camera', choices=('source', 'fit'),
                          default='source', help='size of the face as the '
                          'source has it, or so that the whole head is seen '
                          '(default: %(default)s)')
    transfer.add_argument('--save', nargs='*', choices=SAVES, metavar='KIND',
                          default=['codes'], help='what to write beside the '
                          f'video, of: {" ".join(SAVES)} (default: codes)')
    transfer.add_argument('--fps', type=positive(float),
                          help='frames per second (default: as the driver)')
    _add_common(transfer, 384)
    teaser = _add_command(commands, 'teaser', 'show a head from all sides '
                          'and in motion', TEASER)
    teaser.add_argument('--out', default='work_dirs/teaser',
                        help='output folder (default: %(default)s)')
    teaser.add_argument('--frames', type=positive(int), default=300,
                        help='length of the video (default: %(default)s)')
    teaser.add_argument('--fps', type=positive(float), default=25.,
                        help='frames per second (default: %(default)s)')
    teaser.add_argument('--expressions', nargs='+', metavar='NAME',
                        help='expressions in their order: numbers of '
                        "components, names of the built-in head's (both "
                        "sides without _L or _R), several joined by '+', or "
                        "'jaw' (default: a choice)")
    teaser.add_argument('--strength', type=float, default=2.,
                        help='coefficient at the peak of an expression '
                        '(default: %(default)s)')
    teaser.add_argument('--yaw', type=float, default=60.,
                        help='largest turn, degrees (default: %(default)s)')
    teaser.add_argument('--pitch', type=float, default=8.,
                        help='largest nod, degrees (default: %(default)s)')
    _add_common(teaser, 512)
    args = parser.parse_args(arguments)
    check_model(parser, args, 'give both before the source, or neither for '
                'the model of the package')
    return args


def animate(args: argparse.Namespace) -> dict:
    """Run a command with progress bars; return what was made."""
    from mmtvface import animation
    from mmtvface.reconstruction.face_reconstructor import FaceReconstructor
    from mmtvface.tracking.frame_source import open_frames
    from mmtvface.utils.atomic import writable_dir

    look = animation.Look(args.size, args.background, args.texture,
                          not args.coarse)
    if args.command == 'transfer':
        options = animation.TransferOptions(
            look, args.pose, tuple(args.angles), args.relative,
            args.neutral_frame, args.source_frame, args.camera,
            tuple(args.save), args.fps)
        inputs = [args.source, args.driver]
    else:
        options = animation.TeaserOptions(
            look, args.frames, args.fps, yaw=args.yaw, pitch=args.pitch,
            expressions=args.expressions and tuple(args.expressions),
            strength=args.strength, source_frame=args.source_frame)
        inputs = [args.source]
    # No folder is made for an input that is not there, and no model is built
    # for a folder that cannot be written to.
    for name in inputs:
        if animation.is_codes(name):
            animation.read_codes(name)
        else:
            open_frames(name)
    writable_dir(args.out)
    reconstructor = FaceReconstructor(
        args.config, args.checkpoint, args.device,
        clip_length=args.clip_length, overlap=args.overlap,
        crop_scale=args.crop_scale,
        detector=args.detector, refine=args.refine)
    with step_bars(26) as show:
        if args.command == 'transfer':
            return animation.animate_transfer(
                reconstructor, args.source, args.driver, args.out, options,
                args.driver_frames, show)
        return animation.animate_teaser(reconstructor, args.source, args.out,
                                        options, show)


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
        sys.stdout.write(summary(animate(args), args.coarse))

    return run_command(
        work, f'Interrupted; {kept[args.command]} {args.out}.')
