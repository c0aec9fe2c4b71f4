# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Folders of clean scenes: writing, resuming, checking and reading."""

import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from mmtvface.utils.atomic import atomic_path, writable_dir

from .scenes import RenderedScenes, Scene, SceneSettings

MANIFEST = 'manifest.json'
_DONE = 'done.npy'
_FIELDS = ('images', 'masks', 'landmarks', 'codes')
_POLL = 1.  # seconds between two reports
_PROBE_MM = .01  # what another machine's arithmetic may change


def scene_shapes(settings: SceneSettings, num_scenes: int
                 ) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and type of every array of a folder."""
    front = (num_scenes, settings.scene_length)
    size = settings.image_size
    return dict(
        images=((*front, size, size, 3), np.uint8),
        masks=((*front, size, size), np.uint8),
        landmarks=((*front, 68, 3), np.float32),
        codes=((*front, settings.layout.total), np.float32))


def _read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of scenes.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not one.
    """
    path = folder / MANIFEST
    if not path.is_file():
        split, *lively, size = folder.name.split('_')
        raise FileNotFoundError(
            f'There are no scenes in {folder} (no {MANIFEST}). Make them: '
            f'python tools/synthtv.py generate --out {folder.parent} '
            f'--size {size} --splits {split}'
            + ''.join(f' --performance {name}' for name in lively))
    try:
        manifest = json.loads(path.read_text(encoding='utf-8'))
        manifest['num_scenes'] = int(manifest['num_scenes'])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f'{path} is not a manifest of scenes ({error!r}). Delete '
            f'{folder} and generate it again.') from error
    return manifest


def same_probe(found: Any, probe: Sequence[float]) -> bool:
    """Whether ``head_probe`` of a file is that of a head model."""
    try:
        points = np.array(found, float)
    except (TypeError, ValueError):
        return False
    return points.shape == (len(probe), ) and np.allclose(
        points, probe, rtol=0, atol=_PROBE_MM)


def check_manifest(folder: Path, found: Mapping[str, Any],
                   settings: SceneSettings) -> None:
    """Raise if the scenes of a folder are others than wanted.

    Raises:
        ValueError: Naming what differs.
    """
    wanted = settings.manifest()
    probe, own = wanted.pop('head_probe'), found.get('head_probe')
    wrong = [f'{key} is {found.get(key)!r}, wanted: {value!r}'
             for key, value in wanted.items() if found.get(key) != value]
    if not same_probe(own, probe):
        wrong.append('it was made with another head model')
    if wrong:
        raise ValueError(
            f"The scenes of {folder} do not fit: {'; '.join(wrong)}. Change "
            'the settings of the dataset, or generate such scenes into '
            'another folder (tools/synthtv.py generate).')


class StoredScenes:
    """Scenes of a folder, mapped into memory.

    Args:
        root: Folder that ``tools/synthtv.py generate`` wrote.
        settings: What is expected.

    Raises:
        FileNotFoundError: If the folder has no such scenes.
        ValueError: If they are others or damaged.
    """

    def __init__(self, root: str | os.PathLike, settings: SceneSettings):
        if settings.wrinkles:
            raise ValueError('Folders hold scenes without wrinkles: leave '
                             'data_root out to render those.')
        self.folder = Path(root).expanduser() / settings.name
        manifest = _read_manifest(self.folder)
        check_manifest(self.folder, manifest, settings)
        self._shapes = scene_shapes(settings, manifest['num_scenes'])
        self._arrays: dict[str, np.ndarray] | None = None
        self._arrays = self._open()

    def __getstate__(self) -> dict:
        """Without the arrays: each process maps the files itself."""
        return {**self.__dict__, '_arrays': None}

    def _open(self) -> dict[str, np.ndarray]:
        return {name: _map_array(self.folder / f'{name}.npy', *shape)
                for name, shape in self._shapes.items()}

    def __len__(self) -> int:
        """Number of scenes."""
        return self._shapes['codes'][0][0]

    def __getitem__(self, index: int) -> Scene:
        """Views of the arrays; they cannot be written to."""
        if self._arrays is None:
            self._arrays = self._open()
        return Scene(*(np.asarray(self._arrays[name][index])
                       for name in _FIELDS))


def _map_array(path: Path, shape: tuple[int, ...], dtype: type,
               mode: str = 'r') -> np.ndarray:
    """Map a file of a given shape and type.

    Raises:
        ValueError: If it is damaged or another one.
    """
    remedy = f'Delete {path.parent} and generate it again.'
    try:
        array = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f'Cannot read {path} ({error}). {remedy}') from error
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f'{path} must hold {np.dtype(dtype)} of the shape {shape}, but '
            f'it has {array.dtype} {array.shape}. {remedy}')
    return array


def _create(folder: Path, settings: SceneSettings, num_scenes: int) -> None:
    """Make the empty arrays of a folder, unless they are there."""
    shapes = scene_shapes(settings, num_scenes)
    shapes['done'] = ((num_scenes, ), np.uint8)
    for name, (shape, dtype) in shapes.items():
        path = folder / f'{name}.npy'
        if not path.is_file():
            with atomic_path(path) as part:
                np.lib.format.open_memmap(part, 'w+', dtype, shape).flush()


def fill_scenes(folder: Path, settings: SceneSettings, num_scenes: int,
                part: int = 0, parts: int = 1,
                tell: Callable[[int], None] = lambda count: None) -> None:
    """Render the missing scenes ``part``, ``part + parts``, ... of a folder.

    Args:
        folder: With empty or partly filled arrays.
        settings: Of the scenes.
        num_scenes: Of the folder.
        part: Number of this process.
        parts: Number of processes.
        tell: Is called with the number of scenes done so far, of this part.
    """
    arrays = {name: _map_array(folder / f'{name}.npy', *shape, mode='r+')
              for name, shape in scene_shapes(settings, num_scenes).items()}
    done = _map_array(folder / _DONE, (num_scenes, ), np.uint8, 'r+')
    scenes = RenderedScenes(settings, kept=1)
    for count, index in enumerate(range(part, num_scenes, parts)):
        if not done[index]:
            scene = scenes[index]
            for name, array in arrays.items():
                array[index] = getattr(scene, name)
            # Last: a scene that was cut short is rendered again.
            done[index] = 1
        tell(count + 1)


def prepare_folder(root: str | os.PathLike, settings: SceneSettings,
                   num_scenes: int) -> Path | None:
    """Make or find the unfinished folder of a split.

    Args:
        root: Folder of all splits.
        settings: Of the scenes.
        num_scenes: How many there will be.

    Returns:
        The unfinished folder; None if the finished one is there already.

    Raises:
        ValueError: If a folder of that name holds other scenes.
    """
    folder = Path(root).expanduser() / settings.name
    wanted = dict(settings.manifest(), num_scenes=num_scenes)
    unfinished = folder.with_name(f'{folder.name}.part')
    for place in (folder, unfinished):
        if not (place / MANIFEST).is_file():
            continue
        found = _read_manifest(place)
        check_manifest(place, found, settings)
        if found['num_scenes'] != num_scenes:
            raise ValueError(
                f"{place} holds {found['num_scenes']} scenes, wanted: "
                f'{num_scenes}. Delete it, choose another --out or the same '
                'number.')
        if place == folder:
            return None
    unfinished.mkdir(parents=True, exist_ok=True)
    _create(unfinished, settings, num_scenes)
    with atomic_path(unfinished / MANIFEST) as part:
        part.write_text(json.dumps(wanted, indent=1) + '\n',
                        encoding='utf-8')
    return unfinished


def count_done(folder: Path) -> int:
    """How many scenes of an unfinished folder are there."""
    return int(np.load(folder / _DONE, allow_pickle=False).sum())


def finish_folder(unfinished: Path) -> Path:
    """Give a filled folder its name.

    Returns:
        The finished folder.

    Raises:
        ValueError: If scenes are missing.
    """
    done = np.load(unfinished / _DONE, allow_pickle=False)
    if not done.all():
        raise ValueError(f'{int((done == 0).sum())} scenes of {unfinished} '
                         'are missing. Run the same command again.')
    folder = unfinished.with_name(unfinished.name.removesuffix('.part'))
    unfinished.rename(folder)
    (folder / _DONE).unlink()
    return folder


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
        with FileLock(root / '.lock', timeout=0):
            for settings, count in scenes:
                folder = prepare_folder(root, settings, count)
                if folder is not None:
                    _fill_all(folder, settings, count, workers, tell)
                    finish_folder(folder)
                outcome[str(root / settings.name)] = (
                    'was there' if folder is None else 'made')
    except Timeout as error:
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
