# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Landmarks and masks beside the images of sets that come without them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from mmtvface.datasets.side_files import OWN_MASK_ENDINGS
from mmtvface.geometry.face_mask import outline_mask
from mmtvface.io.clip_index import IMAGE_SUFFIXES
from mmtvface.io.image import read_image, read_landmarks
from mmtvface.utils.atomic import atomic_path

#: (H, W, 3) uint8 RGB -> one (68, 2) array per face.
Detector = Callable[[np.ndarray], list[np.ndarray]]
#: Names of images without a face, one a line, in each folder.
WITHOUT_FACE = '.without_face.txt'


def find_images(root: str | os.PathLike) -> Iterator[tuple[Path, list[str]]]:
    """Folders with images below a root, in order.

    Yields:
        A folder and the names of its images.
    """
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        images = sorted(
            name for name in names if name.lower().endswith(IMAGE_SUFFIXES)
            and not name.endswith(OWN_MASK_ENDINGS)
            and not name.startswith('.'))
        if images:
            yield Path(folder), images


def choose_face(faces: list[np.ndarray], size: tuple[int, int]
                ) -> np.ndarray | None:
    """The face that an image is of.

    Args:
        faces: (68, 2) pixel indices each.
        size: Height and width of the image.

    Returns:
        The largest face whose box holds the centre of the image, else the
        largest; None without a face.
    """
    if not faces:
        return None
    center = (np.array(size[::-1]) - 1) / 2

    def rank(points: np.ndarray) -> tuple[bool, float]:
        low, high = points.min(0), points.max(0)
        return (bool(((low <= center) & (center <= high)).all()),
                float((high - low).mean()))

    return max(faces, key=rank)


def annotate_folder(folder: Path, images: list[str], detector: Detector,
                    masks: bool = True) -> dict[str, int]:
    """Write the landmarks and masks of the images of a folder.

    Writes ``<image>.npy`` and ``<image>_mask.png`` beside every image. What
    is there is kept, and images that had no face are not searched again, so
    that an interrupted run goes on where it was.

    Args:
        folder: The folder.
        images: Names of images in it.
        detector: Finds faces.
        masks: Also write masks, of the outline without eyes and mouth.

    Returns:
        How many images were 'done' now, 'kept' from before, have 'no_face'
        or are 'unreadable' (they or landmarks that were there).
    """
    counts = dict(done=0, kept=0, no_face=0, unreadable=0)
    record = folder / WITHOUT_FACE
    empty = set(record.read_text(encoding='utf-8').splitlines()
                ) if record.is_file() else set()
    for name in images:
        stem = folder / Path(name).stem
        points_file = stem.with_name(stem.name + '.npy')
        mask_file = stem.with_name(stem.name + '_mask.png')
        if name in empty:
            counts['no_face'] += 1
            continue
        # The landmarks come last: with them, an image is finished.
        if points_file.is_file() and (mask_file.is_file() or not masks):
            counts['kept'] += 1
            continue
        try:
            image = read_image(folder / name)
            points = read_landmarks(points_file)[:, :2] if (
                points_file.is_file()) else None
        except (OSError, ValueError, EOFError):
            counts['unreadable'] += 1
            continue
        size = image.shape[:2]
        if points is None:
            points = choose_face(
                detector(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)), size)
        if points is None:
            counts['no_face'] += 1
            with record.open('a', encoding='utf-8') as file:
                file.write(name + '\n')
            continue
        if masks:
            mask = 255 * outline_mask(points, size)
            with atomic_path(mask_file) as part:
                # One bit a pixel: decoded three times faster.
                cv2.imwrite(str(part), mask, [cv2.IMWRITE_PNG_BILEVEL, 1])
        if not points_file.is_file():
            with atomic_path(points_file) as part:
                np.save(part, points.astype(np.float32))
        counts['done'] += 1
    return counts
