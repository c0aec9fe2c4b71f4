# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Codes and landmarks of the tracks of a segment, outside of the memory."""

import numpy as np

from ..faces import INTERPOLATED, Face, FaceTrack, Segment
from .code_store import CodeStore

_POINTS = 68 * 2


class _TrackRows:
    """Rows of tracks in a store: by the place of the frame in its track."""

    def __init__(self, segment: Segment) -> None:
        self._rows = {track.track_id: np.full(len(track), -1)
                      for track in segment.tracks}
        self.store: CodeStore | None = None

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


class SegmentCodes:
    """Codes and landmarks by track and place, in temporary files.

    Some 50 bytes per frame and face are in memory. A context manager.

    Args:
        segment: Whose they are.
    """

    def __init__(self, segment: Segment) -> None:
        self._codes, self._points = _TrackRows(segment), _TrackRows(segment)

    def __enter__(self) -> 'SegmentCodes':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the space back."""
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

    def write_points(self, face: Face) -> None:
        """Keep the landmarks of a face, unless they were not seen."""
        if face.origin != INTERPOLATED:
            self._points.write(face.track, np.array([face.place]),
                               face.landmarks.reshape(1, _POINTS))

    def read_points(self, track: FaceTrack,
                    places: np.ndarray) -> np.ndarray:
        """Landmarks (n, 68, 2) float32, pixels; NaN where not seen."""
        return self._points.read(track, places, _POINTS).reshape(-1, 68, 2)
