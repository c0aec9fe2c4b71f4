# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The interface of everything that writes results."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmtvface.utils.atomic import atomic_path

from .painted_frame import PaintedFrame

METRICS = 'metrics.json'


class Writer(ABC):
    """Writes one kind of output, result by result.

    Attributes:
        kind: Its name in ``save``.
        path: File or folder that it writes.
    """

    kind: str
    path: Path

    @abstractmethod
    def add(self, frame: PaintedFrame) -> None:
        """Take a result; also one without a face or an image."""

    def finish(self) -> bool:
        """Complete the files; whether there is anything to name."""
        return True


class FrameWriter(Writer):
    """Writes one kind of output, frame by frame with all of its faces."""

    @abstractmethod
    def add_frame(self, faces: Sequence[PaintedFrame]) -> None:
        """Take all results of a frame, at least one.

        Args:
            faces: Of the same image; one alone may be without a face.
        """

    def add(self, frame: PaintedFrame) -> None:
        """Take a frame that has one result."""
        self.add_frame([frame])


def result_dir(out_dir: Path, name: str, suffixes: Sequence[str]) -> Path:
    """Folder for files of one kind, without those of an earlier run.

    They would be mistaken for results of this one. Files that no earlier run
    has made, which ``metrics.json`` would witness, are left alone.

    Args:
        out_dir: Of all results.
        name: Of the folder in it.
        suffixes: Of the files of this kind.
    """
    folder = out_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    if (out_dir / METRICS).is_file():
        for old in folder.iterdir():
            if old.suffix in suffixes:
                old.unlink()
    return folder


def save_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB or (H, W) uint16.

    Raises:
        OSError: If it cannot be written.
    """
    pixels = image[..., ::-1] if image.ndim == 3 else image
    with atomic_path(path) as part:
        if not cv2.imwrite(str(part), pixels):
            raise OSError(f'The image cannot be written to {path}.')
