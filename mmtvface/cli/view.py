# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Show a reconstruction in the browser: one page that needs no network.

Examples::

    mmtvface reconstruct video.mp4 --out work_dirs/video --save codes glb
    mmtvface view work_dirs/video
"""

import argparse
import sys

from .light_start import start_lightly
from .number_arguments import positive
from .shared import step_bars

DESCRIPTION = """\
Write a page on which the reconstructed heads play beside the video: turn
them, switch texture, detail and wireframe, follow the curves of the codes,
click a frame. It is one HTML file that works offline and can be sent to
others; it holds the pictures of the video."""
EPILOG = """\
result: output folder of mmtvface reconstruct with codes and glb
(--save codes glb). view.html#12 opens the page at frame 12."""


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('result', help='output folder of '
                        'mmtvface reconstruct')
    parser.add_argument('--out', help='the page (default: view.html in the '
                        'folder)')
    parser.add_argument('--input', help='what the result was made from '
                        '(default: what its metrics.json names)')
    parser.add_argument('--height', type=positive(int), default=360,
                        help='of the pictures of the video in pixels, at '
                        'most (default: %(default)s)')
    parser.add_argument('--every', type=positive(int), default=1,
                        help='frames from one picture of the video to the '
                        'next; the heads move in all (default: %(default)s)')
    parser.add_argument('--max-mb', type=positive(float), default=200.,
                        help='largest size of the page (default: '
                        '%(default)g)')
    return parser.parse_args(arguments)


def view(args: argparse.Namespace) -> str:
    """Write the page with a progress bar; return what is to be said."""
    from mmtvface.viewer import write_view

    with step_bars() as show:
        made = write_view(args.result, args.out, args.input, args.height,
                          args.every, args.max_mb, show)
    return (f'{made["path"]}: {made["frames"]} frames, {made["tracks"]} '
            f'face tracks, {made["bytes"] / 1e6:.1f} MB; open it in a '
            'browser.\n')


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    start_lightly()
    from mmtvface.utils.command_line import run_command

    def work() -> None:
        sys.stdout.write(view(args))

    return run_command(work, 'Interrupted; no page was written.')
