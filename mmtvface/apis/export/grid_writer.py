# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A table of pictures that compares input and reconstruction."""

from pathlib import Path

import numpy as np

from mmtvface.visualization.drawing import add_caption
from mmtvface.visualization.grid import image_grid

from .painted_frame import PaintedFrame
from .panels import panels
from .writer import Writer, save_png

CELL = 256
_COLUMNS = ('detail_overlay', 'rendered', 'normals', 'depth')


class GridWriter(Writer):
    """``overlay_grid.png``: one row per result, spread over the input.

    Columns: input; landmarks (of the input green, of the model red); mesh
    over the input; mesh from the front; and, where the model has the
    parts, mesh with detail, rendered image; normals; depth.

    The length of the input is not known before its end: every ``step``-th
    result gives a row, and when the rows are too many, every second one is
    dropped and the step doubled, so that only a few pictures are ever held.

    Args:
        out_dir: Folder.
        most: Most rows.
    """

    kind = 'grid'

    def __init__(self, out_dir: Path, most: int) -> None:
        self.path = out_dir / 'overlay_grid.png'
        self.most = most
        self.rows: list[list[np.ndarray]] = []
        self._step = 1
        self._seen = 0

    def add(self, frame: PaintedFrame) -> None:
        """Add a row for this result if its turn has come."""
        if not frame.drawable:
            return
        if self._seen % self._step == 0:
            if len(self.rows) == self.most:
                self.rows = self.rows[::2]
                self._step *= 2
            if self._seen % self._step == 0:
                self.rows.append(self.row(frame))
        self._seen += 1

    def row(self, frame: PaintedFrame) -> list[np.ndarray]:
        """Pictures of a frame, (CELL, CELL, 3) uint8 each."""
        cells = panels(frame, CELL, _COLUMNS)
        cells.insert(3, frame.painter.front(frame.face, CELL))
        return [add_caption(cells[0], frame.result.name), *cells[1:]]

    def finish(self) -> bool:
        """Write the table, if any frame had a face."""
        if self.rows:
            save_png(self.path, image_grid(self.rows, (CELL, CELL)))
        return bool(self.rows)
