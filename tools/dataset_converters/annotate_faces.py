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
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

# The package of this checkout, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

DETECTORS = ('mediapipe', 'face-alignment')
_detector = None  # of a worker


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Write landmarks and masks beside the images of a set.')
    parser.add_argument('root', help='folder of the images, at any depth')
    parser.add_argument('--detector', choices=DETECTORS,
                        default=DETECTORS[0],
                        help='default: %(default)s; face-alignment downloads '
                        'its weights when it is first used')
    parser.add_argument('--no-masks', action='store_true',
                        help='write landmarks only')
    parser.add_argument('--workers', type=int, default=1,
                        help='processes (default: %(default)s)')
    return parser.parse_args(arguments)


def start_worker(name: str) -> None:
    """Make the detector of this process."""
    global _detector
    from mmtvface.preprocessing import (
        FaceAlignmentLandmarkDetector,
        MediaPipeLandmarkDetector,
    )
    _detector = MediaPipeLandmarkDetector() if name == 'mediapipe' else (
        FaceAlignmentLandmarkDetector())


def annotate(folder: Path, images: list[str], masks: bool) -> dict[str, int]:
    """Annotate a part of a folder in a worker."""
    from mmtvface.datasets.face_annotation import annotate_folder
    return annotate_folder(folder, images, _detector, masks)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    from rich.console import Console
    from rich.progress import track

    from mmtvface.datasets.face_annotation import find_images
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
    try:
        if args.workers == 1:
            start_worker(args.detector)
            for folder, images in track(folders, console=console):
                total.update(annotate(folder, images, not args.no_masks))
        else:
            # Spawned: the networks' libraries do not survive a fork.
            with ProcessPoolExecutor(
                    args.workers, multiprocessing.get_context('spawn'),
                    start_worker, (args.detector, )) as pool:
                jobs = [pool.submit(annotate, folder, images,
                                    not args.no_masks)
                        for folder, images in folders]
                for job in track(as_completed(jobs), total=len(jobs),
                                 console=console):
                    total.update(job.result())
    except (ImportError, OSError) as error:
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
