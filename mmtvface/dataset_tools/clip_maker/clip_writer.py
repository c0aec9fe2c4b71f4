# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Write the frames of a clip as they come."""

import json
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmtvface.utils.atomic import atomic_path

_IMAGES, _LANDMARKS, _MASKS = 'jpg', 'kpt', 'seg/masks'


@dataclass(frozen=True)
class ClipFrame:
    """A frame as it is stored.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        landmarks: (68, 2) pixel indices of the crop.
        mask: (S, S) uint8 0 or 1, or None.
        record: What meta.json says about the frame.
    """

    image: np.ndarray
    landmarks: np.ndarray
    mask: np.ndarray | None
    record: dict[str, Any]


def frame_name(number: int) -> str:
    """Name of the n-th frame (from 0) of a clip."""
    return f'{number + 1:06d}'


class ClipWriter:
    """Writes one clip in the layout that ``FaceClipDataset`` reads.

    Images are encoded in the threads of a pool; the records and
    ``serial.npy`` are written at the end.

    Args:
        folder: Folder of the clip, made here. It must not have its final
            place before :meth:`finish` has returned.
        pool: Encodes and writes.
        image_format: 'jpg' or 'png'.
        quality: Of JPEG.
    """

    def __init__(self, folder: Path, pool: Executor, image_format: str,
                 quality: int) -> None:
        self.folder = folder
        self.records: list[dict[str, Any]] = []
        self._pool = pool
        self._suffix = f'.{image_format}'
        self._options = ([cv2.IMWRITE_JPEG_QUALITY, quality]
                         if image_format == 'jpg' else
                         [cv2.IMWRITE_PNG_COMPRESSION, 3])
        self._pending: list[Future] = []
        for part in (_IMAGES, _LANDMARKS, _MASKS):
            (folder / part).mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        """Frames so far."""
        return len(self.records)

    def add(self, frame: ClipFrame) -> None:
        """Append a frame.

        Raises:
            OSError: If an earlier frame could not be written.
        """
        name = frame_name(len(self))
        self.records.append(frame.record)
        self._pending.append(self._pool.submit(self._write, name, frame))
        # Bounds the memory: the oldest must be on the disk before the next.
        while len(self._pending) > 8:
            self._pending.pop(0).result()

    def _write(self, name: str, frame: ClipFrame) -> None:
        bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        _encode(self.folder / _IMAGES / (name + self._suffix), bgr,
                self._options)
        np.save(self.folder / _LANDMARKS / f'{name}_kpt2d.npy',
                frame.landmarks.astype(np.float64))
        if frame.mask is not None:
            _encode(self.folder / _MASKS / f'{name}.png', frame.mask * 255,
                    [cv2.IMWRITE_PNG_BILEVEL, 1])

    def finish(self, meta: dict[str, Any]) -> dict[str, Any]:
        """Wait for the images and write what describes them.

        Args:
            meta: Entries of meta.json besides the frames.

        Returns:
            All of meta.json.

        Raises:
            OSError: If something could not be written.
        """
        self.wait()
        if not any((self.folder / _MASKS).iterdir()):
            (self.folder / _MASKS).rmdir()
            (self.folder / _MASKS).parent.rmdir()
        np.save(self.folder / 'serial.npy', np.array(
            [frame_name(i) + self._suffix for i in range(len(self))]))
        columns = {key: [record[key] for record in self.records]
                   for key in self.records[0]}
        meta = {**meta, 'num_frames': len(self), 'frames': columns}
        write_json(self.folder / 'meta.json', meta)
        return meta

    def wait(self) -> None:
        """Wait until all frames are written."""
        while self._pending:
            self._pending.pop(0).result()


def _encode(path: Path, image: np.ndarray, options: list[int]) -> None:
    done, data = cv2.imencode(path.suffix, image, options)
    if not done:
        raise OSError(f'{path} cannot be encoded.')
    path.write_bytes(data.tobytes())


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that appears complete or not at all."""
    with atomic_path(path) as part:
        part.write_text(json.dumps(content, indent=1) + '\n',
                        encoding='utf-8')
