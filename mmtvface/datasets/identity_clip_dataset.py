# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Image sets as clips: K images of one identity."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.io.clip_index import ClipFrames, make_windows
from mmtvface.registry import DATASETS
from mmtvface.utils.safe_pickle import load_npy

from .base_clip_dataset import BaseClipDataset
from .clip_source import listing
from .side_files import SideFiles, folders_below, side_dirs

Row = tuple[str, list[str]]  # identity, image names


def read_name_rows(path: Path) -> list[list[str]]:
    """Read a list of images: one row of names for each sample.

    Args:
        path: ``.npy`` of names, (N, K) or (N,) rows; rows of different
            lengths are stored as an array of lists.

    Returns:
        Names in their rows, empty ones left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else.
    """
    names = load_npy(path, 'list of images', 'It must be an array of image '
                     'names, one row for each sample.')
    rows = names.tolist() if isinstance(names, np.ndarray) else names
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"'{path}' must hold rows of image names, but it is "
                         f'{type(names).__name__} '
                         f'{getattr(names, "shape", "")}.')
    out = []
    for row in rows:
        row = list(row) if isinstance(row, list | tuple | np.ndarray) else (
            [row])
        row = [name.decode() if isinstance(name, bytes) else name
               for name in row]
        if not all(isinstance(name, str) for name in row):
            raise ValueError(
                f"'{path}' must hold rows of image names, but a row is "
                f'{str(row)[:80]}.')
        out.append([name.strip('/') for name in row if name.strip('/')])
    return out


@DATASETS.register_module()
class IdentityClipDataset(BaseClipDataset):
    """Items of K images of one person, from sets of single images.

    Layout, landmarks and masks beside the images by default::

        data_root/<image_dir>/<identity>/<image>.jpg
        data_root/<landmark_dir>/<identity>/<image>.npy    (68, 2) pixels
        data_root/<mask_dir>/<identity>/<image>_mask.png   0/255, optional

    ``<identity>`` may have several levels (``African/m.0abc``). With
    ``ann_file`` a row of the list is one item: with more than K names
    training draws K of them each time. Without, the folders are listed and
    training draws K images of a person. A test takes the names in order, K at
    a time, and hides repeated images from the metrics. The images of an item
    do not follow one another: use models that see single frames.

    Args:
        data_root: Folder of the set.
        ann_file: ``.npy`` lists of names relative to ``image_dir``, with or
            without suffix, one row for each item; one file or several,
            absolute or relative to ``data_root``. '' lists the folders.
        image_dir: Folder of the identities.
        landmark_dir: The same for the landmarks; None: beside the images.
        mask_dir: The same for the masks; None: beside the images.
        clip_length: K.
        short_clips: 'pad' repeats images of a person with fewer than K,
            'skip' leaves the person out.
        test_mode: No random choices, every image once.
        **kwargs: As for :class:`mmtvface.datasets.FaceClipDataset`, but for
            those about time.

    Raises:
        FileNotFoundError: If the root has another layout; says what was
            looked for and what is there.
        ValueError: If a list holds no names or no item is left.
    """

    #: Example of an image, for messages; levels of ``<identity>``.
    EXAMPLE = '<identity>/<image>.jpg'
    LEVELS = 1

    def __init__(self, data_root: str, ann_file: str | Sequence[str] = '',
                 image_dir: str = '', landmark_dir: str | None = None,
                 mask_dir: str | None = None, **kwargs: Any):
        self.lists = [ann_file] if isinstance(ann_file, str) else list(
            ann_file)
        self.lists = [name for name in self.lists if name]
        super().__init__(
            data_root=str(Path(data_root).expanduser()),
            data_prefix=side_dirs(image_dir, landmark_dir, mask_dir),
            **kwargs)

    def _check_root(self) -> Path:
        """The folder of the identities.

        Raises:
            FileNotFoundError: If it is not there or has no identities.
        """
        root, images = Path(self.data_root), self.data_prefix['images']
        wanted = f"'{root / images / self.EXAMPLE}'"
        if not root.is_dir():
            raise FileNotFoundError(
                f"data_root is not a folder: '{root}' (looked for {wanted}, "
                f"in '{root.absolute()}').")
        if self._has_identities(root / images):
            return root / images
        hint = ''
        if (root / images).is_dir():
            found = f"'{root / images}' has {listing(root / images)}"
        else:
            found = f"'{root}' has {listing(root)}"
        above = root.absolute().parent
        if images and self._has_identities(root):
            hint = (f" It is one level too low: use data_root='{above}' and "
                    f"image_dir='{root.absolute().name}'.")
        else:
            for folder in sorted(p for p in root.iterdir() if p.is_dir()):
                if self._has_identities(folder / images):
                    hint = (" It is one level too high: use data_root="
                            f"'{folder}'.")
                elif images and self._has_identities(folder):
                    hint = f" Did you mean image_dir='{folder.name}'?"
                if hint:
                    break
        raise FileNotFoundError(
            f'{type(self).__name__} looked for {wanted}, but {found}{hint}')

    def _has_identities(self, folder: Path) -> bool:
        """Whether images are as deep below as they should be."""
        files = SideFiles(folder, side_dirs('', None, None))
        return any(files.images(name) for name, _ in zip(
            folders_below(folder, self.LEVELS), range(20), strict=False))

    def wanted(self, identity: str) -> bool:
        """Whether an identity belongs to the data set."""
        return True

    def _rows(self, root: Path, files: SideFiles) -> list[Row]:
        """Identities and names, by row of the lists or by folder."""
        if not self.lists:
            return [(folder, files.images(folder))
                    for folder in folders_below(root, self.LEVELS)
                    if self.wanted(folder)]
        rows = []
        for name in self.lists:
            path = Path(name).expanduser()
            path = path if path.is_file() else Path(self.data_root) / name
            if not path.is_file():
                raise FileNotFoundError(
                    f"ann_file not found: '{name}', neither there nor in "
                    f"'{self.data_root}'.")
            for names in read_name_rows(path):
                people = {os.path.dirname(image) for image in names}
                if len(people) > 1:
                    raise ValueError(
                        f"'{path}': a row must show one person, but there "
                        f'are images of {sorted(people)[:3]}.')
                person = people.pop() if people else ''
                if names and self.wanted(person):
                    rows.append((person, [os.path.basename(image)
                                          for image in names]))
        return rows

    def load_clips(self, warnings: list[str]
                   ) -> Iterator[tuple[dict, list[dict]]]:
        """List the people and their images."""
        root = self._check_root()
        files = SideFiles(self.data_root, self.data_prefix)
        lost, found, total = '', 0, 0
        for number, (person, names) in enumerate(self._rows(root, files)):
            frames = files.match(person, names)
            total += len(names)
            found += len(names) - frames.images.count('')
            if '' in frames.images and not lost:
                lost = f"{person}/{names[frames.images.index('')]}"
            usable = self.usable_frames(
                os.path.join(self.data_root, person), frames)
            frames = ClipFrames(*(
                [name for name, good in zip(kind, usable, strict=True)
                 if good] for kind in (frames.images, frames.landmarks,
                                       frames.masks)))
            unlike = usable.count(False)
            if unlike:
                warnings.append(f'{person}: {unlike} of {len(usable)} images '
                               'lack a file and are skipped, first: '
                               f'{names[usable.index(False)]}')
            yield dict(
                clip_id=f'{person}#{number}' if self.lists else person,
                identity=person, folder=self.data_root, frames=frames,
                prefix={kind: os.path.join(where, person)
                        for kind, where in self.data_prefix.items()}
            ), self._cut(len(frames.images))
        if lost and not found:
            raise FileNotFoundError(
                f"None of the {total} images of {self.lists} is in "
                f"'{root}', e.g. '{lost}'. The folder has {listing(root)}.")

    def _cut(self, size: int) -> list[dict]:
        """Windows of one person."""
        if not size:
            return []
        if self.test_mode:
            windows, seen = [], set()
            for frames in make_windows((0, size), self.clip_length,
                                       self.clip_length, self.short_clips):
                repeated = []
                for index in frames:
                    repeated.append(index in seen)
                    seen.add(index)
                windows.append(dict(frames=frames, repeated=repeated))
            return windows
        found = make_windows((0, size), self.clip_length, self.clip_length,
                             self.short_clips)
        # A row of a list is one item, a person is as many as fill it.
        count = 1 if self.lists else max(1, size // self.clip_length)
        return [dict(frames=frames, size=size)
                for frames in found[:count]]

    def choose_frames(self, window: dict, rng: np.random.Generator
                      ) -> list[int]:
        """Draw K of the images if there are more."""
        if window['size'] <= self.clip_length:
            return window['frames']
        return rng.choice(window['size'], self.clip_length,
                          replace=False).tolist()
