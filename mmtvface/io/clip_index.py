# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Which frames a clip folder has and how they are cut into windows.

Pure functions of folder listings: no image or array is opened here (except
the small file with the frame order), so that thousands of clips are indexed
in seconds.
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from .image import decode_array

#: Sub-folders of a clip.
DIRS = {'images': 'jpg', 'landmarks': 'kpt', 'masks': 'seg/masks'}
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')
LANDMARK_ENDINGS = ('_kpt2d.npy', '.npy')
MASK_ENDINGS = ('.npy', '.png')


@dataclass
class ClipFrames:
    """Frames of one clip in their order.

    Attributes:
        images: File names; an empty string is a frame that is listed but
            does not exist. It still takes its place in the order.
        landmarks: File names, '' where missing.
        masks: File names, '' where missing.
        warnings: Things about the folder that the user should know.
    """

    images: list[str]
    landmarks: list[str]
    masks: list[str]
    warnings: list[str] = field(default_factory=list)


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sort key by which 'frame10' follows 'frame9'."""
    return [(0, int(part)) if part.isdecimal() else (1, part.lower())
            for part in re.split(r'(\d+)', name) if part]


def _names(folder: Path) -> list[str]:
    """Names in a folder in natural order, none if it is not there."""
    if not folder.is_dir():
        return []
    return sorted((entry.name for entry in folder.iterdir()
                   if not entry.name.startswith('.')), key=natural_key)


def read_order(path: Path) -> list[str]:
    """Frame names in order from ``serial.npy``.

    Raises:
        ValueError: If it is not a one-dimensional array of names.
    """
    try:
        serial = decode_array(path.read_bytes())
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f'{path} is not a plain array of names ({error}); write it with '
            'np.save(path, np.array(names, dtype=str)).') from error
    if serial.dtype.kind not in 'SU' or serial.ndim != 1:
        raise ValueError(
            f'{path} must hold a one-dimensional array of frame names, but '
            f'it is {serial.dtype} of the shape {serial.shape}.')
    return [name.decode() if isinstance(name, bytes) else str(name)
            for name in serial.tolist()]


def list_frames(clip: Path, image_dir: str = 'jpg',
                landmark_dir: str = 'kpt',
                mask_dir: str = 'seg/masks') -> ClipFrames:
    """List a clip folder.

    The order is that of ``serial.npy`` (names with or without suffix) if
    it can be read, else that of the image names, in which 10 follows 9.

    Args:
        clip: Folder of the clip.
        image_dir: Sub-folder of the images.
        landmark_dir: Sub-folder of the landmarks, ``<name>_kpt2d.npy`` or
            ``<name>.npy``.
        mask_dir: Sub-folder of the masks, ``<name>.npy`` or ``.png``.

    Returns:
        The frames in order.
    """
    images = [name for name in _names(clip / image_dir)
              if name.lower().endswith(IMAGE_SUFFIXES)]
    warnings = []
    order_file = clip / 'serial.npy'
    if order_file.is_file():
        try:
            by_stem = {Path(name).stem: name for name in images}
            order = [Path(name).name for name in read_order(order_file)]
            known = set(images)
            found = [name if name in known else by_stem.get(
                name, by_stem.get(Path(name).stem, '')) for name in order]
            lost = [name for name, image in zip(order, found, strict=True)
                    if not image]
            if lost:
                warnings.append(f'{len(lost)} frames of {order_file} are not '
                               f'in {clip / image_dir}, e.g. {lost[0]}')
            images = found
        except ValueError as error:
            warnings.append(f'{error} The sorted names are used.')
    landmark_names = set(_names(clip / landmark_dir))
    mask_names = set(_names(clip / mask_dir))

    def pick(image: str, endings: tuple[str, ...], names: set[str]) -> str:
        stem = Path(image).stem
        return next((stem + ending for ending in endings
                     if image and stem + ending in names), '')

    return ClipFrames(
        images,
        [pick(name, LANDMARK_ENDINGS, landmark_names) for name in images],
        [pick(name, MASK_ENDINGS, mask_names) for name in images], warnings)


def find_runs(usable: list[bool]) -> list[tuple[int, int]]:
    """Maximal runs of usable frames.

    Returns:
        (start, end) pairs, end exclusive.
    """
    runs, start = [], None
    for index, good in enumerate([*usable, False]):
        if good and start is None:
            start = index
        elif not good and start is not None:
            runs.append((start, index))
            start = None
    return runs


def make_windows(run: tuple[int, int], length: int, stride: int,
                 short: str = 'pad', dilation: int = 1) -> list[list[int]]:
    """Cut a run of consecutive frames into windows.

    A window starts at every ``stride``-th frame; a last window that would
    leave the run is moved back to end with it, so that every frame of a run
    is in some window (if stride <= length and dilation = 1). A run shorter
    than a window takes the largest dilation that fits. One of fewer than
    ``length`` frames is mirrored (0 1 2 1 0 1 ...) with ``short='pad'`` and
    left out with 'skip'.

    Args:
        run: First frame and the one after the last.
        length: Frames per window.
        stride: Frames between the starts of windows.
        short: 'pad' or 'skip'.
        dilation: Frames from one frame of a window to the next.

    Returns:
        Frame indices, ``length`` per window.
    """
    start, end = run
    size = end - start
    if size < length:
        if short == 'skip':
            return []
        period = max(1, 2 * (size - 1))
        steps = [index % period for index in range(length)]
        return [[start + min(step, period - step) if size > 1 else start
                 for step in steps]]
    if length > 1:
        dilation = min(dilation, (size - 1) // (length - 1))
    span = (length - 1) * dilation + 1
    starts = list(range(start, end - span + 1, stride))
    if starts[-1] + span < end and starts[-1] + stride < end:
        starts.append(end - span)
    return [list(range(first, first + span, dilation)) for first in starts]


def jitter_frames(frames: list[int], run: tuple[int, int], amount: int,
                  rng: np.random.Generator) -> list[int]:
    """Shift every frame of a window at random without changing the order.

    Args:
        frames: Increasing frame indices within ``run``.
        run: First frame that may be taken and the one after the last.
        amount: Largest shift before frames that would meet are pushed apart.
        rng: Generator.

    Returns:
        Strictly increasing indices within ``run``; the frames as they are if
        they do not increase (mirrored windows).
    """
    if amount == 0 or any(b <= a for a, b in pairwise(frames)):
        return list(frames)
    start, end = run
    moved = np.asarray(frames) + rng.integers(
        -amount, amount + 1, len(frames))
    steps = np.arange(len(frames))
    # Strictly increasing indices are non-decreasing after taking the steps
    # away; a running maximum makes them so, and the limits stay simple.
    slack = np.maximum.accumulate(moved - steps)
    slack = slack.clip(start, end - len(frames))
    return (slack + steps).tolist()
