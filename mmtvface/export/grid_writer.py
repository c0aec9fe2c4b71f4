# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A table of pictures that compares input and reconstruction."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmtvface.visualization.drawing import add_caption, image_grid

from .painted_frame import PaintedFrame
from .panels import panels
from .writer import FrameWriter, save_png

CELL = 256
_COLUMNS = ('detail_overlay', 'rendered', 'normals', 'depth')


class GridWriter(FrameWriter):
    """``overlay_grid.png``: one row per face, of frames spread over the input.

    Columns: input; landmarks (of the input green, of the model red); mesh
    over the input; mesh from the front; and, where the model has the
    parts, mesh with detail, rendered image; normals; depth.

    The length of the input is not known before its end: every ``step``-th
    frame gives rows, and when the rows are too many, every second frame is
    dropped and the step doubled, so that only a few pictures are ever held.

    Args:
        out_dir: Folder.
        most: Most rows; of a frame with more faces the nearest are shown.
    """

    kind = 'grid'

    def __init__(self, out_dir: Path, most: int) -> None:
        self.path = out_dir / 'overlay_grid.png'
        self.most = most
        self._frames: list[list[list[np.ndarray]]] = []
        self._step = 1
        self._seen = 0

    @property
    def rows(self) -> list[list[np.ndarray]]:
        """Pictures of each face so far."""
        return [row for frame in self._frames for row in frame]

    def add_frame(self, faces: Sequence[PaintedFrame]) -> None:
        """Add rows for this frame if its turn has come."""
        drawable = [face for face in faces if face.drawable]
        if not drawable:
            return
        nearest = sorted(drawable, key=lambda face: -face.scale)[:self.most]
        while self._seen % self._step == 0 and self._frames and (
                len(self.rows) + len(nearest) > self.most):
            self._frames = self._frames[::2]
            self._step *= 2
        if self._seen % self._step == 0:
            self._frames.append([self.row(face) for face in drawable
                                 if face in nearest])
        self._seen += 1

    def row(self, frame: PaintedFrame) -> list[np.ndarray]:
        """Pictures of a frame, (CELL, CELL, 3) uint8 each."""
        cells = panels(frame, CELL, _COLUMNS)
        cells.insert(3, frame.painter.front(frame.face, CELL))
        return [add_caption(cells[0], frame.result.name), *cells[1:]]

    def finish(self) -> bool:
        """Write the table, if any frame had a face."""
        if self._frames:
            save_png(self.path, image_grid(self.rows, (CELL, CELL)))
        return bool(self._frames)
