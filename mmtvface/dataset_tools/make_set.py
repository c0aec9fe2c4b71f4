# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From videos to a training set, in one call that can be repeated."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mmtvface.tracking.detectors import usable_detectors
from mmtvface.utils.atomic import writable_dir

from .assemble import ClipSet, assemble_set
from .clip_maker import (
    ClipSettings,
    Report,
    VideoSource,
    VideoState,
    build_mask_maker,
    find_videos,
    open_state,
    process_videos,
    read_state,
)
from .clip_maker.video_state import LOCK
from .identities import read_identities
from .report import report_text, write_report
from .settings import SetOptions

WORK = '.work'


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep a second run out of a folder.

    Raises:
        ValueError: If another process works there.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(out / '.lock', timeout=0))
        except Timeout as error:
            raise ValueError(
                f'Another process is working in {out}. Wait for it, or '
                'choose another folder.') from error
        yield


def check_ready(settings: ClipSettings) -> None:
    """Make sure that the back-ends can be used, before anything is begun.

    Raises:
        ImportError: If a package is missing.
        FileNotFoundError: If weights are missing.
    """
    if reason := usable_detectors()[settings.backend]:
        raise ImportError(f"The detector '{settings.backend}' cannot be "
                          f'used: {reason}')
    build_mask_maker(settings)


def read_states(work: Path) -> list[VideoState]:
    """States of all videos of a set, sorted by key.

    Raises:
        ValueError: If one is damaged.
    """
    states = [read_state(folder) for folder in sorted(work.iterdir())
                if folder.is_dir()]
    return [state for state in states if state is not None]


def _complete(state: VideoState) -> VideoState:
    """Finish the last step of a video.

    It may not be given again, or its worker has died.
    """
    with FileLock(state.folder / LOCK):
        return open_state(state.folder, state.key, state.source,
                          state.settings)


def make_clip_set(inputs: Sequence[str | os.PathLike],
                  out: str | os.PathLike, settings: ClipSettings,
                  options: SetOptions | None = None, workers: int = 1,
                  tell: Callable[[Report, list[VideoSource]], None]
                  | None = None) -> tuple[ClipSet, str]:
    """Make or extend a set of clips from videos.

    Repeated with the same folder it continues: finished videos are not
    opened again, and new ones are added.

    Args:
        inputs: Videos, and folders of videos.
        out: Folder of the set.
        settings: What clips must be like.
        options: How they are divided.
        workers: Processes; 0 for none.
        tell: Receives the reports of the videos.

    Returns:
        The set and the report.

    Raises:
        FileNotFoundError: If an input, or weights, are not there.
        ImportError: If a back-end is not installed.
        ValueError: If the folder cannot be written to, is in use, or was
            made with other settings.
    """
    options = options or SetOptions()
    videos, skipped = find_videos(inputs)
    check_ready(settings)
    if options.identities:
        read_identities(options.identities)  # before the long work
    out = writable_dir(out)
    work = writable_dir(out / WORK)
    with locked(out):
        for state in read_states(work):
            state.check_settings(settings.fingerprint())
        errors = {}
        with closing(process_videos(videos, work, settings, workers)
                     ) as reports:
            for report in reports:
                if report.error:
                    errors[report.key] = report.error
                if tell is not None:
                    tell(report, videos)
        states = [_complete(state) for state in read_states(work)]
        stored = {**settings.as_dict(), 'ratios': dict(options.ratios),
                  'group_by': options.group_by}
        made = assemble_set(out, states, stored, options)
        text = report_text(made, states, skipped, errors)
        write_report(made, text)
    return made, text
