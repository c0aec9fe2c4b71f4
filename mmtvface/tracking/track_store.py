# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Frames, faces and codes of a reconstruction, in one SQLite file.

What is in it need not be in memory, and survives a process that is killed:
every piece is one transaction, so that an incomplete one is as if it had not
been. Codes stand as the encoder gives them; what is made of them, and the
crops, only serve the run that makes them.
"""

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from mmengine.logging import print_log

from mmtvface.utils.atomic import writable_dir

from .detectors import FaceLandmarks
from .face_track import (
    INTERPOLATED,
    Face,
    FaceTrack,
    FrameDetections,
    TrackedFace,
)

#: Name of the file in its folder.
RESUME_FILE = 'resume.sqlite3'
_VERSION = 5
_SCHEMA = '''
create table if not exists key (value text not null);
create table if not exists frames (
    frame integer primary key, name text not null, height integer,
    width integer, problem text not null, cut integer not null, time real);
create table if not exists faces (
    frame integer not null, track integer not null, landmarks blob not null,
    confidence real not null, origin text not null,
    primary key (frame, track));
create table if not exists codes (
    track integer not null, frame integer not null, encoded blob not null,
    finished blob, primary key (track, frame));
create table if not exists crops (
    track integer not null, frame integer not null, jpeg blob not null,
    primary key (track, frame));
'''
_PART = 64  # frames that are read at once
_BLOCK = 1000  # frames whose codes are looked at once
_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 95)


class TrackStore:
    """What is known of frames, faces and codes so far.

    Several threads may share it. A store of another input, model or option
    is begun anew, and so is a file that is damaged. Who is done with it
    deletes the folder. A context manager.

    Args:
        folder: Of the file; it is made.
        key: Everything that faces and codes depend on, fit for JSON.

    Raises:
        ValueError: If the folder cannot be written to, or another process
            uses the file.
    """

    def __init__(self, folder: str | os.PathLike,
                 key: Mapping[str, Any] | None = None) -> None:
        self._path = writable_dir(folder) / RESUME_FILE
        self._lock = threading.RLock()
        key = json.loads(json.dumps(dict(key or {}, version=_VERSION)))
        problem = ''
        try:
            self._open()
            before = self._key()
            if before != key and before is not None:
                changed = sorted(name for name in key
                                 if before.get(name) != key[name])
                problem = f'this one has another {", ".join(changed)}'
            elif before is not None:
                (state, ), = self._base.execute('pragma quick_check(1)')
                if state != 'ok':
                    raise ValueError(state)
        except sqlite3.OperationalError as error:
            self.close()
            raise ValueError(
                f'{self._path} cannot be used ({error}): another process '
                'seems to work with it. Wait for it, or choose another '
                'folder.') from error
        except (sqlite3.DatabaseError, ValueError, AttributeError) as error:
            before, problem = None, f'it is damaged ({error})'
        if problem:
            print_log(f'What {self._path.parent} has of an interrupted run '
                      f'does not fit, since {problem}: everything is found '
                      'anew.', logger='current', level=30)
            self.close()
            for ending in ('', '-wal', '-shm'):
                self._path.with_name(self._path.name + ending).unlink(
                    missing_ok=True)
            self._open()
            before = None
        if before is None:
            self._write('insert into key values (?)', [(json.dumps(key), )])
        self._write('update codes set finished = null '
                    'where finished is not null', [()])
        self._write('delete from crops', [()])

    def _open(self) -> None:
        self._base = sqlite3.connect(
            self._path, timeout=1., isolation_level=None,
            check_same_thread=False)
        # A killed process loses nothing that was committed without waiting
        # for the disk; only a power failure would.
        for pragma in ('locking_mode = exclusive', 'journal_mode = wal',
                       'synchronous = off'):
            self._base.execute(f'pragma {pragma}').fetchall()
        self._base.executescript(_SCHEMA)

    def _key(self) -> Any:
        row = self._base.execute('select value from key').fetchone()
        return row and json.loads(row[0])

    def __enter__(self) -> 'TrackStore':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the writing."""
        with self._lock:
            self._base.close()

    def _write(self, *statements: Any) -> None:
        """Statements and their rows, in one transaction."""
        with self._lock:
            self._base.execute('begin')
            try:
                for text, rows in zip(statements[::2], statements[1::2],
                                      strict=True):
                    self._base.executemany(text, rows)
            except BaseException:
                self._base.execute('rollback')
                raise
            self._base.execute('commit')

    def _rows(self, text: str, *values: Any) -> list[tuple]:
        with self._lock:
            return self._base.execute(text, values).fetchall()

    # Frames and faces

    def __len__(self) -> int:
        """Number of frames."""
        return self._rows('select count(*) from frames')[0][0]

    def add_frame(self, frame: FrameDetections) -> None:
        """Add the next frame with its faces, 1 kB each."""
        height, width = frame.size or (None, None)
        self._write(
            'insert into frames values (?, ?, ?, ?, ?, ?, ?)',
            [(frame.index, frame.name, height, width, frame.problem,
              frame.cut, frame.time)], _ADD_FACE,
            [_face_row(frame.index, face) for face in frame.faces])

    def add_faces(self, faces: Iterable[tuple[int, TrackedFace]]) -> None:
        """Add faces that were not found in frames that are known."""
        self._write(_ADD_FACE, [_face_row(*entry) for entry in faces])

    def frames(self, first: int, stop: int, found: bool = False
               ) -> Iterator[FrameDetections]:
        """Frames in order.

        Args:
            first: Of the first one.
            stop: One after the last.
            found: Without the faces that were not found.
        """
        for start in range(first, stop, _PART):
            part = start, min(start + _PART, stop)
            faces: dict[int, list[TrackedFace]] = {}
            for index, track, data, confidence, origin in self._rows(
                    'select frame, track, landmarks, confidence, origin from '
                    'faces where frame >= ? and frame < ? order by frame, '
                    'track', *part):
                if not (found and origin == INTERPOLATED):
                    faces.setdefault(index, []).append(TrackedFace(
                        track, FaceLandmarks(_points(data), confidence),
                        origin))
            for index, name, height, width, problem, cut, time in self._rows(
                    'select * from frames where frame >= ? and frame < ? '
                    'order by frame', *part):
                yield FrameDetections(
                    index, name, None if height is None else (height, width),
                    faces.get(index, []), problem, bool(cut), time)

    def read_points(self, track: FaceTrack,
                    places: np.ndarray) -> np.ndarray:
        """Landmarks (n, 68, 2) float32, pixels; NaN where not seen."""
        return self._read(
            'select landmarks from faces where track = ? and frame = ? and '
            f"origin != '{INTERPOLATED}'", track, places, (68, 2),
            np.float64)

    # Codes

    def known_codes(self, track: FaceTrack) -> int:
        """First place of a track whose code vector is not known.

        Codes that make no sense are forgotten.
        """
        (count, last, least, most), = self._rows(
            'select count(*), max(frame), min(length(encoded)), '
            'max(length(encoded)) from codes where track = ?',
            track.tracker_id)
        if not count:
            return 0
        frames = np.array(self._rows('select frame from codes where track = '
                                     '? order by frame', track.tracker_id))
        if least != most or least % 4 or not np.isin(
                frames, track.frames).all():
            self._write('delete from codes where track = ?',
                        [(track.tracker_id, )])
            return 0
        return int(np.searchsorted(track.frames, last)) + 1

    def write_codes(self, track: FaceTrack, places: np.ndarray,
                    vectors: np.ndarray) -> None:
        """Keep code vectors (n, C) of places (n,), as they are encoded."""
        self._write(
            'insert or replace into codes (track, frame, encoded) values '
            '(?, ?, ?)', [(*key, vector) for key, vector in zip(
                _keys(track, places), _blobs(vectors), strict=True)])

    def _finish_codes(self, track: FaceTrack, places: np.ndarray,
                      vectors: np.ndarray) -> None:
        self._write(
            'update codes set finished = ? where track = ? and frame = ?',
            [(vector, *key) for key, vector in zip(
                _keys(track, places), _blobs(vectors), strict=True)])

    def read_codes(self, track: FaceTrack, places: np.ndarray) -> np.ndarray:
        """Code vectors (n, C) float32 of places (n,), finished if they are.

        NaN where there are none; C is 0 if the track has none at all.
        """
        width = self._rows('select length(encoded) from codes where track = '
                           '? limit 1', track.tracker_id)
        return self._read(
            'select coalesce(finished, encoded) from codes where track = ? '
            'and frame = ?', track, places, (width[0][0] // 4 if width
                                             else 0, ), np.float32)

    def _read(self, text: str, track: FaceTrack, places: np.ndarray,
              shape: tuple[int, ...], dtype: type) -> np.ndarray:
        values = np.full((len(places), *shape), np.nan, np.float32)
        with self._lock:
            for value, key in zip(values, _keys(track, places), strict=True):
                if row := self._base.execute(text, key).fetchone():
                    value[:] = np.frombuffer(row[0], dtype).reshape(shape)
        return values

    def has_codes(self, track: FaceTrack, place: int) -> bool:
        """Whether a frame of a track has a code vector."""
        return bool(self._rows(
            'select 1 from codes where track = ? and frame = ?',
            track.tracker_id, int(track.frames[place])))

    def finite_places(self, track: FaceTrack) -> np.ndarray:
        """Places (n,) of a track that have code vectors, finite ones."""
        every = np.arange(len(track))
        return np.concatenate([
            part[np.isfinite(codes).all(1) & (codes.shape[1] > 0)]
            for part in np.split(every, every[_BLOCK::_BLOCK])
            for codes in (self.read_codes(track, part), )])

    def rewrite(self, track: FaceTrack, places: np.ndarray, block: int,
                margin: int,
                change: Callable[[np.ndarray, slice], np.ndarray]) -> None:
        """Change the codes of a track, some frames at a time.

        Args:
            track: The track.
            places: (n,) of the frames, increasing.
            block: Frames that are changed at once ...
            margin: ... with so many neighbours on both sides.
            change: Called with the places of a block and its neighbours,
                whose codes are as they were, and which of them are the block;
                gives the new codes (m, C) of all of them.
        """
        ready: list[tuple[np.ndarray, np.ndarray]] = []
        for start in range(0, len(places), block):
            first = max(0, start - margin)
            outer = places[first:start + block + margin]
            inner = slice(start - first, start - first + block)
            ready.append((outer[inner], change(outer, inner)[inner]))
            # Each block reads the end of the one before as it was.
            if len(ready) > 1:
                self._finish_codes(track, *ready.pop(0))
        for entry in ready:
            self._finish_codes(track, *entry)

    # Crops

    def write_crop(self, face: Face, image: np.ndarray) -> None:
        """Keep the crop (S, S, 3) uint8 RGB of a face, 5 kB or so."""
        data = cv2.imencode('.jpg', image[..., ::-1], _QUALITY)[1]
        (key, ) = _keys(face.track, [face.place])
        self._write('insert or replace into crops values (?, ?, ?)',
                    [(*key, data.tobytes())])

    def has_crop(self, track: FaceTrack) -> np.ndarray:
        """(T,) bool, by place."""
        return np.isin(track.frames, [frame for frame, in self._rows(
            'select frame from crops where track = ?', track.tracker_id)])

    def read_crops(self, track: FaceTrack, places: np.ndarray) -> np.ndarray:
        """Crops (n, S, S, 3) uint8 RGB of places (n,) that have one."""
        return np.stack([cv2.imdecode(np.frombuffer(self._rows(
            'select jpeg from crops where track = ? and frame = ?',
            *key)[0][0], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            for key in _keys(track, places)])

    def forget_work(self, tracks: Sequence[FaceTrack]) -> None:
        """Give the space of crops and finished codes back."""
        with contextlib.suppress(sqlite3.ProgrammingError):  # closed already
            ids = [(track.tracker_id, ) for track in tracks]
            self._write('delete from crops where track = ?', ids,
                        'update codes set finished = null where track = ?',
                        ids)


_ADD_FACE = 'insert or replace into faces values (?, ?, ?, ?, ?)'


def _face_row(index: int, face: TrackedFace) -> tuple:
    return (index, face.track_id, np.asarray(
        face.landmarks.points, '<f8').tobytes(), face.landmarks.confidence,
        face.origin)


def _points(data: bytes) -> np.ndarray:
    return np.frombuffer(data, '<f8').reshape(68, 2)


def _keys(track: FaceTrack, places: Sequence[int] | np.ndarray
          ) -> list[tuple[int, int]]:
    """Track and frame of places."""
    return [(track.tracker_id, frame)
            for frame in track.frames[np.asarray(places, int)].tolist()]


def _blobs(vectors: np.ndarray) -> list[bytes]:
    return [vector.tobytes()
            for vector in np.ascontiguousarray(vectors, '<f4')]
