# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Make a training set of face clips from videos.

Example::

    mmtvface prepare EPISODES --out data/tv
"""

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from .light_start import start_lightly

if TYPE_CHECKING:
    from mmtvface.dataset_tools.clip_maker import Report, VideoSource

EPILOG = """\
what is written to --out:
  {train,val,test}/<clip>/   jpg/ kpt/ seg/masks/ serial.npy meta.json, as
                             FaceClipDataset reads them
  manifest.json              all clips and videos
  report.txt report.html contact_sheet.png
  .work/                     what a later run needs to continue

The same command continues after an interruption, redoes nothing that is
finished, and adds new videos to a set. No person and no video is in two
splits: people are told apart by --identities or --identity-weights, else each
track is a person, and --group-by folder keeps all episodes of a series
together.

settings (--cfg-options, or settings=dict(...) in --config):
"""


def positive(text: str) -> int:
    """A whole number of at least 0."""
    if int(text) < 0:
        raise argparse.ArgumentTypeError(f'{text} is negative')
    return int(text)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    from mmengine.config import DictAction
    parser = argparse.ArgumentParser(
        description='Make a training set of face clips from videos.',
        epilog=EPILOG + settings_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', nargs='+', metavar='VIDEO',
                        help='videos, or folders that are searched for them')
    parser.add_argument('--out', required=True, help='folder of the set')
    parser.add_argument('--config', help='file with settings = dict(...), '
                        'e.g. configs/_base_/clips/mediapipe.py')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        default={}, metavar='KEY=VALUE',
                        help='settings, see below')
    parser.add_argument('--backend', choices=('mediapipe', 'face-alignment'),
                        help='what finds faces and landmarks')
    parser.add_argument('--masks', choices=('outline', 'parsing', 'none'),
                        help='skin masks')
    parser.add_argument('--workers', type=positive,
                        help='videos at a time (default: one per core; 0: '
                        'in this process)')
    parser.add_argument('--split', nargs=3, type=float, metavar=(
        'TRAIN', 'VAL', 'TEST'), default=(.8, .1, .1),
                        help='shares of the frames (default: .8 .1 .1)')
    parser.add_argument('--group-by', choices=('video', 'folder'),
                        default='video', help='what is never divided '
                        '(default: %(default)s)')
    parser.add_argument('--identities', default='', metavar='JSON',
                        help='people you know: {"<clip or track>": "name"}')
    parser.add_argument('--identity-weights', metavar='FILE',
                        help='resnet50_ft_weight.pkl of VGGFace2: recognises '
                        'people over videos')
    parser.add_argument('--seed', type=int, default=0,
                        help='of the division (default: %(default)s)')
    parser.add_argument('--pack', action='store_true',
                        help='also write packed/<split>.lmdb, one file per '
                        'split, for clusters')
    try:
        return parser.parse_args(arguments)
    except ValueError as error:  # of DictAction
        parser.error(f'--cfg-options must be KEY=VALUE ({error})')


def settings_help() -> str:
    """All settings and their defaults."""
    from dataclasses import MISSING, fields

    from mmtvface.dataset_tools.clip_maker.settings import ClipSettings
    lines = []
    for entry in fields(ClipSettings):
        value = ({} if entry.default is MISSING else entry.default)
        lines.append(f'  {entry.name:<16} default {value!r}')
    return '\n'.join(lines)


def read_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Settings of the config file and the command line.

    Raises:
        ValueError: If the file has no settings, or one is unknown.
        FileNotFoundError: If there is no such file.
    """
    from dataclasses import fields

    from mmengine.config import Config

    from mmtvface.dataset_tools.clip_maker.settings import ClipSettings
    cfg = Config(dict(settings={}))
    if args.config:
        try:
            cfg = Config.fromfile(args.config)
        except (SyntaxError, NameError, AttributeError, KeyError,
                TypeError) as error:
            raise ValueError(f'{args.config} cannot be read ('
                             f'{type(error).__name__}: {error}).') from error
        if not isinstance(cfg.get('settings'), dict):
            raise ValueError(f'{args.config} has no settings = dict(...).')
    cfg.merge_from_dict({f'settings.{key}': value
                         for key, value in args.cfg_options.items()})
    values = cfg.settings.to_dict()
    for name in ('backend', 'masks'):
        if getattr(args, name):
            values[name] = getattr(args, name)
    known = {entry.name for entry in fields(ClipSettings)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f'Unknown settings {unknown}; there are '
                         f'{sorted(known)}.')
    return values


class ProgressView:
    """One bar for all frames, with rate and time left.

    Frames of videos whose length is not known are added when it is.
    """

    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._task = bars.add_task('frames', total=None, rate='', videos='')
        self._start = time.monotonic()
        self._first: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._total: dict[str, int] = {}
        self._ended: set[str] = set()

    def __call__(self, report: 'Report', videos: list['VideoSource']) -> None:
        """Show the news of a video."""
        key = report.key
        if report.ended:
            self._ended.add(key)
            if report.done:
                self._first.setdefault(key, report.done)
                self._done[key] = report.done
            self._total[key] = self._done.get(key, 0)
            if report.error:
                self._bars.console.print(f'{key}: {report.error}',
                                         markup=False)
        else:
            self._first.setdefault(key, report.done)
            self._done[key] = report.done
            self._total[key] = max(report.total, report.done)
        done = sum(self._done.values())
        # Videos not opened yet count as much as the mean of the others.
        known = sum(self._total.values())
        total = (known / len(self._total) * len(videos) if self._total
                 else None)
        work = done - sum(self._first.values())
        rate = work / max(time.monotonic() - self._start, 1e-6)
        self._bars.update(
            self._task, completed=done, total=total,
            rate=f'{rate:.0f} frames/s',
            videos=f'{len(self._ended)}/{len(videos)} videos')


def make(args: argparse.Namespace) -> str:
    """Make the set; return the report."""
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from mmtvface.dataset_tools import (
        SetOptions,
        build_embedder,
        make_clip_set,
    )
    from mmtvface.dataset_tools.clip_maker import SPLITS, ClipSettings

    settings = ClipSettings(**read_settings(args))
    options = SetOptions(
        ratios=dict(zip(SPLITS, args.split, strict=True)),
        group_by=args.group_by, identities=args.identities, seed=args.seed,
        embedder=build_embedder(args.identity_weights, settings.device)
        if args.identity_weights else None)
    workers = args.workers
    if workers is None:
        workers = len(os.sched_getaffinity(0))
    columns = (TextColumn('{task.fields[videos]}'), BarColumn(),
               TextColumn('{task.completed:.0f} frames'),
               TextColumn('{task.fields[rate]}'), TimeRemainingColumn())
    with Progress(*columns) as bars:
        made, text = make_clip_set(args.videos, args.out, settings, options,
                                   workers, ProgressView(bars))
    if args.pack:
        from mmtvface.dataset_tools.clip_packing import pack_set
        pack_set(made.root, made.root / 'packed')
        text += f'\nPacked: {made.root / "packed"}\n'
    return text


def main(arguments: list[str] | None = None) -> int:
    """Run the command; errors of the user are one sentence and code 2."""
    args = parse_args(arguments)
    start_lightly()
    from mmtvface.utils.command_line import run_command

    def work() -> None:
        sys.stdout.write(make(args))

    return run_command(
        work, 'Interrupted; run the same command again to continue.')
