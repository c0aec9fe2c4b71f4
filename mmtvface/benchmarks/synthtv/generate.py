# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Render the clean scenes of SynthTV into a folder."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from pathlib import Path

import torch

from mmtvface.utils.atomic import writable_dir
from mmtvface.utils.file_lock import file_lock

from . import SceneSettings
from .folder import count_done, fill_scenes, finish_folder, prepare_folder

_POLL = 1.  # seconds between two reports


def _fill(folder: Path, settings: SceneSettings, num_scenes: int, part: int,
          parts: int) -> None:
    """Work of one process; it has a core to itself."""
    torch.set_num_threads(1)
    fill_scenes(folder, settings, num_scenes, part, parts)


def generate(root: str | os.PathLike,
             scenes: Sequence[tuple[SceneSettings, int]],
             workers: int = 2,
             tell: Callable[[str, int, int], None] = lambda *_: None
             ) -> dict[str, str]:
    """Render scenes, or what is missing of them after an interruption.

    Args:
        root: Folder of all splits, made if need be.
        scenes: Settings of the splits, and how many scenes of each.
        workers: Processes; 1 renders in this one.
        tell: Called now and then with the name of a split, the scenes done
            and all scenes.

    Returns:
        Folder of every split -> 'made' or 'was there'.

    Raises:
        ValueError: If a folder holds other scenes, or another process is at
            work in it.
    """
    root = writable_dir(root)
    outcome = {}
    try:
        with file_lock(root / '.lock'):
            for settings, count in scenes:
                folder = prepare_folder(root, settings, count)
                if folder is not None:
                    _fill_all(folder, settings, count, workers, tell)
                    finish_folder(folder)
                outcome[str(root / settings.name)] = (
                    'was there' if folder is None else 'made')
    except BlockingIOError as error:
        raise ValueError(f'Another process is writing to {root}. Wait for '
                         'it, or choose another folder.') from error
    return outcome


def _fill_all(folder: Path, settings: SceneSettings, count: int,
              workers: int, tell: Callable[[str, int, int], None]) -> None:
    """Fill a folder with several processes."""
    if workers == 1:
        fill_scenes(folder, settings, count, tell=lambda done: tell(
            settings.name, done, count))
        return
    # Forked processes would inherit the threads of torch and OpenCV.
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, context) as pool:
        waiting = {pool.submit(_fill, folder, settings, count, part, workers)
                   for part in range(workers)}
        while waiting:
            done, waiting = wait(waiting, _POLL)
            tell(settings.name, count_done(folder), count)
            for future in done:
                future.result()
