# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Make a training set of face clips from videos.

Example::

    mmtvface prepare EPISODES --out data/tv
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mmtvface.dataset_tools.settings import SPLITS, ClipSettings, SetOptions
from mmtvface.utils.settings import (
    Settings,
    add_options,
    all_options,
    from_args,
    from_values,
    option,
)

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
together. --config may hold
settings = dict(...) with any of the options from --backend on, under their
names with _ for -.
"""


class _KeysAction(argparse.Action):
    """mmengine's DictAction, which is imported when it is needed."""

    def __call__(self, parser: argparse.ArgumentParser,
                 namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        """Read KEY=VALUE pairs."""
        from mmengine.config import DictAction
        DictAction(self.option_strings, self.dest)(
            parser, namespace, values, option_string)


@dataclass(frozen=True)
class PrepareCommand(Settings):
    """Options of the command besides those of the clips."""

    config: str | None = option(
        None, 'file with settings = dict(...), e.g. '
        'configs/_base_/clips/mediapipe.py')
    workers: int | None = option(
        None, 'videos at a time (default: one per core; 0: in this process)',
        least=0)
    split: tuple[float, float, float] = option(
        (.8, .1, .1), 'shares of the frames',
        metavar=('TRAIN', 'VAL', 'TEST'))
    identity_weights: str | None = option(
        None, 'resnet50_ft_weight.pkl of VGGFace2: recognises people over '
        'videos', metavar='FILE')
    pack: bool = option(
        False, 'also write packed/<split>.lmdb, one file per split, for '
        'clusters')
    options: SetOptions = field(default_factory=SetOptions)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; options of clips only if they are given."""
    parser = argparse.ArgumentParser(
        description='Make a training set of face clips from videos.',
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', nargs='+', metavar='VIDEO',
                        help='videos, or folders that are searched for them')
    parser.add_argument('--out', required=True, help='folder of the set')
    add_options(parser, PrepareCommand)
    parser.add_argument('--cfg-options', nargs='+', action=_KeysAction,
                        default={}, metavar='KEY=VALUE',
                        help='the same as the options below')
    add_options(parser, ClipSettings, given_only=True)
    try:
        args = parser.parse_args(arguments)
    except ValueError as error:  # of DictAction
        parser.error(f'--cfg-options must be KEY=VALUE ({error})')
    return args


def read_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Settings of clips of the config file and the command line.

    Raises:
        ValueError: If the file has no settings, or one is unknown.
        FileNotFoundError: If there is no such file.
    """
    from mmengine.config import Config
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
    known = [entry.name for entry in all_options(ClipSettings)]
    values = cfg.settings.to_dict() | {
        name: value for name, value in vars(args).items() if name in known}
    if unknown := sorted(set(values) - set(known)):
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
        """Show the progress of a video."""
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

    from mmtvface.dataset_tools.identities import build_embedder
    from mmtvface.dataset_tools.make_set import make_clip_set

    settings = from_values(ClipSettings(), read_settings(args))
    command = from_args(PrepareCommand, args)
    options = replace(
        command.options,
        ratios=dict(zip(SPLITS, command.split, strict=True)),
        embedder=build_embedder(args.identity_weights, settings.device)
        if args.identity_weights else None)
    workers = command.workers
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
