# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
r"""A short video as an animated WebP, which pages show without a player.

The picture of the README::

    mmtvface animate teaser data/astronaut.jpg --texture photo --frames 150 \
        --size 256
    python tools/docs/animated_picture.py work_dirs/teaser/teaser.mp4 \
        docs/teaser.webp --quality 85
"""

# ruff: noqa: E402

import argparse
import sys
from itertools import islice
from pathlib import Path

# The package of this checkout, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from PIL import Image

from mmtvface.io.video_reader import probe_video, read_video


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write a short video as an animated WebP.')
    parser.add_argument('video', type=Path)
    parser.add_argument('out', type=Path, help='a .webp file')
    parser.add_argument('--every', type=int, default=2, metavar='N',
                        help='take every n-th frame (default: %(default)s)')
    parser.add_argument('--width', type=int, default=720,
                        help='pixels, at most (default: %(default)s)')
    parser.add_argument('--quality', type=int, default=60,
                        help='0 to 100 (default: %(default)s)')
    parser.add_argument('--max-kb', type=int, default=1500,
                        help='refuse larger files (default: %(default)s)')
    return parser.parse_args(argv)


def write_picture(video: Path, out: Path, every: int = 2, width: int = 720,
                  quality: int = 60, max_kb: int = 1500) -> int:
    """Write the frames of a video, in its time, as an endless WebP.

    Args:
        video: Read from its start to its end.
        out: Its folder must exist.
        every: Every n-th frame is taken.
        width: Wider frames are scaled to it, in pixels.
        quality: Of WebP, 0 to 100.
        max_kb: Size above which nothing is written, in 1000 bytes.

    Returns:
        Size of the file in bytes.

    Raises:
        ValueError: If the picture would be too large.
    """
    frames = []
    for frame in islice(read_video(video), 0, None, every):
        image = Image.fromarray(frame)
        if image.width > width:
            image = image.resize(
                (width, round(image.height * width / image.width)),
                Image.Resampling.LANCZOS)
        frames.append(image)
    part = out.with_suffix('.part')
    frames[0].save(
        part, format='webp', save_all=True, append_images=frames[1:],
        duration=round(1000 * every / probe_video(video).fps), loop=0,
        quality=quality, method=6, minimize_size=True)
    size = part.stat().st_size
    if size > 1000 * max_kb:
        part.unlink()
        raise ValueError(f'The picture has {size / 1000:.0f} kB, allowed are '
                         f'{max_kb}: raise --every or --max-kb, or lower '
                         '--width or --quality.')
    part.replace(out)
    return size


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    args = parse_args(argv)
    try:
        size = write_picture(args.video, args.out, args.every, args.width,
                             args.quality, args.max_kb)
    except (ValueError, OSError) as error:
        sys.stderr.write(f'error: {error}\n')
        return 2
    sys.stdout.write(f'{args.out}: {size / 1000:.0f} kB\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
