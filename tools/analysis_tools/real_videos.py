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
import itertools
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np
from real_video_measures import FOLLOWED, measure, reference_landmarks

from mmtvface.cli.shared import natural, positive
from mmtvface.evaluation.functional import SIGNALS
from mmtvface.evaluation.tables import markdown_table
from mmtvface.export.painted_frame import pose_result
from mmtvface.geometry.crop import warp
from mmtvface.io.video_reader import VIDEO_SUFFIXES, probe_video, read_video
from mmtvface.reconstruction.results import FrameResult
from mmtvface.tracking.frame_source import ArrayFrames
from mmtvface.utils.atomic import atomic_path, writable_dir
from mmtvface.utils.command_line import run_command
from mmtvface.visualization.frame_painter import FramePainter
from mmtvface.visualization.grid import image_grid, spread
from mmtvface.visualization.overlay import overlay_shape

NUMBERS = dict(
    frames='frames', lost='lost', reference_lost='lost, MediaPipe',
    tracks='tracks', fps='frames/s', nme='landmarks %', nme_inner='inner 51 %',
    worst_nme='worst frame %', worst_frame='worst frame', jitter='jitter %',
    reference_jitter='jitter %, MediaPipe')
"""Numbers of :func:`measure` and the speed, and their headings."""
_SIDE, _COLUMNS = 200, 6  # of a contact sheet


class Video(NamedTuple):
    """What every run is measured on.

    Attributes:
        name: Stem of its file.
        frames: (H, W, 3) uint8 RGB each.
        fps: Frames per second.
        reference: (t, 68, 3) pixels and depth, NaN where no face was found.
    """

    name: str
    frames: list[np.ndarray]
    fps: float
    reference: np.ndarray


def medians(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the videos of each run; None does not count."""
    found = []
    for run in dict.fromkeys(row['run'] for row in rows):
        own = [row for row in rows if row['run'] == run]
        median = dict(video='median', run=run)
        for name in own[0].keys() - {'video', 'run', 'worst_frame'}:
            values = [row[name] for row in own if row[name] is not None]
            median[name] = float(np.median(values)) if values else None
        found.append(median)
    return found


def report(rows: Sequence[dict[str, Any]], problems: Sequence[str]) -> str:
    """Tables in Markdown, with the medians below."""
    def show(value: float | None) -> str:
        return '-' if value is None else f'{value:.3g}' if isinstance(
            value, float) else str(value)

    def pair(row: dict[str, Any], name: str) -> str:
        values = row[f'{name}_corr'], row[f'{name}_amplitude']
        return '-' if None in values else '{:.2f}, {:.2f}'.format(*values)

    everything = [*rows, *medians(rows)]
    parts = []
    if rows:
        parts = [
            'Correlation and amplitude of the motion, against MediaPipe:\n',
            markdown_table(
                ('video', 'run', *(SIGNALS[name] for name in FOLLOWED)),
                [(row['video'], row['run'],
                  *(pair(row, name) for name in FOLLOWED))
                 for row in everything]),
            'Landmarks against MediaPipe, jitter and speed:\n',
            markdown_table(
                ('video', 'run', *NUMBERS.values()),
                [(row['video'], row['run'],
                  *(show(row.get(name)) for name in NUMBERS))
                 for row in everything])]
    return '\n'.join([*parts, *(f'FAILED: {text}' for text in problems)])


def contact_sheet(video: Video, runs: Sequence[Sequence[FrameResult]],
                  painter: FramePainter, worst: int | None) -> np.ndarray:
    """Rows: input, then for each run the head over it and the head alone.

    Args:
        video: Whose frames are shown.
        runs: Results of every run, one per frame.
        painter: Of the model.
        worst: Frame that is shown in any case.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    chosen = sorted({*spread(len(video.frames), _COLUMNS - 1),
                     *([] if worst is None else [worst])})
    rows: list[list[np.ndarray]] = [[] for _ in range(1 + 2 * len(runs))]
    for index in chosen:
        image = video.frames[index]
        faces = [results[index] for results in runs]
        place = next((face for face in faces if face.valid), None)
        # The crop of the model, or the whole frame
        side, matrix = (
            (max(image.shape[:2]), np.eye(3)) if place is None else
            (place.crop_size, place.crop_matrix))
        matrix = np.diag([_SIDE / side, _SIDE / side, 1.]) @ matrix
        picture = warp(image, matrix, _SIDE)
        title = picture.copy()
        cv2.putText(title, f'{index}{" worst" * (index == worst)}', (4, 14),
                    cv2.FONT_HERSHEY_SIMPLEX, .45, (255, 255, 0), 1)
        cells = [title]
        for face in faces:
            blank = np.full_like(picture, 255)
            if not face.valid:
                cells += [blank, blank]
                continue
            head = pose_result(painter, face).moved(matrix)
            cells += [overlay_shape(painter.renderer, under, head.vertices,
                                    head.vertices_image, opacity)
                      for under, opacity in ((picture, .5), (blank, 1.))]
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell)
    return image_grid(rows)


def run_video(path: Path, args: argparse.Namespace,
              reconstructors: dict[str, Any], out: Path
              ) -> list[dict[str, Any]]:
    """Measure all runs of a video and write its contact sheet."""
    frames = list(itertools.islice(read_video(path), args.frames))
    video = Video(path.stem, frames, probe_video(path).fps,
                  reference_landmarks(frames))
    source = ArrayFrames(video.frames)
    source.fps = video.fps
    rows, runs = [], []
    for run, reconstructor in reconstructors.items():
        begin = time.perf_counter()
        results = list(reconstructor(source))
        seconds = time.perf_counter() - begin
        runs.append(results)
        rows.append(dict(video=video.name, run=run,
                         fps=len(results) / seconds,
                         **measure(results, video.reference)))
    painter = next(iter(reconstructors.values())).build_painter()
    sheet = contact_sheet(video, runs, painter, rows[0]['worst_frame'])
    with atomic_path(out / f'{path.stem}.png') as part:
        if not cv2.imwrite(str(part), sheet[..., ::-1]):
            raise OSError(f'Cannot write {out / path.stem}.png.')
    return rows


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
    from mmtvface.apis import FaceReconstructor
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
        if all(made.run != other.run for other in reconstructors.values()):
            reconstructors[name] = made
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for path in videos:
        try:
            rows += run_video(path, args, reconstructors, out)
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
