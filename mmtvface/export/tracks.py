# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What is kept of a face until its track is written as one file."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.io.column_store import ColumnStore

from .painted_frame import PaintedFrame
from .writer import Writer, result_dir


class TrackWriter(Writer):
    """Writes ``<kind>/track<id>.<suffix>`` when all frames are known.

    Until then codes and cameras, a kilobyte per face and frame, wait on the
    disk, where the files will be. A face may be away for any time. In memory
    are a few numbers per track, and at the end the arrays of one track.

    Args:
        out_dir: Folder of all results.
        fps: Frames per second.
    """

    suffix: str

    def __init__(self, out_dir: Path, fps: float) -> None:
        self.path = result_dir(out_dir, self.kind, (self.suffix, ))
        self.fps = fps
        self._rows = ColumnStore(self.path)
        # Index and seconds of this frame, and seconds of the one before it.
        self._now: tuple[int, float, float] = (-1, np.nan, np.nan)

    def add(self, frame: PaintedFrame) -> None:
        """Keep what is needed of a result with a face."""
        result = frame.result
        seconds = (result.index / self.fps if result.time is None
                   else result.time)
        if result.index != self._now[0]:
            self._now = result.index, seconds, (
                self._now[1] if result.index - 1 == self._now[0]
                else max(0., seconds - 1 / self.fps))
        if result.valid:
            self._rows.append(dict(
                result.codes, **self.look(frame), camera=result.camera,
                frame_size=np.array(result.frame_size),
                frame_index=result.index, frame_name=result.frame_name,
                track_id=result.track_id, time=seconds,
                time_before=self._now[2]))

    def look(self, frame: PaintedFrame) -> dict[str, Any]:
        """Take what needs the vertices or the image of a result.

        Args:
            frame: With a face.

        Returns:
            Further entries of :meth:`write`.
        """
        return {}

    def finish(self) -> bool:
        """Write a file for each track."""
        with self._rows as rows:
            for track, numbers in rows.groups('track_id'):
                self.write(self.path / f'track{track}{self.suffix}', track,
                           rows.gather(numbers))
            return bool(len(rows))

    @abstractmethod
    def write(self, path: Path, track: int,
              arrays: Mapping[str, np.ndarray]) -> None:
        """Write one track to a path.

        Args:
            path: Of the file.
            track: Its id.
            arrays: Of the T frames with this face: the codes (T, C),
                ``camera`` (T, 3, 4), ``frame_size`` (T, 2), ``frame_index``,
                ``frame_name``, ``time`` (T,) seconds since the first frame,
                ``time_before`` (T,) that of the frame before; and what
                :meth:`look` has returned.
        """
