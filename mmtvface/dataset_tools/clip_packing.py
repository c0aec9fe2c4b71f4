# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Pack the folders of clips into one file per split."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from mmtvface.datasets.clip_source import PACKED, find_clips, listing
from mmtvface.datasets.clip_store import (
    FORMAT,
    FRAMES_KEY,
    INDEX_KEY,
    INSTALL,
    VERSION,
    FolderStore,
    LmdbStore,
    close_environment,
    used_size,
)
from mmtvface.datasets.manifest import MANIFEST, read_manifest
from mmtvface.io.clip_index import DIRS, ClipFrames
from mmtvface.utils.atomic import unfinished_path
from mmtvface.utils.deps import require

_START_SIZE = 64 << 20
_MAX_KEY = 511


def pack_clips(root: str | os.PathLike, split: str,
               target: str | os.PathLike | None = None, *,
               overwrite: bool = False, data_prefix: dict | None = None,
               progress: Callable[[int, int], None] | None = None) -> Path:
    """Pack the clips of a split.

    The file appears under its name when it is complete; an interrupted run
    leaves nothing but a hidden unfinished file, of which the next run warns.
    A complete file is not written again unless clips, their frames or their
    identities have changed.

    Args:
        root: Folder of the set, with a manifest or with ``<split>/<id>``.
            With ``split=''`` the folder of the clips.
        split: 'train', 'val', 'test', ...
        target: The file; default ``root/<split>.lmdb``.
        overwrite: Write the file in any case.
        data_prefix: Other names of the sub-folders: images, landmarks,
            masks.
        progress: Called with the numbers of clips done and of all.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If there are no clips.
        ValueError: If the manifest is broken, ``target`` is something else
            than packed clips, an id names several clips, or a name is too
            long for a key.
    """
    root = Path(root).expanduser()
    if target is None:
        if not split:
            raise ValueError('Without a split, name the target file.')
        target = root / (split + PACKED)
    target = Path(target).expanduser()
    if target.suffix != PACKED:
        raise ValueError(f"The target must end in '{PACKED}', but it is "
                         f"'{target}'.")
    packed = LmdbStore(target).clips if target.exists() else None
    dirs = {**DIRS, **(data_prefix or {})}
    try:
        store, clips = find_clips(str(root), split, images=dirs['images'],
                                  use_packed=False)
    except FileNotFoundError:
        if packed is None or overwrite:
            raise
        return target  # the folders were removed after packing
    if not isinstance(store, FolderStore):
        raise ValueError(f"The clips of '{root}', split '{split}', are "
                         'packed already and there are no folders.')
    ids = Counter(clip.clip_id for clip in clips)
    twice = [name for name, count in ids.items() if count > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} ids name several clips of '{root}', split "
            f"'{split}', e.g. '{twice[0]}'; a packed file needs one clip for "
            'each. Pack the splits one by one.')
    index = [dict(id=clip.clip_id, identity=clip.identity, num_frames=len(
        store.frames(clip.folder, dirs).images)) for clip in clips]
    if packed == index and not overwrite:
        MMLogger.get_current_instance().info(
            f"'{target}' is complete and is kept.")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = unfinished_path(target)
    stale = sorted(target.parent.glob(f'.{target.stem}.*.part{PACKED}'))
    if stale:
        MMLogger.get_current_instance().warning(
            'Left by interrupted runs, unless another one is at work; remove '
            f"them: {', '.join(map(str, stale))}")
    part.unlink(missing_ok=True)
    try:
        with _Writer(part) as writer:
            for number, clip in enumerate(clips):
                frames = store.frames(clip.folder, dirs)
                writer.put({
                    FRAMES_KEY + clip.clip_id: _describe(frames, dirs),
                    **dict(_files(clip.clip_id, Path(clip.folder), frames,
                                  dirs))})
                if progress is not None:
                    progress(number + 1, len(clips))
            # Last: a file with an index is complete.
            writer.put({INDEX_KEY: json.dumps(dict(
                format=FORMAT, version=VERSION, clips=index)).encode()})
        close_environment(target)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


def find_splits(root: str | os.PathLike) -> list[str]:
    """Splits of a set: those of its manifest, or its folders of clips.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If the manifest is broken.
    """
    root = Path(root).expanduser()
    if (root / MANIFEST).is_file():
        return sorted({clip['split'] for clip in read_manifest(root)})
    splits = sorted(
        folder.name for folder in root.iterdir() if folder.is_dir() and any(
            (clip / DIRS['images']).is_dir() for clip in folder.iterdir())
    ) if root.is_dir() else []
    if not splits:
        raise FileNotFoundError(
            f"No splits in '{root}': looked for '{MANIFEST}' and "
            f"'<split>/<id>/{DIRS['images']}', but "
            + (f'the folder has {listing(root)}.' if root.is_dir()
               else 'there is no such folder.'))
    return splits


def pack_set(root: str | os.PathLike,
             target: str | os.PathLike | None = None, **kwargs: Any
             ) -> list[Path]:
    """Pack all splits of a set, see :func:`pack_clips`.

    Args:
        root: Folder of the set.
        target: Folder of the packed files; default ``root``.
        **kwargs: overwrite, data_prefix and progress of :func:`pack_clips`.

    Returns:
        The files.
    """
    target = Path(root if target is None else target).expanduser()
    return [pack_clips(root, split, target / (split + PACKED), **kwargs)
            for split in find_splits(root)]


def _describe(frames: ClipFrames, dirs: dict[str, str]) -> bytes:
    return json.dumps(dict(
        dirs=dirs, images=frames.images, landmarks=frames.landmarks,
        masks=frames.masks)).encode()


def _files(clip_id: str, folder: Path, frames: ClipFrames,
           dirs: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Keys and contents of a clip's files."""
    names = [f'{dirs[kind]}/{name}' for kind in DIRS
             for name in getattr(frames, kind) if name]
    if (folder / 'meta.json').is_file():
        names.append('meta.json')
    for name in names:
        yield f'{clip_id}/{name}', (folder / name).read_bytes()


class _Writer:
    """An LMDB file that is filled; each ``put`` is one transaction."""

    def __init__(self, path: Path):
        self.lmdb = require('lmdb', 'Packing clips', INSTALL)
        self.path = path
        # Nobody else knows the unfinished file; synced once, at the end.
        self.environment = self.lmdb.open(
            str(path), subdir=False, lock=False, sync=False,
            map_size=_START_SIZE)

    def __enter__(self) -> '_Writer':
        return self

    def put(self, entries: dict[str, bytes]) -> None:
        """Write entries, enlarging the file as needed."""
        for key in entries:
            if len(key.encode()) > _MAX_KEY:
                raise ValueError(
                    f'Names may have {_MAX_KEY} bytes in a packed file, but '
                    f"'{key}' has {len(key.encode())}; shorten it.")
        while True:
            try:
                with self.environment.begin(write=True) as transaction:
                    for key, value in entries.items():
                        transaction.put(key.encode(), value)
                return
            except self.lmdb.MapFullError:
                self.environment.set_mapsize(
                    2 * self.environment.info()['map_size'])

    def __exit__(self, *error: Any) -> None:
        size = used_size(self.environment)
        if error[0] is None:
            self.environment.sync(True)
        self.environment.close()
        # Pages at the end that were freed again are never written, but
        # readers take a file without them for truncated.
        if self.path.stat().st_size < size:
            os.truncate(self.path, size)
