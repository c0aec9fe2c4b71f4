# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""Unpack the videos of VoxCeleb2 into folders of frames.

``person/video/utterance.mp4`` becomes ``person/video/utterance/0001.jpg``
and so on, the layout that ``VoxCeleb2Dataset`` reads. An utterance appears
under its name when it is complete; those that are there are kept, so that an
interrupted run goes on where it was. Videos that cannot be decoded are
reported and skipped. ``annotate_faces.py`` then writes landmarks and masks.

Example::

    python tools/dataset_converters/voxceleb2_to_frames.py vox2/dev/mp4 \
        --out data/voxceleb2/dev --workers 8
"""
# ruff: noqa: E402

import argparse
import os
import shutil
import sys
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

# The package of this checkout, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

LAYOUT = 'id00012/21Uxsk56VDQ/00001.mp4'


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Unpack the videos of VoxCeleb2 into frames.')
    parser.add_argument('root', help=f'folder with {LAYOUT}')
    parser.add_argument('--out', required=True, help='folder of the people')
    parser.add_argument('--every', type=int, default=1, metavar='N',
                        help='keep every N-th frame; the numbers in the '
                        'names keep counting all (default: %(default)s)')
    parser.add_argument('--max-frames', type=int, metavar='N',
                        help='keep at most N frames of an utterance')
    parser.add_argument('--quality', type=int, default=95,
                        help='of the JPEG files (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=1,
                        help='processes (default: %(default)s)')
    return parser.parse_args(arguments)


def unpack(video: Path, target: Path, every: int = 1,
           max_frames: int | None = None, quality: int = 95) -> str:
    """Unpack one utterance.

    Args:
        video: The file.
        target: Folder of the frames; appears when it is complete.
        every: Keep every n-th frame.
        max_frames: Most frames to keep.
        quality: Of the JPEG files.

    Returns:
        'done', 'kept', or what is wrong with the video.
    """
    import cv2

    from mmtvface.io.video_reader import decode_video
    if target.is_dir():
        return 'kept'
    part = target.with_name(f'.{target.name}.{os.getpid()}.part')
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        frames = (frame for frame in decode_video(video)
                  if frame.index % every == 0 and not frame.damaged)
        for frame in islice(frames, max_frames):
            path = part / f'{frame.index + 1:04d}.jpg'
            if not cv2.imwrite(str(path), frame.image[..., ::-1],
                               [cv2.IMWRITE_JPEG_QUALITY, quality]):
                raise OSError(f'cannot write {path}')
        if not any(part.iterdir()):
            raise ValueError('no frame is undamaged')
        os.replace(part, target)
    except ValueError as error:
        return str(error)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return 'done'


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    from rich.console import Console
    from rich.progress import track
    console = Console()
    root, out = Path(args.root).expanduser(), Path(args.out).expanduser()
    videos = sorted(root.glob('*/*/*.mp4'))
    try:
        if min(args.every, args.workers, args.max_frames or 1) < 1:
            raise ValueError('--every, --max-frames and --workers must be at '
                             'least 1.')
        if not videos:
            deeper = next((path for path in ('mp4', 'dev/mp4', 'dev', 'test')
                           if next((root / path).glob('*/*/*.mp4'), None)),
                          None)
            raise FileNotFoundError(
                f"No videos in '{root}': looked for '{root / LAYOUT}'."
                + (f" Did you mean '{root / deeper}'?" if deeper else ''))
        targets = [out / path.relative_to(root).with_suffix('')
                   for path in videos]
        work = partial(unpack, every=args.every, max_frames=args.max_frames,
                       quality=args.quality)
        if args.workers == 1:
            results = list(track(map(work, videos, targets),
                                 total=len(videos), console=console))
        else:
            with ProcessPoolExecutor(args.workers) as pool:
                results = list(track(
                    pool.map(work, videos, targets, chunksize=8),
                    total=len(videos), console=console))
    except (OSError, ValueError, ImportError, BrokenExecutor) as error:
        console.print(f'Error: {error}', style='red', markup=False,
                      soft_wrap=True)
        return 2
    bad = [(video, result) for video, result in zip(
        videos, results, strict=True) if result not in ('done', 'kept')]
    for video, result in bad[:20]:
        console.print(f'{video}: {result}', markup=False, soft_wrap=True)
    console.print(f"{results.count('done')} utterances done, "
                  f"{results.count('kept')} kept from before, {len(bad)} "
                  'unusable', highlight=False)
    return 0


if __name__ == '__main__':
    sys.exit(main())
