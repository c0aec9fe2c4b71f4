# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Join the codes of overlapping clips without a seam."""

from collections.abc import Sequence

import numpy as np
import torch

from mmtvface.geometry.alignment import nearest_rotation
from mmtvface.geometry.rotation import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
)
from mmtvface.structures import FlameCodeLayout


class WindowBlender:
    """Blends what several clips say about a frame.

    A temporal model knows less about the first and the last frames of a clip,
    which have neighbours on one side only. The weight of a clip's opinion
    grows linearly from both its ends to its middle, so that the codes pass
    smoothly from one clip to the next. Rotations are blended as matrices
    (projected mean), everything else linearly.

    Args:
        layout: Of the codes at the beginning of a row; what follows (detail)
            is blended linearly.
    """

    def __init__(self, layout: FlameCodeLayout) -> None:
        begin = 0
        for name, size in layout.sizes.items():
            if name == 'pose':
                break
            begin += size
        self._pose = slice(begin, begin + layout.pose)
        self._rows: dict[int, list[tuple[float, np.ndarray]]] = {}

    def add(self, frames: Sequence[int], rows: np.ndarray,
            until: float) -> list[tuple[int, np.ndarray]]:
        """Take the codes of a clip.

        Args:
            frames: t indices of its frames, increasing.
            rows: (t, C) float32.
            until: Index of the first frame of the clip that comes next; what
                lies before it is finished.

        Returns:
            The finished frames in order, index and (C,) float32. Rows that
            are not finite count only where there is no other.
        """
        count = len(frames)
        for place, (frame, row) in enumerate(zip(frames, rows, strict=True)):
            self._rows.setdefault(frame, []).append(
                (min(place + 1, count - place), row))
        finished = sorted(frame for frame in self._rows if frame < until)
        return [(frame, self._blend(self._rows.pop(frame)))
                for frame in finished]

    def _blend(self, opinions: list[tuple[float, np.ndarray]]) -> np.ndarray:
        sound = [entry for entry in opinions if np.isfinite(entry[1]).all()]
        if len(sound) < 2:
            return (sound or opinions)[0][1]
        weights = np.array([weight for weight, _ in sound], float)
        weights /= weights.sum()
        rows = np.stack([row for _, row in sound]).astype(float)
        mean = weights @ rows
        vectors = torch.from_numpy(rows[:, self._pose]).unflatten(1, (-1, 3))
        matrices = torch.einsum('k,kjab->jab', torch.from_numpy(weights),
                                axis_angle_to_matrix(vectors))
        mean[self._pose] = matrix_to_axis_angle(
            nearest_rotation(matrices)).flatten().numpy()
        return mean.astype(np.float32)
