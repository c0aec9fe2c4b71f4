# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Codes, landmarks and crops of the tracks of a segment, in files."""

import tempfile
from collections.abc import Callable

import cv2
import numpy as np

from mmtvface.tracking.face_track import INTERPOLATED, Face, FaceTrack
from mmtvface.tracking.shots import Segment

from .code_store import CodeStore

_POINTS = 68 * 2
_BLOCK = 1000  # frames whose codes are looked at once


class _TrackRows:
    """Rows of tracks in a store: by the place of the frame in its track."""

    def __init__(self, segment: Segment) -> None:
        self._rows = {track.track_id: np.full(len(track), -1)
                      for track in segment.tracks}
        self.store: CodeStore | None = None

    def has(self, track: FaceTrack, place: int) -> bool:
        return bool(self._rows[track.track_id][place] >= 0)

    def write(self, track: FaceTrack, places: np.ndarray,
              values: np.ndarray) -> None:
        if self.store is None:
            self.store = CodeStore(values.shape[1])
        for place, value in zip(places, values, strict=True):
            row = self._rows[track.track_id][place]
            if row < 0:
                row = self._rows[track.track_id][place] = len(self.store)
            self.store.write(row, value[None])

    def read(self, track: FaceTrack, places: np.ndarray,
             width: int) -> np.ndarray:
        values = np.full((len(places), width), np.nan, np.float32)
        for value, row in zip(values, self._rows[track.track_id][places],
                              strict=True):
            if row >= 0:
                value[:] = self.store.read(row, row + 1)[0]
        return values


class _TrackPictures:
    """JPEGs in a file: by the place of the frame in its track."""

    _QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 95)

    def __init__(self, segment: Segment) -> None:
        self._spans = {track.track_id: np.zeros((len(track), 2), np.int64)
                       for track in segment.tracks}
        self._file = tempfile.TemporaryFile(prefix='mmtvface-crops-')

    def write(self, face: Face, image: np.ndarray) -> None:
        data = cv2.imencode('.jpg', image[..., ::-1], self._QUALITY)[1]
        begin = self._file.seek(0, 2)
        self._file.write(data.tobytes())
        self._spans[face.track.track_id][face.place] = begin, len(data)

    def there(self, track: FaceTrack) -> np.ndarray:
        return self._spans[track.track_id][:, 1] > 0

    def read(self, track: FaceTrack, place: int) -> np.ndarray:
        begin, length = self._spans[track.track_id][place].tolist()
        self._file.seek(begin)
        return cv2.imdecode(np.frombuffer(self._file.read(length), np.uint8),
                            cv2.IMREAD_COLOR)[..., ::-1]

    def close(self) -> None:
        self._file.close()


class SegmentCodes:
    """Codes, landmarks and crops by track and place, in temporary files.

    Some 50 bytes per frame and face are in memory. A context manager.

    Args:
        segment: Whose they are.
    """

    def __init__(self, segment: Segment) -> None:
        self._codes, self._points = _TrackRows(segment), _TrackRows(segment)
        self._crops = _TrackPictures(segment)

    def __enter__(self) -> 'SegmentCodes':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the space back."""
        self._crops.close()
        for rows in (self._codes, self._points):
            if rows.store is not None:
                rows.store.close()

    @property
    def width(self) -> int:
        """Numbers of a frame; 0 as long as there is none."""
        return self._codes.store.width if self._codes.store else 0

    def write(self, track: FaceTrack, places: np.ndarray,
              rows: np.ndarray) -> None:
        """Write codes (n, C) of places (n,), also once more."""
        self._codes.write(track, places, rows)

    def read(self, track: FaceTrack, places: np.ndarray) -> np.ndarray:
        """Codes (n, C) float32 of places (n,); NaN where there are none."""
        return self._codes.read(track, places, self.width)

    def sound(self, track: FaceTrack) -> np.ndarray:
        """Places (n,) of a track that have codes, finite ones."""
        if not self.width:
            return np.arange(0)
        every = np.arange(len(track))
        return np.concatenate([
            part[np.isfinite(self.read(track, part)).all(1)]
            for part in np.split(every, every[_BLOCK::_BLOCK])])

    def rewrite(self, track: FaceTrack, places: np.ndarray, block: int,
                margin: int,
                change: Callable[[np.ndarray, slice], np.ndarray]) -> None:
        """Change the codes of a track, some frames at a time.

        Args:
            track: The track.
            places: (n,) of the frames, increasing.
            block: Frames that are changed at once ...
            margin: ... with so many neighbours on both sides.
            change: Told the places of a block and its neighbours, whose
                codes are as they were, and which of them are the block; the
                new codes (m, C) of all of them out.
        """
        ready: list[tuple[np.ndarray, np.ndarray]] = []
        for start in range(0, len(places), block):
            first = max(0, start - margin)
            outer = places[first:start + block + margin]
            inner = slice(start - first, start - first + block)
            ready.append((outer[inner], change(outer, inner)[inner]))
            # Each block reads the end of the one before as it was.
            if len(ready) > 1:
                self.write(track, *ready.pop(0))
        for entry in ready:
            self.write(track, *entry)

    def has(self, track: FaceTrack, place: int) -> bool:
        """Whether a frame of a track has codes."""
        return self._codes.has(track, place)

    def write_points(self, face: Face) -> None:
        """Keep the landmarks of a face, unless they were not seen."""
        if face.origin != INTERPOLATED:
            self._points.write(face.track, np.array([face.place]),
                               face.landmarks.reshape(1, _POINTS))

    def read_points(self, track: FaceTrack,
                    places: np.ndarray) -> np.ndarray:
        """Landmarks (n, 68, 2) float32, pixels; NaN where not seen."""
        return self._points.read(track, places, _POINTS).reshape(-1, 68, 2)

    def write_crop(self, face: Face, image: np.ndarray) -> None:
        """Keep the crop (S, S, 3) uint8 RGB of a face, 5 kB or so."""
        self._crops.write(face, image)

    def has_crop(self, track: FaceTrack) -> np.ndarray:
        """(T,) bool, by place."""
        return self._crops.there(track)

    def read_crops(self, track: FaceTrack, places: np.ndarray) -> np.ndarray:
        """Crops (n, S, S, 3) uint8 RGB of places (n,) that have one."""
        return np.stack([self._crops.read(track, int(place))
                         for place in places])
