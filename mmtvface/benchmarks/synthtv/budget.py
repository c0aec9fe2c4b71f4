# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Train configs of the benchmark at a budget of their own."""

import os
from pathlib import Path

from mmengine.config import Config


def find_config(name: str, folder: Path) -> Path:
    """A config file, given by its path or by its name in a folder.

    Raises:
        FileNotFoundError: If there is none; names those there are.
    """
    for path in (Path(name), folder / name, folder / f'{name}.py'):
        if path.is_file():
            return path
    known = sorted(path.stem for path in folder.glob('*.py'))
    raise FileNotFoundError(
        f"There is no config '{name}'; in {folder} there are "
        f"{', '.join(known) or 'none'}.")


def budget_options(path: str | os.PathLike, iters: int | None) -> list[str]:
    """Overrides that make a training as long as wanted.

    Args:
        path: Config with an iteration-based training.
        iters: Iterations; None: those of the config.

    Returns:
        ``KEY=VALUE``: the end of the loop, one validation at its end, and
        the ends of the schedules that last until the end.

    Raises:
        ValueError: If the config has no ``train_cfg.max_iters``.
    """
    if iters is None:
        return []
    cfg = Config.fromfile(path)
    old = (cfg.get('train_cfg') or {}).get('max_iters')
    if old is None:
        raise ValueError(f'{path} has no train_cfg.max_iters that --iters '
                         'could change.')
    schedulers = cfg.get('param_scheduler') or []
    if not isinstance(schedulers, list):
        raise ValueError(f'param_scheduler of {path} must be a list.')
    return [f'train_cfg.max_iters={iters}', f'train_cfg.val_interval={iters}',
            *(f'param_scheduler.{index}.end={iters}'
              for index, scheduler in enumerate(schedulers)
              if scheduler.get('end') == old)]


def last_checkpoint(work_dir: str | os.PathLike) -> Path:
    """The newest checkpoint of a training.

    Raises:
        FileNotFoundError: If there is none.
    """
    note = Path(work_dir) / 'last_checkpoint'
    path = Path(note.read_text(encoding='utf-8').strip()) if (
        note.is_file()) else None
    if path is not None and not path.is_file():
        # The folder was moved.
        path = Path(work_dir) / path.name
    if path is None or not path.is_file():
        raise FileNotFoundError(f'There is no checkpoint in {work_dir}.')
    return path
