# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""From ``data_root`` and ``split`` to a store and the clips in it."""

from pathlib import Path

from mmengine.logging import MMLogger

from mmtvface.io.clip_index import IMAGE_SUFFIXES
from mmtvface.utils.assets import listing

from .clip_store import ClipStore, FolderStore, LmdbStore
from .manifest import (
    MANIFEST,
    ClipEntry,
    choose_split,
    identity_of,
    read_manifest,
)

PACKED = '.lmdb'


def find_clips(data_root: str, split: str = '', ann_file: str = '',
               images: str = 'jpg', use_packed: bool = True
               ) -> tuple[ClipStore, list[ClipEntry]]:
    """Find the clips of a set.

    ``data_root`` is a folder with a manifest, a folder with the folders or
    the packed files of the splits, a folder of clips, a single clip, or a
    packed file.

    Args:
        data_root: Folder or packed file.
        split: Name of the split; needed with a manifest.
        ann_file: Text file of ids, one a line, relative to the root or not.
        images: Sub-folder of the images, by which clips are known.
        use_packed: Prefer the packed file of a split to its folders.

    Returns:
        The store and the clips in order.

    Raises:
        FileNotFoundError: If there is nothing; says what is there instead.
        ValueError: If the manifest or a packed file is broken or a split is
            empty.
    """
    root = Path(data_root).expanduser()
    if root.suffix == PACKED:
        return _packed(root, root.parent, ann_file)
    if not root.is_dir():
        packed = root.with_name(root.name + PACKED)
        if packed.is_file() and not split:
            return _packed(packed, root.parent, ann_file)
        raise FileNotFoundError(
            f"data_root is not a folder: '{root}' (looked for "
            f"'{root.absolute()}').")
    if (root / MANIFEST).is_file():
        return _of_manifest(root, split, ann_file, images, use_packed)
    if split:
        packed = root / (split + PACKED)
        if packed.is_file() and use_packed:
            return _packed(packed, root, ann_file)
        if not (root / split).is_dir():
            raise FileNotFoundError(
                f"No split '{split}' in '{root}': looked for '{MANIFEST}', "
                f"'{split}{PACKED}' and '{split}/<id>/{images}', but the "
                f'folder has {listing(root)}.')
        root = root / split
    if ann_file:
        return FolderStore(), _listed(root, ann_file, images)
    return FolderStore(), _bare(root, images)


def _packed(path: Path, root: Path, ann_file: str
            ) -> tuple[ClipStore, list[ClipEntry]]:
    store = LmdbStore(path)
    clips = [ClipEntry(clip['id'], clip['id'], identity_of(clip))
             for clip in store.clips]
    if ann_file:
        by_id = {clip.clip_id: clip for clip in clips}
        chosen, names = read_names(root, ann_file)
        lost = [name for name in names if name not in by_id]
        if lost:
            raise FileNotFoundError(
                f"{len(lost)} of {len(names)} clips in '{chosen}' are not in "
                f"'{store.path}', e.g. '{lost[0]}'.")
        clips = [by_id[name] for name in names]
    if not clips:
        raise ValueError(f"'{store.path}' has no clips.")
    return store, clips


def _of_manifest(root: Path, split: str, ann_file: str, images: str,
                 use_packed: bool) -> tuple[ClipStore, list[ClipEntry]]:
    chosen = choose_split(read_manifest(root), split, root)
    packed = next((path for path in (
        root / (split + PACKED), root / 'packed' / (split + PACKED))
        if path.is_file()), None)
    if packed is not None and use_packed:
        store, clips = _packed(packed, root, ann_file)
        names = {clip['id']: identity_of(clip) for clip in chosen}
        # The folders may have grown since they were packed.
        if {clip['id'] for clip in store.clips} == set(names):
            return store, [ClipEntry(clip.clip_id, clip.folder,
                                     names[clip.clip_id]) for clip in clips]
        MMLogger.get_current_instance().warning(
            f"'{packed}' does not have the clips of '{root / MANIFEST}' and "
            'is not used; write it anew with: python tools/dataset_converters'
            f'/pack_clips.py {root} --out {packed.parent}')
    lost = [clip for clip in chosen
            if not (root / clip['path'] / images).is_dir()]
    if lost:
        raise FileNotFoundError(
            f"{len(lost)} of {len(chosen)} clips in '{root / MANIFEST}' have "
            f"no folder '<path>/{images}', e.g. '{lost[0]['path']}', and "
            f"there is no '{split}{PACKED}' with them. The folder has "
            f'{listing(root)}.')
    if ann_file:
        path, names = read_names(root, ann_file)
        by_id = {clip['id']: clip for clip in chosen}
        lost_names = [name for name in names if name not in by_id]
        if lost_names:
            raise FileNotFoundError(
                f"{len(lost_names)} of {len(names)} clips in '{path}' are "
                f"not in the split '{split}' of '{root / MANIFEST}', e.g. "
                f"'{lost_names[0]}'.")
        chosen = [by_id[name] for name in names]
    return FolderStore(), [ClipEntry(
        clip['id'], str(root / clip['path']), identity_of(clip))
        for clip in chosen]


def read_names(root: Path, ann_file: str) -> tuple[Path, list[str]]:
    """Lines of a text file that is named absolutely or below ``root``."""
    path = Path(ann_file).expanduser()
    path = path if path.is_file() else root / ann_file
    if not path.is_file():
        raise FileNotFoundError(f"ann_file not found: '{ann_file}', neither "
                                f"there nor in '{root}'.")
    return path, [line.strip() for line in path.read_text().splitlines()
                  if line.strip()]


def _known_identities(root: Path) -> dict[str, str]:
    """Identities of the clips in a split, if a manifest is one level up."""
    if not (root.parent / MANIFEST).is_file():
        return {}
    return {clip['path']: identity_of(clip)
            for clip in read_manifest(root.parent)}


def _listed(root: Path, ann_file: str, images: str) -> list[ClipEntry]:
    path, names = read_names(root, ann_file)
    lost = [name for name in names if not (root / name / images).is_dir()]
    if lost:
        raise FileNotFoundError(
            f"{len(lost)} of {len(names)} clips in '{path}' have "
            f"no folder '{images}' under '{root}', e.g. '{lost[0]}'.")
    known = _known_identities(root)
    return [ClipEntry(name, str(root / name),
                      known.get(f'{root.name}/{name}', name))
            for name in names]


def _bare(root: Path, images: str) -> list[ClipEntry]:
    if (root / images).is_dir():
        name = root.resolve().name
        return [ClipEntry(name, str(root), name)]
    known = _known_identities(root.absolute())
    clips = [ClipEntry(folder.name, str(folder), known.get(
        f'{root.absolute().name}/{folder.name}', folder.name))
        for folder in sorted(root.iterdir()) if (folder / images).is_dir()]
    if not clips:
        raise FileNotFoundError(
            f"No clips in '{root}': looked for '<id>/{images}/*.jpg' (or "
            f"'{images}/*.jpg' of a single clip), but the folder has "
            f'{listing(root)}.{_level_hint(root, images)}')
    return clips


def _level_hint(root: Path, images: str) -> str:
    """Whether the root is one level too high or too low."""
    entries = sorted(root.iterdir())
    packed = [path.name for path in entries if path.suffix == PACKED]
    if packed:
        return (f" There are packed clips: use split='"
                f"{packed[0].removesuffix(PACKED)}' or data_root='"
                f"{root / packed[0]}'.")
    for folder in entries:
        if folder.is_dir() and any(
                (clip / images).is_dir() for clip in folder.iterdir()):
            return (f" It is one level too high: use data_root='{folder}', "
                    f"or split='{folder.name}'.")
    if any(path.suffix.lower() in IMAGE_SUFFIXES for path in entries):
        return (f" It holds images: put them into '{images}/', or use "
                f"data_root='{root.absolute().parent}' if this is the image "
                'folder of a clip.')
    return ''
