# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Codes over time: what is animated, apart from how it was found."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.export.writers.codes import stack_results
from mmtvface.io.arrays import read_code_arrays
from mmtvface.io.video_reader import DEFAULT_FPS
from mmtvface.reconstruction.face_reconstructor import Reconstructor
from mmtvface.reconstruction.smoothing import robust_mean
from mmtvface.tracking.frame_source import open_frames
from mmtvface.tracking.shots import Progress

#: Codes without which nothing can be animated.
REQUIRED = ('shape', 'exp', 'pose', 'cam')
#: All codes that have a meaning here.
CODES = (*REQUIRED, 'tex', 'light', 'detail')
#: Shapes of a frame's entries, of arrays that lie in pixels.
PLACED = {'camera': (3, 4), 'landmarks3d': (68, 3), 'frame_size': (2, )}


@dataclass(frozen=True)
class CodeTrack:
    """Codes of the T frames of an input, as ``codes.npz`` holds them.

    There is one row per frame, with one face; only where all faces were asked
    for, successive rows may belong to one frame.

    Attributes:
        name: Of the input, for messages.
        codes: Name -> (T, C) float32, light (T, 9, 3); rows of frames
            without a face are NaN.
        valid: (T,) bool.
        frame_names: T names, fit for file names.
        frame_index: (T,) position in the input.
        track_id: (T,) number of the face, -1 where there is none.
        fps: Frames per second.
        time: (T,) seconds since the first frame; None where frames come
            evenly.
        camera: (T, 3, 4) metres to pixels of the frames, see
            :class:`mmtvface.apis.FrameResult`; None if not known.
        landmarks3d: (T, 68, 3) pixels of the frames; None if not known.
        frame_size: (2,) height and width of the largest frame; None if not
            known.
    """

    name: str
    codes: dict[str, np.ndarray] = field(repr=False)
    valid: np.ndarray = field(repr=False)
    frame_names: list[str] = field(repr=False)
    frame_index: np.ndarray = field(repr=False)
    track_id: np.ndarray = field(repr=False)
    fps: float = DEFAULT_FPS
    time: np.ndarray | None = field(default=None, repr=False)
    camera: np.ndarray | None = field(default=None, repr=False)
    landmarks3d: np.ndarray | None = field(default=None, repr=False)
    frame_size: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Number of frames T."""
        return len(self.valid)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], name: str,
                    fps: float | None = None,
                    track: int | str | None = None) -> 'CodeTrack':
        """Take the arrays of :func:`mmtvface.apis.stack_results`.

        Args:
            arrays: Name -> array. Only the codes are needed; without
                ``valid``, frames whose codes are finite are valid.
                ``camera`` and ``landmarks3d`` of no columns, (T, 0), are not
                known.
            name: Of the input, for messages.
            fps: Default: that of the arrays, else 25.
            track: Id of the face that is taken: rows of others are left
                out, frames without it are not valid. ``'all'``: all rows.
                Default: where a frame has several rows, the face that is
                seen most often; else all rows.

        Raises:
            ValueError: If a code is missing, an array or ``fps`` is not as
                described, lengths differ, no frame is valid, or there is no
                such face.
        """
        if missing := [key for key in REQUIRED if key not in arrays]:
            raise ValueError(
                f'{name} has no codes {missing}, only {sorted(arrays)}. '
                'Codes for animation are written by mmtvface reconstruct '
                '--save codes.')
        codes = {key: code_array(arrays[key], key, name)
                 for key in CODES if key in arrays}
        if not (length := len(codes['shape'])):
            raise ValueError(f"{name}: 'shape' has 0 frames; there is nothing "
                             'to animate.')
        if wrong := {key: len(code) for key, code in codes.items()
                     if len(code) != length}:
            raise ValueError(f'{name}: all codes must have as many frames as '
                             f'shape, {length}, but there are {wrong}.')
        finite = np.all([np.isfinite(code).reshape(length, -1).all(1)
                         for code in codes.values()], axis=0)
        valid = finite & per_frame(arrays, 'valid', np.ones(length, bool),
                                   name, 'biu').astype(bool)
        if not valid.any():
            raise ValueError(f'{name} has no frame with a face ({length} '
                             'frames).')
        names = per_frame(arrays, 'frame_name',
                          np.array([f'{i:06d}' for i in range(length)]),
                          name, 'Uiu')
        if fps is None:
            fps = arrays.get('fps', DEFAULT_FPS)
        known = {key: placed(arrays[key], key, (length, *shape), name)
                 for key, shape in PLACED.items() if key in arrays}
        if known.get('frame_size') is not None:
            known['frame_size'] = known['frame_size'].max(0)
        known['time'] = known_times(arrays, length, name)
        index = increasing(per_frame(arrays, 'frame_index', np.arange(length),
                                    name), name)
        ids = per_frame(arrays, 'track_id', np.where(valid, 0, -1), name)
        if track is None and (np.diff(index) == 0).any():
            track = most_seen(ids[valid])
        if track not in (None, 'all'):
            if track not in (there := np.unique(ids[valid]).tolist()):
                raise ValueError(f'{name} has no face {track}; there are '
                                 f'{there}.')
            rows = one_row_per_frame(index, ids, valid, track)
            valid = valid[rows] & (ids[rows] == track)
            names, index = names[rows], index[rows]
            ids = np.where(valid, track, -1)
            codes = {key: code[rows] for key, code in codes.items()}
            known |= {key: known[key][rows] for key in (
                'time', 'camera', 'landmarks3d')
                if known.get(key) is not None}
        for code in codes.values():
            code[~valid] = np.nan
        for key in ('camera', 'landmarks3d'):
            if track is not None and known.get(key) is not None:
                known[key][~valid] = np.nan
        return cls(
            name, codes, valid, [str(value) for value in names], index, ids,
            check_fps(fps, f"{name}: 'fps'"), **known)

    @property
    def main_track(self) -> np.ndarray:
        """(T,) bool: valid frames of the face that is seen most often."""
        return self.valid & (
            self.track_id == most_seen(self.track_id[self.valid]))

    @property
    def portrait_index(self) -> int:
        """Index of the main face where it looks most straight ahead."""
        rows = np.flatnonzero(self.main_track)
        angle = np.linalg.norm(self.codes['pose'][rows, :3], axis=1)
        return int(rows[angle.argmin()])

    def index_of(self, frame: int | str) -> int:
        """Index of a frame by its position in the input or its name.

        Raises:
            ValueError: If there is no such frame or it shows no face.
        """
        index = int(frame) if str(frame).isdecimal() else -1
        rows = [i for i, name in enumerate(self.frame_names) if name == frame]
        rows += np.flatnonzero(self.frame_index == index).tolist()
        if not rows:
            raise ValueError(
                f"{self.name} has no frame '{frame}'; its {len(self)} frames "
                f'are {self.frame_names[0]} .. {self.frame_names[-1]}.')
        if not self.valid[rows[0]]:
            near = np.flatnonzero(self.valid)
            near = near[np.abs(near - rows[0]).argmin()]
            raise ValueError(
                f"No face was found in the frame '{frame}' of {self.name}; "
                f"the nearest with one is '{self.frame_names[near]}'.")
        return rows[0]


def most_seen(track_id: np.ndarray) -> int:
    """The id that is there most often, the least of several.

    Args:
        track_id: (N,), N > 0.
    """
    ids, counts = np.unique(track_id, return_counts=True)
    return int(ids[counts.argmax()])


def read_codes(path: str | os.PathLike,
               track: int | str | None = None) -> CodeTrack:
    """Read a ``codes.npz``, without running code from it.

    Args:
        path: Of the file.
        track: Id of the face, or ``'all'``, see
            :meth:`CodeTrack.from_arrays`. Default: where frames have
            several faces, the one that is seen most often.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, or has no such face.
    """
    path = Path(path).expanduser()
    return CodeTrack.from_arrays(read_code_arrays(path), str(path),
                                 track=track)


def is_codes(source: object) -> bool:
    """Whether an input is a file of codes by its name."""
    return isinstance(source, str | os.PathLike) and (
        Path(source).suffix.lower() == '.npz')


def reconstruct_codes(reconstructor: Reconstructor, source: Any,
                      progress: Progress | None = None) -> CodeTrack:
    """Codes of all frames of an input; a file of codes is read.

    Args:
        reconstructor: Finds the codes.
        source: ``codes.npz``, or what :class:`FaceReconstructor` takes.
        progress: Called with the step, frames done and in all.

    Raises:
        FileNotFoundError: If the input does not exist.
        ValueError: If it cannot be read, or no frame has a face.
    """
    if is_codes(source):
        return read_codes(source)
    frames = open_frames(source)
    results = [replace(result, vertices=None, displacement=None)
               for result in reconstructor(frames, progress=progress)]
    return CodeTrack.from_arrays(stack_results(results), frames.name,
                                 frames.fps)


def pick_identity(track: CodeTrack,
                  frame: int | str | None = None) -> dict[str, np.ndarray]:
    """The codes of one face that stand for a person.

    Args:
        track: Of the person.
        frame: Position or name of the frame that is used; None: the robust
            mean over all frames of the face that is seen most often.
            The mean of the poses is one of axis-angle vectors, which is
            good enough for faces that are seen from the front.

    Returns:
        Name -> (C,).

    Raises:
        ValueError: If there is no such frame or it has no face.
    """
    if frame is not None:
        row = track.index_of(frame)
        return {name: code[row].copy() for name, code in track.codes.items()}
    rows = track.main_track
    return {name: robust_mean(code[rows])
            for name, code in track.codes.items()}


def code_array(array: np.ndarray, key: str, name: str) -> np.ndarray:
    """A code of all frames as float32, a copy.

    Args:
        array: (T, C), light (T, 9, 3).
        key: Which code it is.
        name: Of the input, for messages.

    Raises:
        ValueError: If it is not of numbers or has other axes.
    """
    array = np.asarray(array)
    expected = 3 if key == 'light' else 2
    if array.ndim != expected or array.dtype.kind not in 'fiu':
        raise ValueError(
            f"{name}: the code '{key}' must be numbers of the shape "
            f'{"(T, 9, 3)" if expected == 3 else "(T, C)"}, but it is '
            f'{array.dtype} {array.shape}.')
    return array.astype(np.float32, copy=True)


def per_frame(arrays: Mapping[str, np.ndarray], key: str,
              default: np.ndarray, name: str,
              kinds: str = 'iu') -> np.ndarray:
    """An array with an entry per frame, or its default.

    Args:
        arrays: Name -> array.
        key: Which of them.
        default: (T,), if it is not there.
        name: Of the input, for messages.
        kinds: Kinds of NumPy types that it may have.

    Raises:
        ValueError: If it has another length or kind.
    """
    array = np.asarray(arrays.get(key, default))
    if array.shape != default.shape or array.dtype.kind not in kinds:
        raise ValueError(
            f"{name}: '{key}' must have one entry for each of the "
            f'{len(default)} frames, like {default.dtype}, but it is '
            f'{array.dtype} {array.shape}.')
    return array


def increasing(index: np.ndarray, name: str) -> np.ndarray:
    """Check positions of frames, (T,) integers that do not decrease."""
    index = index.astype(np.int64)
    if index[0] < 0 or (np.diff(index) < 0).any():
        raise ValueError(f"{name}: 'frame_index' must not decrease, from 0 "
                         f'or above, but it is {index[:8].tolist()}.')
    return index


def known_times(arrays: Mapping[str, np.ndarray], length: int,
                name: str) -> np.ndarray | None:
    """Times of frames, (T,) seconds; None where they come evenly.

    Args:
        arrays: Name -> array; times are in ``time``, NaN if not known.
        length: T.
        name: Of the input, for messages.

    Raises:
        ValueError: If they decrease, or are no times.
    """
    time = per_frame(arrays, 'time', np.full(length, np.nan), name,
                     'fiu').astype(np.float64)
    if not np.isfinite(time).all():
        return None
    if (np.diff(time) < 0).any():
        raise ValueError(f"{name}: 'time' must not decrease, but it is "
                         f'{time[:8].tolist()}.')
    return time


def one_row_per_frame(index: np.ndarray, track_id: np.ndarray,
                      valid: np.ndarray, track: int) -> np.ndarray:
    """Rows of one face, and of a frame without it the first one.

    Args:
        index: (T,) positions of frames, increasing.
        track_id: (T,).
        valid: (T,) bool.
        track: Id of the face.

    Returns:
        (N,) rows, one for each frame.
    """
    wanted = valid & (track_id == track)
    # Of each frame the wanted row first
    order = np.lexsort((~wanted, index))
    return order[np.diff(index[order], prepend=-1) > 0]


def placed(array: np.ndarray, key: str, shape: tuple[int, ...],
           name: str) -> np.ndarray | None:
    """Where things are in the frames; None for (T, 0), if it is not known.

    Args:
        array: Of ``shape``.
        key: Which array it is.
        shape: T, and that of :data:`PLACED`.
        name: Of the input, for messages.

    Raises:
        ValueError: If it is not of numbers or has another shape.
    """
    array = np.asarray(array)
    if array.shape == (shape[0], 0):
        return None
    if array.shape != shape or array.dtype.kind not in 'fiu':
        raise ValueError(f"{name}: '{key}' must be numbers of the shape "
                         f'{shape}, but it is {array.dtype} {array.shape}.')
    return array.astype(np.float64 if key != 'frame_size' else array.dtype)


def check_fps(fps: Any, what: str = 'fps') -> float:
    """A frame rate as a number.

    Args:
        fps: A number or an array of no dimensions.
        what: What it is called in the message.

    Raises:
        ValueError: If it is not one finite number above 0.
    """
    value = np.asarray(fps)
    if value.ndim or value.dtype.kind not in 'fiu' or not (
            np.isfinite(value) and value > 0):
        raise ValueError(f'{what} must be one finite number above 0, but it '
                         f'is {" ".join(str(fps).split())[:40]}.')
    return float(value)
