# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Frames of which there is no reconstruction, counted and told."""

from collections.abc import Sequence

from mmengine.logging import print_log

from mmtvface.tracking.face_track import FrameDetections
from mmtvface.utils.time_code import time_code

from .results import UNREADABLE, FrameResult

_SHOWN = 5


class LostFrames:
    """Counts them, and remembers some.

    Args:
        name: Of the source, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._frames = self._lost = self._unreadable = 0
        self._names: list[str] = []
        self._reason = ''

    @property
    def found(self) -> bool:
        """Whether a face was found."""
        return self._lost < self._frames

    def add(self, frame: FrameDetections, results: Sequence[FrameResult]
            ) -> None:
        """Take note of a frame and its results."""
        self._frames += 1
        if any(result.track_id >= 0 for result in results):
            return
        self._lost += 1
        self._unreadable += results[0].status == UNREADABLE
        self._reason = self._reason or results[0].problem
        if len(self._names) < _SHOWN:
            self._names.append(frame.name if frame.time is None else
                               f'{frame.name} at {time_code(frame.time)}')

    def report(self) -> None:
        """Log what was lost.

        Raises:
            ValueError: If no frame has a face.
        """
        if not self.found:
            raise ValueError(self._nothing_found())
        if self._lost:
            more = ', ...' if self._lost > _SHOWN else ''
            print_log(
                f'{self._name}: {self._lost} of {self._frames} frames are '
                f'skipped ({self._unreadable} unreadable, '
                f'{self._lost - self._unreadable} without the face): '
                f'{", ".join(self._names)}{more}. First reason: '
                f'{self._reason}.', logger='current', level=30)

    def _nothing_found(self) -> str:
        if not self._frames:
            return f'{self._name} has no frames.'
        if self._unreadable == self._frames:
            return (f'None of the {self._frames} frames of {self._name} can '
                    f'be read: {self._reason}.')
        return (f'No face was found in any of the {self._frames} frames of '
                f'{self._name}. A face should be upright, lit, and not much '
                'smaller than 1/20 of the frame; crop the frames, or give '
                'the 68 landmarks in a clip folder (jpg/<name>.jpg with '
                'kpt/<name>_kpt2d.npy).')
