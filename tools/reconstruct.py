# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Reconstruct the face in an image, a folder, a clip folder or a video.

Example::

    python tools/reconstruct.py CONFIG CHECKPOINT film.mp4 --out work_dirs/film
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

EPILOG = """\
input: an image, a folder of images, a clip folder (jpg/, optionally
kpt/<name>_kpt2d.npy and serial.npy) or a video.
output: meshes/<frame>.obj, codes.npz, overlay_grid.png, overlay.mp4,
landmarks/<frame>.npy (on request) and metrics.json."""
KINDS = ('obj', 'codes', 'overlay', 'video', 'landmarks')
DETECTORS = ('mediapipe', 'face-alignment')


def positive(kind: type) -> Callable[[str], float]:
    """Parser of a positive number, for argparse."""
    def parse(text: str) -> float:
        value = kind(text)
        if not 0 < value < float('inf'):
            raise argparse.ArgumentTypeError(f'{text} is not positive')
        return value

    parse.__name__ = kind.__name__
    return parse


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Reconstruct animatable 3D faces.', epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of the model')
    parser.add_argument('checkpoint', help='weights (.pth)')
    parser.add_argument('input', help='image, folder, clip folder or video')
    parser.add_argument('--out', default='work_dirs/reconstruct',
                        help='output folder (default: %(default)s)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: '
                        'cuda if there is one)')
    parser.add_argument('--save', nargs='+', choices=KINDS, metavar='KIND',
                        default=list(KINDS[:4]),
                        help=f'what to write, of: {" ".join(KINDS)} '
                        f'(default: {" ".join(KINDS[:4])})')
    parser.add_argument('--detector', choices=DETECTORS, default=DETECTORS[0],
                        help='what finds faces where no landmarks are given '
                        '(default: %(default)s)')
    parser.add_argument('--clip-length', type=positive(int),
                        help='frames per clip (default: as trained)')
    parser.add_argument('--crop-scale', type=positive(float),
                        help='crop relative to the landmark box (default: '
                        'as trained)')
    parser.add_argument('--batch-size', type=positive(int), default=1,
                        help='clips at once (default: %(default)s)')
    parser.add_argument('--fps', type=positive(float),
                        help='frames per second of the overlay video '
                        '(default: as the input, or 25)')
    parser.add_argument('--independent', action='store_true',
                        help='the frames do not follow one another')
    return parser.parse_args(arguments)


def reconstruct(args: argparse.Namespace) -> dict:
    """Run the reconstruction with progress bars; return what was saved."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from mmtvface.apis import FaceReconstructor, open_frames, save_results
    from mmtvface.utils.atomic import writable_dir

    # No folder is made for an input that is not there, and no model is built
    # for a folder that cannot be written to.
    source = open_frames(args.input)
    writable_dir(args.out)
    if args.fps:
        source.fps = args.fps
    reconstructor = FaceReconstructor(
        args.config, args.checkpoint, args.device,
        clip_length=args.clip_length, crop_scale=args.crop_scale,
        batch_size=args.batch_size, detector=args.detector)
    columns = (TextColumn('{task.description:<18}'), BarColumn(),
               MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bars:
        tasks: dict[str, int] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=None)
            bars.update(tasks[step], completed=done, total=total or None)

        results = reconstructor(source, independent=args.independent,
                                progress=show)
        saved = save_results(results, source, args.out,
                             reconstructor.build_renderer(), args.save)
    return saved


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
    lines += [f'  {kind + ":":<10} {path}'
              for kind, path in saved['files'].items()]
    return '\n'.join(lines) + '\n'


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    try:
        saved = reconstruct(args)
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get('MMTVFACE_TRACEBACK'):
            raise
        sys.stderr.write(f'error: {" ".join(str(error).split())}\n')
        return 2
    except KeyboardInterrupt:
        sys.stderr.write('Interrupted; what was reconstructed before is in '
                         f'{args.out}.\n')
        return 130
    finally:
        logging.shutdown()
    sys.stdout.write(summary(saved))
    return 0


if __name__ == '__main__':
    sys.exit(main())
