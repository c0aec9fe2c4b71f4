# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Find the landmarks and masks that belong to the images of published sets.

They lie beside the images or in a tree of their own with the same folders:
``<dir>/<folder>/<image>_kpt2d.npy`` or ``<image>.npy`` (landmarks), and
``<image>_mask.png`` or ``_mask.npy`` (masks; in a tree of their own also
``<image>.png`` or ``.npy``).
"""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from mmtvface.io.clip_index import (
    IMAGE_SUFFIXES,
    LANDMARK_ENDINGS,
    MASK_ENDINGS,
    ClipFrames,
    natural_key,
)

OWN_MASK_ENDINGS = ('_mask.png', '_mask.npy')


def side_dirs(image_dir: str, landmark_dir: str | None,
              mask_dir: str | None) -> dict[str, str]:
    """``data_prefix`` of a set; None is beside the images."""
    return dict(
        images=image_dir,
        landmarks=image_dir if landmark_dir is None else landmark_dir,
        masks=image_dir if mask_dir is None else mask_dir)


def folders_below(root: Path, levels: int) -> Iterator[str]:
    """Folders so many levels below a root, relative to it, sorted."""
    if levels < 1 or not root.is_dir():
        return
    for entry in sorted(os.scandir(root), key=lambda e: e.name):
        if entry.is_dir() and not entry.name.startswith('.'):
            if levels == 1:
                yield entry.name
            else:
                for inner in folders_below(Path(entry.path), levels - 1):
                    yield f'{entry.name}/{inner}'


class SideFiles:
    """Listings of the three trees of a set, one folder at a time.

    Args:
        root: Folder of the set.
        dirs: Sub-folders of images, landmarks and masks, may be equal.
    """

    def __init__(self, root: str | os.PathLike, dirs: dict[str, str]):
        self.root = Path(root)
        self.dirs = dirs
        shared = dirs['masks'] in (dirs['images'], dirs['landmarks'])
        # The rows of a list come back to the same folders.
        self._names = lru_cache(256)(self._scan)
        self.mask_endings = OWN_MASK_ENDINGS + (
            () if shared else MASK_ENDINGS)

    def _scan(self, kind: str, folder: str) -> list[str]:
        try:
            with os.scandir(self.root / self.dirs[kind] / folder) as entries:
                return [entry.name for entry in entries
                        if not entry.name.startswith('.')]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def images(self, folder: str) -> list[str]:
        """Names of the images in a folder, in natural order."""
        return sorted((
            name for name in self._names('images', folder)
            if name.lower().endswith(IMAGE_SUFFIXES)
            and not name.endswith(OWN_MASK_ENDINGS)), key=natural_key)

    def match(self, folder: str, images: Sequence[str]) -> ClipFrames:
        """The files of some images.

        Args:
            folder: Folder relative to each tree, '' for its root.
            images: Names with or without suffix; '' stays ''.

        Returns:
            Names within ``folder``; '' for what is not there.
        """
        there = set(self._names('images', folder))
        by_stem = {Path(name).stem: name for name in there
                   if name.lower().endswith(IMAGE_SUFFIXES)}
        found = [name if name in there else by_stem.get(name, '')
                 for name in images]

        def pick(kind: str, endings: tuple[str, ...]) -> list[str]:
            names = there if self.dirs[kind] == self.dirs['images'] else (
                set(self._names(kind, folder)))
            return [next((
                Path(image).stem + ending for ending in endings
                if image and Path(image).stem + ending in names), '')
                for image in found]

        return ClipFrames(found, pick('landmarks', LANDMARK_ENDINGS),
                          pick('masks', self.mask_endings))
