# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A picture of the levels of SynthTV."""

from collections.abc import Sequence

import cv2
import numpy as np

from . import LEVELS, SynthTVDataset

_GAP = 2
_BAR = 22


def level_sheet(datasets: Sequence[tuple[str, SynthTVDataset]],
                clips: Sequence[int], frames: Sequence[int]) -> np.ndarray:
    """Frames of clips at several levels, one row for each.

    Args:
        datasets: Label and data set of every row of a clip.
        clips: Numbers of the clips.
        frames: Numbers of the frames.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    rows = []
    for clip in clips:
        for label, dataset in datasets:
            images = dataset[clip]['inputs'][list(frames)]
            images = images.permute(0, 2, 3, 1).numpy()
            strip = np.concatenate([np.pad(
                image, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
                for image in images], 1)
            margin = np.full((len(strip), _BAR, 3), 255, np.uint8)
            rows.append(np.concatenate([_label(margin, label), strip], 1))
        rows.append(np.full((3 * _GAP, rows[-1].shape[1], 3), 255, np.uint8))
    return np.concatenate(rows[:-1])


def _label(margin: np.ndarray, text: str) -> np.ndarray:
    """A margin (H, B, 3) with text that runs upwards."""
    lying = np.ascontiguousarray(np.rot90(margin, -1))
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, .5, 1)[0][0]
    cv2.putText(lying, text, ((lying.shape[1] - width) // 2, 15),
                cv2.FONT_HERSHEY_SIMPLEX, .5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.rot90(lying)


def draw_levels(size: int = 112, clips: Sequence[int] = (0, 1),
                frames: Sequence[int] = (0, 2, 4, 6, 8, 10, 12, 14, 16, 18),
                split: str = 'test') -> np.ndarray:
    """The sheet of all levels, rendered on the fly: (H, W, 3) uint8 RGB.

    Raises:
        ValueError: If there is no such clip.
    """
    datasets = [(level, SynthTVDataset(split, level, clip_length=None,
                                       image_size=size)) for level in LEVELS]
    total = len(datasets[0][1])
    if wrong := [clip for clip in clips if not 0 <= clip < total]:
        raise ValueError(f"There are no clips {wrong}: split '{split}' has "
                         f'the clips 0 to {total - 1}.')
    return level_sheet(datasets, clips, frames)
