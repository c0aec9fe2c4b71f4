# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Make a head file of ICT-FaceKit Light, which may be used commercially.

Example::

    git clone https://github.com/ICT-VGL/ICT-FaceKit
    python tools/model_converters/ict_facekit_to_flame.py ICT-FaceKit \
        data/ict_head --parts mouth_socket gums teeth
"""
# ruff: noqa: E402

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

# The package of this checkout, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

OPTIONAL = ('mouth_socket', 'eye_sockets', 'gums', 'teeth')
TEXTURES = ('full', 'mean', 'none')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Convert a checkout of ICT-FaceKit Light to a head in '
        'the format of FLAME.')
    parser.add_argument('kit', help='the checkout, or its folder FaceXModel')
    parser.add_argument('output', help='folder to write')
    parser.add_argument(
        '--parts', nargs='*', default=[], choices=OPTIONAL, metavar='PART',
        help='what the head has besides face, head, neck and eyeballs: '
        f'{", ".join(OPTIONAL)}')
    parser.add_argument(
        '--texture', choices=TEXTURES, default='full',
        help='the kit has no albedo; full: that of the built-in head, '
        'brought over, with its components (FLAME_texture.npz); mean: only '
        'its mean (mean_texture.png); none (default: %(default)s)')
    parser.add_argument(
        '--full-activation', type=float, default=1., metavar='C',
        help='coefficient that gives a full expression; 2 makes unit '
        'variance half-strong, as in the built-in head (default: 1, as in '
        'the kit)')
    parser.add_argument('--force', action='store_true',
                        help='replace an older output')
    return parser.parse_args(arguments)


def track(items: Sequence[str], description: str) -> Iterable[str]:
    """A progress bar on stderr."""
    from rich.console import Console
    from rich.progress import track as bar
    return bar(items, description, console=Console(stderr=True))


def convert(args: argparse.Namespace) -> list[str]:
    """Convert; return what the user should know, line by line."""
    from mmtvface.converters import ict_facekit as ict
    from mmtvface.utils.atomic import writable_dir
    output = Path(args.output).expanduser()
    if (output / 'generic_model.npz').exists() and not args.force:
        raise ValueError(f'{output} holds a head; --force replaces it.')
    kit = ict.read_kit(args.kit, track=track)
    writable_dir(output)
    steps = iter(track(['head', 'texture', 'files'], 'Converting'))
    next(steps)
    head = ict.convert_kit(kit, parts=args.parts,
                           full_activation=args.full_activation)
    next(steps)
    albedo = ict.head_albedo(head, args.texture)
    next(steps)
    ict.save_head(output, head, albedo)
    next(steps, None)
    return describe(output, head.summary())


def describe(output: Path, facts: dict) -> list[str]:
    """What was made, and how a config uses it."""
    shares = ', '.join(
        f'{name} {100 * share:.1f} % '
        f'(leaves {facts["jaw_joint_leaves_rms_mm"][name]:.2f} mm RMS)'
        for name, share in facts['jaw_joint_explains'].items())
    lines = [
        f'{facts["num_vertices"]} vertices, {facts["num_faces"]} faces, '
        f'{len(facts["expression_names"])} expressions, '
        f'{len(facts["uv_sheets"])} UV sheet(s)',
        f'the jaw joint explains {shares}; the rest are pose correctives']
    if facts['jaw_joint_at_limit']:
        lines.append('note: the hinge of the jaw lies at the limit of where '
                     'it was looked for; look at the head with open mouth')
    lines += [f'wrote {output}; a config takes it with',
              f'--cfg-options model.head.type=flame model.head.root={output}']
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    try:
        lines = convert(args)
    except (ValueError, OSError) as error:
        if os.environ.get('MMTVFACE_TRACEBACK'):
            raise
        sys.stderr.write(f'error: {" ".join(str(error).split())}\n')
        return 2
    sys.stdout.write('\n'.join(lines) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
