# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The command ``mmtvface``: hands over to the commands' own modules."""

import importlib
import sys

from mmtvface.version import __version__

from .light_start import this_process_is_a_command

COMMANDS = {
    'reconstruct': '3D faces of an image, a folder, a clip or a video',
    'animate': 'move expressions from one face to another, or a teaser',
    'view': 'a page that plays a reconstruction in the browser',
    'prepare': 'a training set from videos',
    'info': 'versions, and which back-ends can be used here',
}


def usage() -> str:
    """Help of the command itself."""
    lines = [f'  {name:<13}{text}' for name, text in COMMANDS.items()]
    return '\n'.join([
        f'mmtvface {__version__}: animatable 3D faces from video', '',
        'usage: mmtvface COMMAND ...', '', *lines, '',
        'mmtvface COMMAND --help explains each of them.', ''])


def main(arguments: list[str] | None = None) -> int:
    """Entry point.

    Args:
        arguments: Default: those of the process.

    Returns:
        0; 2 if something the user gave is wrong.
    """
    if arguments is None:
        this_process_is_a_command()
        arguments = sys.argv[1:]
    if not arguments or arguments[0] in ('-h', '--help', 'help'):
        sys.stdout.write(usage())
        return 0
    command, *rest = arguments
    if command == '--version':
        sys.stdout.write(f'{__version__}\n')
        return 0
    if command not in COMMANDS:
        sys.stderr.write(f"error: there is no command '{command}'; there are "
                         f"{', '.join(COMMANDS)}.\n")
        return 2
    # What the parsers of the commands call themselves
    sys.argv[0] = f'mmtvface {command}'
    return importlib.import_module(f'.{command}', __package__).main(rest)
