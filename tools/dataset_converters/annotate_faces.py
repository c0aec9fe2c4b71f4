# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Write landmarks and masks beside the images of a set.

VGGFace2, BUPT-Balancedface and VoxCeleb2 come without them. Every image
``x.jpg`` gets ``x.npy`` (68 landmarks in pixels) and ``x_mask.png`` (the
outline of the face without eyes and mouth). Run it again after an
interruption: nothing is done twice.

Example::

    python tools/dataset_converters/annotate_faces.py data/vggface2/train \
        --workers 8
"""
# ruff: noqa: E402

import argparse
import multiprocessing
import sys
from collections import Counter
from concurrent.futures import (
    BrokenExecutor,
    ProcessPoolExecutor,
    as_completed,
)
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

# The package of this checkout, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

if TYPE_CHECKING:

    from mmtvface.dataset_tools.face_annotation import Detector

DETECTORS = ('mediapipe', 'face-alignment')
_detector = None  # of a worker


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Write landmarks and masks beside the images of a set.')
    parser.add_argument('root', help='folder of the images, at any depth')
    parser.add_argument('--detector', choices=DETECTORS,
                        default=DETECTORS[0],
                        help='default: %(default)s; nothing is downloaded')
    parser.add_argument('--weights', metavar='DIR',
                        help='folder of the weights of S3FD and FAN, for '
                        "face-alignment (default: torch.hub's)")
    parser.add_argument('--no-masks', action='store_true',
                        help='write landmarks only')
    parser.add_argument('--workers', type=int, default=1,
                        help='processes (default: %(default)s)')
    return parser.parse_args(arguments)


def make_detector(name: str, weights: str | None = None) -> 'Detector':
    """A function from an image to the landmarks of its faces."""
    from mmtvface.tracking.detectors import build_detector
    from mmtvface.tracking.face_tracker import FaceTracker
    options = {} if name == 'mediapipe' else dict(weights=weights)
    tracker = FaceTracker(build_detector(name, **options))
    return lambda image: [face.landmarks.points for face in tracker.update(
        image, cut=True)]  # every image stands alone


def annotate(folder: Path, images: list[str], masks: bool, name: str,
             weights: str | None) -> dict[str, int]:
    """Annotate a folder; the detector of this process is made once."""
    global _detector
    from mmtvface.dataset_tools.face_annotation import annotate_folder
    if _detector is None:
        _detector = make_detector(name, weights)
    return annotate_folder(folder, images, _detector, masks)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    from rich.console import Console
    from rich.progress import track

    from mmtvface.dataset_tools.face_annotation import find_images
    console = Console()
    folders = list(find_images(Path(args.root).expanduser()))
    if not folders or args.workers < 1:
        console.print(
            f"Error: no images in '{args.root}': looked for *.jpg, *.png at "
            'any depth.' if not folders else
            'Error: --workers must be at least 1.', style='red',
            markup=False, soft_wrap=True)
        return 2
    total: Counter[str] = Counter()
    work = partial(annotate, masks=not args.no_masks, name=args.detector,
                   weights=args.weights)
    try:
        if args.workers == 1:
            for folder, images in track(folders, console=console):
                total.update(work(folder, images))
        else:
            # Spawned: the networks' libraries do not survive a fork.
            with ProcessPoolExecutor(
                    args.workers,
                    multiprocessing.get_context('spawn')) as pool:
                jobs = [pool.submit(work, folder, images)
                        for folder, images in folders]
                try:
                    for job in track(as_completed(jobs), total=len(jobs),
                                     console=console):
                        total.update(job.result())
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
    except (ImportError, OSError, ValueError, BrokenExecutor) as error:
        console.print(f'Error: {error}', style='red', markup=False,
                      soft_wrap=True)
        return 2
    console.print(
        f"{total['done']} images done, {total['kept']} kept from before, "
        f"{total['no_face']} without a face, {total['unreadable']} "
        'unreadable', highlight=False)
    return 0


if __name__ == '__main__':
    sys.exit(main())
