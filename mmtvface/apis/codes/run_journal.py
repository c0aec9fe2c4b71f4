# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What a reconstruction has found so far, for one that goes on from there."""

import base64
import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, TextIO

import numpy as np

from mmtvface.utils.atomic import atomic_path, writable_dir

from ..detection import FramePlan

_KEY, _FACES, _CODES = 'key.json', 'faces.jsonl', 'codes.bin'
_VERSION = 3
_MOST_CODES = 1 << 20


class RunJournal:
    """Files to which faces and codes are appended as they are found.

    A process that is killed loses at most the window in work: an incomplete
    last line or row is cut off when the journal is opened again. A journal
    of another input, model or option is begun anew, and codes that make no
    sense are found anew. Who is done with it deletes the folder.

    Args:
        folder: Of the journal; it is made.
        key: Everything that the faces and codes depend on, fit for JSON.

    Attributes:
        plans: Frames whose faces are known from before, from the first on.
        frames: Indices of the frames whose codes are known from before.
        codes: (n, C) float32 of them, as the model gave them.

    Raises:
        ValueError: If the folder cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike,
                 key: Mapping[str, Any]) -> None:
        self.folder = writable_dir(folder)
        key = json.loads(json.dumps(dict(key, version=_VERSION)))
        self.plans: list[FramePlan] = []
        self.frames: list[int] = []
        self.codes = np.zeros((0, 0), np.float32)
        if self._read(_KEY) == key:
            self._recover()
        else:
            for name in (_FACES, _CODES):
                (self.folder / name).unlink(missing_ok=True)
            with atomic_path(self.folder / _KEY) as part:
                part.write_text(json.dumps(key), encoding='utf-8')
        self._faces: TextIO = open(self.folder / _FACES, 'a',
                                   encoding='utf-8')
        self._codes: BinaryIO = open(self.folder / _CODES, 'ab')

    def __enter__(self) -> 'RunJournal':
        return self

    def __exit__(self, *_: object) -> None:
        self._faces.close()
        self._codes.close()

    def add_faces(self, plan: FramePlan) -> None:
        """Note the faces of the next frame."""
        faces = [base64.b64encode(np.asarray(face, '<f8').tobytes()).decode()
                 for face in plan.faces]
        self._faces.write(json.dumps(dict(
            name=plan.name, size=plan.size, origin=plan.origin,
            problem=plan.problem, shot=plan.shot, faces=faces)) + '\n')
        self._faces.flush()

    def add_codes(self, frames: Sequence[int], rows: np.ndarray) -> None:
        """Note codes of frames that follow those known."""
        if not self._codes.tell():
            self._codes.write(np.array(rows.shape[1], '<i8').tobytes())
        records = np.empty(len(rows), _record(rows.shape[1]))
        records['frame'], records['row'] = list(frames), rows
        self._codes.write(records.tobytes())
        self._codes.flush()

    def _read(self, name: str) -> Any:
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.folder / name).read_text('utf-8'))
        return None

    def _recover(self) -> None:
        path = self.folder / _FACES
        if path.is_file():
            good = 0
            for line, plan in _sound_lines(path.read_bytes()):
                self.plans.append(plan)
                good += len(line)
            os.truncate(path, good)
        path = self.folder / _CODES
        data = path.read_bytes() if path.is_file() else b''
        if len(data) < 8:
            path.unlink(missing_ok=True)
            return
        width = int(np.frombuffer(data[:8], '<i8')[0])
        if 0 < width < _MOST_CODES:
            kind = _record(width)
            count = (len(data) - 8) // kind.itemsize
            records = np.frombuffer(data, kind, count, 8)
            frames = records['frame']
            if count and (np.diff(frames) > 0).all() and (
                    0 <= frames[0] and frames[-1] < len(self.plans)):
                os.truncate(path, 8 + count * kind.itemsize)
                self.frames, self.codes = frames.tolist(), records[
                    'row'].copy()
                return
        path.unlink()  # it is of no use


def _record(width: int) -> np.dtype:
    return np.dtype([('frame', '<i8'), ('row', '<f4', (width, ))])


def _sound_lines(data: bytes) -> Iterator[tuple[bytes, FramePlan]]:
    """Complete lines and the frames that they describe."""
    for index, line in enumerate(data.splitlines(keepends=True)):
        if not line.endswith(b'\n'):
            return
        try:
            entry = json.loads(line)
            faces = [np.frombuffer(base64.b64decode(face), '<f8').reshape(
                68, 2).copy() for face in entry.pop('faces')]
            size = entry.pop('size')
            plan = FramePlan(index, size=size and tuple(size), faces=faces,
                             **entry)
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        yield line, plan
