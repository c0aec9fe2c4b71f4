# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What shows many frames: videos, and a table of pictures."""

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from ..writer import FrameWriter, Kind, Target, register, save_png

if TYPE_CHECKING:
    from ..painted_frame import PaintedFrame

CELL = 256
_COLUMNS = ('detail_overlay', 'rendered', 'normals', 'depth')


# From the bottom to the top
@register('detail_video', 'detail_overlay.mp4', 'the same with detail',
          requires=['detail'], picture='detail_overlay')
@register('video', 'overlay.mp4', 'the overlays of all frames; videos have '
          'the times and the audio of the input', picture='overlay')
class OverlayVideoWriter(FrameWriter):
    """A video of the heads over all frames that can be read, at their times.

    A context manager, as the file appears when it is left.
    """

    def __init__(self, target: Target, kind: Kind) -> None:
        from mmtvface.io.video_writer import VideoWriter
        super().__init__(target, kind)
        self.path = target.out_dir / kind.files
        self._video = VideoWriter(self.path, target.fps)
        self._begun = False

    def __enter__(self) -> 'OverlayVideoWriter':
        self._video.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._video.__exit__(kind, error, trace)

    def picture(self, faces: 'Sequence[PaintedFrame]') -> np.ndarray:
        """What is shown of a frame with an image; without a face, itself."""
        from ..painted_frame import paint_all
        return paint_all(faces, self.kind.picture)

    def add_frame(self, faces: 'Sequence[PaintedFrame]') -> None:
        """Append a frame that has an image."""
        if faces[0].image is None:
            return
        self._video.write(self.picture(faces), faces[0].time)
        self._begun = True

    def finish(self) -> bool:
        """Add the audio; whether there is a video."""
        from mmtvface.io.audio import add_audio
        if self._begun and (source := self.target.audio()):
            add_audio(self.path, source)
        return self._begun


@register('comparison_video', 'side_by_side.mp4',
          'input, landmarks, mesh, detail and normals side by side')
class ComparisonVideoWriter(OverlayVideoWriter):
    """``side_by_side.mp4``: input, landmarks, mesh, mesh with detail, normals.

    Of several faces the nearest is shown. A frame without a face is shown
    alone.
    """

    SIDE = 256
    _SHOWN = ('detail_overlay', 'normals')

    def picture(self, faces: 'Sequence[PaintedFrame]') -> np.ndarray:
        """(SIDE, n * SIDE, 3) uint8."""
        from mmtvface.io.video_writer import fit_frame
        frame = max(faces, key=lambda face: face.scale)
        if frame.drawable:
            return np.hstack(frame.comparison(self.SIDE, self._SHOWN))
        count = 3 + sum(not frame.painter.missing_part(kind)
                        for kind in self._SHOWN)
        empty = np.zeros((self.SIDE, (count - 1) * self.SIDE, 3), np.uint8)
        return np.hstack([fit_frame(frame.image, self.SIDE, self.SIDE),
                          empty])


@register('grid', 'overlay_grid.png', 'a table of pictures of some frames')
class GridWriter(FrameWriter):
    """``overlay_grid.png``: one row per face, of frames spread over the input.

    Columns: input; landmarks (of the input green, of the model red); mesh
    over the input; mesh from the front; and, where the model has the
    parts, mesh with detail, rendered image; normals; depth. There are at most
    ``target.max_grid_rows``; of a frame with more faces the nearest are
    shown.

    The length of the input is not known before its end: every ``step``-th
    frame gives rows, and when the rows are too many, every second frame is
    dropped and the step doubled, so that only a few pictures are ever held.
    """

    def __init__(self, target: Target, kind: Kind) -> None:
        super().__init__(target, kind)
        self.path = target.out_dir / 'overlay_grid.png'
        self._frames: list[list[list[np.ndarray]]] = []
        self._step = 1
        self._seen = 0

    @property
    def rows(self) -> list[list[np.ndarray]]:
        """Pictures of each face so far."""
        return [row for frame in self._frames for row in frame]

    def add_frame(self, faces: 'Sequence[PaintedFrame]') -> None:
        """Add rows for this frame if its turn has come."""
        most = self.target.max_grid_rows
        drawable = [face for face in faces if face.drawable]
        if not drawable:
            return
        nearest = sorted(drawable, key=lambda face: -face.scale)[:most]
        while self._seen % self._step == 0 and self._frames and (
                len(self.rows) + len(nearest) > most):
            self._frames = self._frames[::2]
            self._step *= 2
        if self._seen % self._step == 0:
            self._frames.append([self.row(face) for face in drawable
                                 if face in nearest])
        self._seen += 1

    def row(self, frame: 'PaintedFrame') -> list[np.ndarray]:
        """Pictures of a frame, (CELL, CELL, 3) uint8 each."""
        from mmtvface.visualization.drawing import add_caption
        cells = frame.comparison(CELL, _COLUMNS)
        cells.insert(3, frame.painter.front(frame.face, CELL))
        return [add_caption(cells[0], frame.result.name), *cells[1:]]

    def finish(self) -> bool:
        """Write the table, if any frame had a face."""
        from mmtvface.visualization.drawing import image_grid
        if self._frames:
            save_png(self.path, image_grid(self.rows, (CELL, CELL)))
        return bool(self._frames)
