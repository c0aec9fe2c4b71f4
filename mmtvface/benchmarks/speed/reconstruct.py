# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Measure how fast a video becomes 3D faces, and in how much memory.

Every run is a process of its own: ``mmtvface reconstruct`` with the packaged
model. The shorter video is also reconstructed with its steps one after the
other instead of at the same time, in turn with the usual way. Start-up is in
the times of the runs, but not in the frames per second, which come from the
difference of two lengths.

Example::

    python tools/analysis_tools/benchmark_reconstruct.py --json speed.json
    python tools/analysis_tools/benchmark_reconstruct.py --input video.mp4
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import chain, cycle, islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from mmtvface.io.video_reader import probe_video, read_video
from mmtvface.io.video_writer import write_video

from .. import CHECKOUT
from .video_to_clips import make_video

_SHOT = 120  # frames from cut to cut
_RUN = '''
import resource, sys
sys.path.insert(0, sys.argv.pop(1))
if sys.argv.pop(1) == 'sequential':
    # Before anything else is imported that takes it from there
    from mmtvface.utils import threads
    def plain(items, depth, on_stop=None):
        yield from items
    threads.prefetch = plain
from mmtvface.cli import reconstruct
code = reconstruct.main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
'''


class Run(NamedTuple):
    """One reconstruction.

    Attributes:
        seconds: Of the process.
        peak_mb: Largest resident memory.
    """

    seconds: float
    peak_mb: float


def reconstruct(video: Path, options: list[str], way: str) -> Run:
    """Reconstruct a video in a process of its own.

    Args:
        video: The video.
        options: Of the command.
        way: 'overlapped' or 'sequential'.

    Raises:
        RuntimeError: If it fails; with what it has said.
    """
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, '-c', _RUN, str(CHECKOUT), way, str(video),
             '--out', folder, *options], capture_output=True, text=True)
        seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f'{video}: {done.stdout}{done.stderr}')
    return Run(seconds, int(done.stdout.split()[-1]) / 1024)


def repeated(source: Path, length: int, path: Path) -> Path:
    """A video as a video with cuts: to and fro, from time to time mirrored."""
    frames = list(islice(read_video(source), 200))
    frames = islice(cycle(chain(frames, frames[-2:0:-1])), length)
    return write_video(path, (
        frame if index // _SHOT % 2 else np.ascontiguousarray(frame[:, ::-1])
        for index, frame in enumerate(frames)), probe_video(source).fps)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.
        RawDescriptionHelpFormatter)
    parser.add_argument('--input', type=Path, help='video with a face '
                        '(default: a rendered head, 720p)')
    parser.add_argument('--lengths', type=int, nargs=2, default=(300, 3000),
                        help='frames (default: 300 3000)')
    parser.add_argument('--repeats', type=int, default=3,
                        help='of the shorter one (default: %(default)s)')
    parser.add_argument('--json', type=Path, help='write the statistics there')
    parser.add_argument('options', nargs='*', help='of mmtvface reconstruct, '
                        'behind -- (default: --save codes video)')
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and print its statistics."""
    args = parse_args(arguments)
    options = args.options or ['--save', 'codes', 'video']
    short, long = sorted(args.lengths)
    if short == long:
        raise SystemExit('error: --lengths must differ.')
    with tempfile.TemporaryDirectory() as folder:
        source = args.input
        if source is None:
            source = make_video(Path(folder) / 'head.mp4', 200)
        videos = [repeated(source, length, Path(folder) / f'{length}.mp4')
                  for length in (short, long)]
        runs: dict[str, list[Run]] = {'overlapped': [], 'sequential': []}
        for _ in range(args.repeats):
            for way, found in runs.items():
                found.append(reconstruct(videos[0], options, way))
        whole = reconstruct(videos[1], options, 'overlapped')
    ratio = median(slow.seconds / fast.seconds for slow, fast in zip(
        runs['sequential'], runs['overlapped'], strict=True))
    fast = median(run.seconds for run in runs['overlapped'])
    peak = max(run.peak_mb for run in runs['overlapped'])
    statistics = dict(
        options=options, frames=[short, long],
        seconds=[round(fast, 1), round(whole.seconds, 1)],
        frames_per_second=round((long - short) / (whole.seconds - fast), 1),
        peak_mb=[round(peak), round(whole.peak_mb)],
        peak_growth=round(whole.peak_mb / peak - 1, 4),
        sequential_over_overlapped=round(ratio, 2))
    sys.stdout.write(json.dumps(statistics, indent=2) + '\n')
    if args.json:
        args.json.write_text(json.dumps(statistics, indent=2) + '\n',
                             encoding='utf-8')
