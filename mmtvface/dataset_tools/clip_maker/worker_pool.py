# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Several videos at a time, each in a process that may die."""

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from filelock import FileLock

from ..settings import ClipSettings
from .extract import extract_clips
from .face_run import build_mask_maker
from .sources import VideoSource
from .video_state import LOCK, open_state

_STOP = None


@dataclass(frozen=True)
class Report:
    """Progress of a video.

    Attributes:
        key: Of the video.
        done: Frames done so far.
        total: Frames in all, 0 if not known.
        ended: Nothing more will come.
        error: Why it failed, '' if it did not. It is tried again by the next
            run.
    """

    key: str
    done: int = 0
    total: int = 0
    ended: bool = False
    error: str = ''


def process_video(video: VideoSource, work: Path, settings: ClipSettings,
                  tell: Callable[[Report], None]) -> None:
    """Extract the clips of one video; errors are reported, not raised.

    Args:
        video: The video.
        work: Folder of the work folders.
        settings: What a clip must be like.
        tell: Receives the reports.
    """
    error, frames = '', 0
    try:
        folder = work / video.key
        folder.mkdir(parents=True, exist_ok=True)
        # A worker whose parent was killed may need a moment to notice.
        with FileLock(folder / LOCK):
            state = open_state(folder, video.key, video.as_dict(),
                                   settings.fingerprint())
            extract_clips(
                video.path, state, settings, build_mask_maker(settings),
                progress=lambda done, total: tell(
                    Report(video.key, done, total)))
            frames = state.next_frame
    except (OSError, ValueError, ImportError) as problem:
        error = str(problem)
    except Exception as problem:
        error = (f'{type(problem).__name__}: {problem} at '
                 f'{traceback.extract_tb(problem.__traceback__)[-1]}')
    tell(Report(video.key, frames, frames, ended=True, error=error))


def _work(pipe: Connection, work: Path, settings: ClipSettings) -> None:
    """Main function of a worker process."""
    # Ctrl-C reaches all processes of the terminal; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError):
        while (video := pipe.recv()) is not _STOP:
            process_video(video, work, settings, pipe.send)


def _death(code: int | None) -> str:
    """Why a worker has ended, in words."""
    if code is not None and code < 0:
        return ('the worker process was killed by signal '
                f'{signal.Signals(-code).name}'
                + (' (out of memory?)' if -code == signal.SIGKILL else ''))
    return f'the worker process ended with exit code {code}'


def process_videos(videos: Sequence[VideoSource], work: Path,
                   settings: ClipSettings, workers: int
                   ) -> Iterator[Report]:
    """Extract the clips of many videos.

    A worker that dies (for want of memory, or by a fault of a codec) costs
    the video it had; another takes its place. If the generator is closed, the
    workers end at once: the states keep what is finished.

    Args:
        videos: The videos.
        work: Folder of the work folders.
        settings: What a clip must be like.
        workers: Processes; 0 works in this one.

    Yields:
        Reports, one with ``ended`` per video.
    """
    if workers == 0:
        for video in videos:
            reports: list[Report] = []
            process_video(video, work, settings, reports.append)
            yield from reports
        return
    # Forked processes would share the threads of MediaPipe half-alive.
    context = multiprocessing.get_context('spawn')
    waiting = list(videos)[::-1]
    busy: dict[Connection, tuple[multiprocessing.Process, VideoSource]] = {}

    def start() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, daemon=True,
                                  args=(theirs, work, settings))
        process.start()
        theirs.close()
        give(ours, process)

    def give(pipe: Connection, process: multiprocessing.Process) -> None:
        if waiting:
            video = waiting.pop()
            busy[pipe] = (process, video)
            # A worker that has died meanwhile is found by wait().
            with suppress(OSError):
                pipe.send(video)
        else:
            busy.pop(pipe, None)
            with suppress(OSError):
                pipe.send(_STOP)
            process.join()
            pipe.close()

    try:
        for _ in range(min(workers, len(videos))):
            start()
        while busy:
            for pipe in wait(list(busy)):
                process, video = busy[pipe]
                try:
                    report = pipe.recv()
                except (EOFError, OSError):  # perhaps within a message
                    process.join()
                    del busy[pipe]
                    pipe.close()
                    yield Report(video.key, ended=True,
                                 error=_death(process.exitcode))
                    if waiting:
                        start()
                    continue
                yield report
                if report.ended:
                    give(pipe, process)
    finally:
        for process, _ in busy.values():
            process.terminate()
        for process, _ in busy.values():
            process.join()
