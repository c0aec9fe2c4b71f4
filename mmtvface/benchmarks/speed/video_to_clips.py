# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Measure how fast a 720p video with one face becomes clips.

The video is made here: a rendered, talking head that moves before a
background. Baselines: decoding alone, and a plain loop that runs MediaPipe
Face Mesh with its detector on every whole frame and writes every crop.

Example::

    python tools/analysis_tools/benchmark_video_to_clips.py --json speed.json
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch

from mmtvface.dataset_tools.clip_maker import (
    ClipSettings,
    Journal,
    build_mask_maker,
    extract_clips,
    open_journal,
)
from mmtvface.datasets import SyntheticFaceClipDataset
from mmtvface.geometry.crop import crop_matrix, landmark_box, warp
from mmtvface.geometry.face_mask import outline_mask
from mmtvface.io.video_reader import decode_video
from mmtvface.io.video_writer import write_video
from mmtvface.tracking.landmark_detector import MediaPipeLandmarkDetector


def make_video(path: Path, num_frames: int, height: int = 720) -> Path:
    """A talking head that moves before a background.

    Args:
        path: The file.
        num_frames: Frames; the performance runs to and fro.
        height: Of the video, 16:9.
    """
    width, face = height * 16 // 9, height * 3 // 5
    data = SyntheticFaceClipDataset(
        num_clips=1, clip_length=24, image_size=face, degradations=False,
        occluder_prob=0., seed=3)
    heads = data[0]['inputs'].permute(0, 2, 3, 1).numpy()
    rng = np.random.default_rng(0)
    behind = cv2.resize(rng.integers(60, 160, (18, 32, 3), dtype=np.uint8),
                        (width, height), interpolation=cv2.INTER_CUBIC)

    def frames():  # noqa: ANN202
        period = 2 * (len(heads) - 1)
        for i in range(num_frames):
            step = i % period
            image = behind.copy()
            left = int((width - face) / 2 * (1 + .5 * np.sin(i / 40)))
            top = int((height - face) / 2 * (1 + .5 * np.cos(i / 30)))
            image[top:top + face, left:left + face] = heads[
                min(step, period - step)]
            yield image

    return write_video(path, frames(), fps=25.)


def decode(video: Path) -> int:
    """Decode all frames; return their number."""
    return sum(1 for _ in decode_video(video))


def plain_loop(video: Path, out: Path) -> int:
    """Detector and mesh on every whole frame; return the frames."""
    count = 0
    with MediaPipeLandmarkDetector(video=False, max_faces=1) as detector:
        for frame in decode_video(video):
            count += 1
            for points in detector(frame.image):
                matrix = crop_matrix(landmark_box(points), 384, 2.2)
                crop = warp(frame.image, matrix, 384)
                mask = outline_mask(points, frame.image.shape[:2])
                cv2.imwrite(str(out / f'{count}.jpg'), crop[..., ::-1],
                            [cv2.IMWRITE_JPEG_QUALITY, 95])
                cv2.imwrite(str(out / f'{count}.png'),
                            warp(mask, matrix, 384) * 255)
    return count


def whole(video: Path, out: Path) -> Journal:
    """The whole pipeline in this process."""
    settings = ClipSettings()
    journal = open_journal(out, 'video', {}, settings.fingerprint())
    return extract_clips(video, journal, settings,
                         build_mask_maker(settings))


def timed(function: Callable, *args: object) -> tuple[float, object]:
    """Seconds of a call, and what it returned."""
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def measure(num_frames: int, repeats: int) -> dict:
    """Interleaved repeats of the three; medians."""
    seconds: dict[str, list[float]] = dict(decode=[], plain=[], pipeline=[])
    stages: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        video = make_video(root / 'video.mp4', num_frames)
        for repeat in range(repeats):
            taken, frames = timed(decode, video)
            seconds['decode'].append(taken)
            out = root / f'plain{repeat}'
            out.mkdir()
            seconds['plain'].append(timed(plain_loop, video, out)[0])
            taken, journal = timed(whole, video, root / f'out{repeat}')
            seconds['pipeline'].append(taken)
            for name, value in journal.seconds.items():
                stages.setdefault(name, []).append(value)
    kept = sum(clip['num_frames'] for clip in journal.clips)
    if kept < frames / 2:
        raise RuntimeError(f'only {kept} of {frames} frames were kept')
    rates = {name: frames / median(values)
             for name, values in seconds.items()}
    return dict(
        frames=frames, kept=kept, repeats=repeats,
        cores=len(os.sched_getaffinity(0)), frames_per_second=rates,
        times_plain_loop=rates['pipeline'] / rates['plain'],
        ms_per_frame={name: 1000 * median(values) / frames
                      for name, values in stages.items()})


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description='Speed of video_to_clips.')
    parser.add_argument('--frames', type=int, default=300)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--json', help='also write the statistics here')
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    result = measure(args.frames, args.repeats)
    lines = [f'{result["frames"]} frames of 720p with one face, '
             f'{result["kept"]} kept, {result["cores"]} cores']
    lines += [f'{name:10}{rate:8.1f} frames/s'
              for name, rate in result['frames_per_second'].items()]
    lines += [f'{result["times_plain_loop"]:.2f} times the plain loop',
              'where the time of the pipeline goes, ms per frame:']
    lines += [f'  {name:10}{value:6.2f}'
              for name, value in result['ms_per_frame'].items()]
    sys.stdout.write('\n'.join(lines) + '\n')
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=2) + '\n')
    return 0
