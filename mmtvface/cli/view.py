# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Show a reconstruction in the browser: one page that needs no network.

Examples::

    mmtvface reconstruct video.mp4 --out work_dirs/video --save codes glb
    mmtvface view work_dirs/video
"""

import argparse
import sys
from dataclasses import dataclass, field

from mmtvface.utils.settings import Settings, add_options, from_args, option
from mmtvface.viewer.settings import ViewSettings

from .shared import step_bars

DESCRIPTION = """\
Write a page on which the reconstructed heads play beside the video: turn
them, switch texture, detail and wireframe, follow the curves of the codes,
click a frame. It is one HTML file that works offline and can be sent to
others; it holds the pictures of the video."""
EPILOG = """\
result: output folder of mmtvface reconstruct with codes and glb
(--save codes glb). view.html#12 opens the page at frame 12."""


@dataclass(frozen=True)
class ViewCommand(Settings):
    """All options of the command."""

    out: str | None = option(
        None, 'the page (default: view.html in the folder)')
    input: str | None = option(
        None, 'what the result was made from (default: what its metrics.json '
        'names)')
    view: ViewSettings = field(default_factory=ViewSettings)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('result', help='output folder of '
                        'mmtvface reconstruct')
    add_options(parser, ViewCommand)
    return parser.parse_args(arguments)


def view(args: argparse.Namespace) -> str:
    """Write the page with a progress bar; return what is to be said."""
    from dataclasses import asdict

    from mmtvface.viewer.write_view import write_view

    settings = from_args(ViewCommand, args)
    with step_bars() as show:
        made = write_view(args.result, settings.out, settings.input, show,
                          **asdict(settings.view))
    return (f'{made["path"]}: {made["frames"]} frames, {made["tracks"]} '
            f'face tracks, {made["bytes"] / 1e6:.1f} MB; open it in a '
            'browser.\n')


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    from mmtvface.utils.command_line import run_command

    def work() -> None:
        sys.stdout.write(view(args))

    return run_command(work, 'Interrupted; no page was written.')
