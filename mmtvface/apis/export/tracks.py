# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What is kept of a face until its track is written as one file."""

from abc import abstractmethod
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from ..results import FrameResult
from .painted_frame import PaintedFrame
from .writer import Writer, result_dir


def without_maps(result: FrameResult) -> FrameResult:
    """The same without its large arrays: some kilobytes."""
    return replace(result, vertices=None, displacement=None)


class TrackWriter(Writer):
    """Writes ``<kind>/track<id>.<suffix>`` when all frames are known.

    Args:
        out_dir: Folder of all results.
        fps: Frames per second.
    """

    suffix: str

    def __init__(self, out_dir: Path, fps: float) -> None:
        self.path = result_dir(out_dir, self.kind, (self.suffix, ))
        self.fps = fps
        self.tracks: dict[int, list[FrameResult]] = defaultdict(list)

    def add(self, frame: PaintedFrame) -> None:
        """Keep what is needed of a frame with a face."""
        result = frame.result
        if result.valid:
            self.tracks[result.track_id].append(without_maps(result))
            self.look(frame)

    def look(self, frame: PaintedFrame) -> None:
        """Take what needs the vertices or the image of a frame.

        Args:
            frame: With a face; the last of its track so far.
        """

    def finish(self) -> bool:
        """Write a file for each track."""
        for track, results in self.tracks.items():
            self.write(self.path / f'track{track}{self.suffix}', track,
                       results)
        return bool(self.tracks)

    @abstractmethod
    def write(self, path: Path, track: int,
              results: list[FrameResult]) -> None:
        """Write one track to a path."""
