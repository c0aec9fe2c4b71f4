# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Measure the reconstruction of real videos against MediaPipe's face mesh.

Every video of a folder is reconstructed, by default and with other numbers of
refinement steps. MediaPipe's refined mesh (478 points, lips and eyelids by
attention) is found in the same frames, independently of the package's own
tracker, and says how well the motion of mouth, eyelids and head is followed
(correlation, amplitude), how far the landmarks are away, and how much they
jitter. It is no ground truth, and refinement fits to points of the same
network. A face that stands still has correlations and amplitudes of 0.

``results.json``, ``results.md`` and, per video, a contact sheet of the input,
the head over it and the head alone are written.

Example::

    python tools/analysis_tools/real_videos.py VIDEOS --out work_dirs/real \
        --refine 0 2 --single
"""
# ruff: noqa: E402

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmtvface.apis import FaceReconstructor
from mmtvface.benchmarks.real_videos import medians, report, run_video
from mmtvface.cli.shared import natural, positive
from mmtvface.io.video_reader import VIDEO_SUFFIXES
from mmtvface.utils.atomic import atomic_path, writable_dir
from mmtvface.utils.command_line import run_command


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='with the videos')
    parser.add_argument('--out', default='work_dirs/real_videos',
                        help='folder (default: %(default)s)')
    parser.add_argument('--frames', type=positive(int), default=100,
                        help='of each video, from its beginning, in memory '
                        '(default: %(default)s)')
    parser.add_argument('--refine', nargs='*', type=natural, default=[0],
                        metavar='N', help='further runs with so many steps '
                        'of refinement (default: 0)')
    parser.add_argument('--single', action='store_true', help='a further run '
                        'in which the model sees one frame at a time')
    parser.add_argument('--model', nargs=2, metavar=('CONFIG', 'CHECKPOINT'),
                        help='default: the model of the package')
    parser.add_argument('--device', help="default: 'cuda' if there is one")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> int:
    """Measure all videos; 1 if one of them could not be reconstructed.

    Raises:
        ValueError: If the folder has no videos.
    """
    videos = sorted(path for path in args.folder.glob('*')
                    if path.suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise ValueError(
            f'{args.folder} must be a folder with videos '
            f'({", ".join(sorted(VIDEO_SUFFIXES))}), but it has none.')
    out = writable_dir(args.out)
    options: dict[str, dict] = {'default': {}} | {
        f'refine {steps}': dict(refine=steps) for steps in args.refine}
    if args.single:
        options['single frames'] = dict(clip_length=1, identity='frame')
    reconstructors: dict[str, Any] = {}
    for name, option in options.items():
        made = FaceReconstructor(*(args.model or ()), device=args.device,
                                 **option)
        # Not again what is done by default
        if all(made.settings != other.settings
               for other in reconstructors.values()):
            reconstructors[name] = made
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for path in videos:
        try:
            rows += run_video(path, args.frames, reconstructors, out)
        except ValueError as error:  # one video, such as one without a face
            problems.append(f'{path.name}: {error}')
        sys.stderr.write(f'{path.name} done\n')
        text = report(rows, problems)
        for name, content in (
                ('results.md', text),
                ('results.json', json.dumps(dict(
                    rows=rows, medians=medians(rows), problems=problems),
                    indent=1))):
            with atomic_path(out / name) as part:
                part.write_text(content.rstrip() + '\n', encoding='utf-8')
    sys.stdout.write(text.rstrip() + '\n')
    return 1 if problems else 0


def main(arguments: list[str] | None = None) -> int:
    """Entry point; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    return run_command(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
