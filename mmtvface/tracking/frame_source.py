# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""One view of every kind of input: frames that can be read again.

A source may be iterated several times (reconstruction, drawing) and decodes
its frames anew each time, so that a long video is never held in memory.
"""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mmengine.logging import print_log

from mmtvface.io.clip_index import IMAGE_SUFFIXES, list_frames, natural_key
from mmtvface.io.image import read_image, read_landmarks
from mmtvface.io.video_reader import (
    DEFAULT_FPS,
    VIDEO_SUFFIXES,
    decode_video,
    probe_video,
)

_ROUNDING = 1e-3  # seconds; some containers count in milliseconds
_LONGEST = 10.  # seconds that a frame may be shown
STILL_SUFFIXES = (*IMAGE_SUFFIXES, '.tif', '.tiff')


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        index: Position in the source, from 0.
        name: Unique within the source, fit for a file name.
        image: (H, W, 3) uint8 RGB, None if it cannot be read.
        landmarks: (68, 2) float64 pixel indices that came with it, or None.
        problem: Why image or landmarks are missing, '' if nothing is wrong.
        time: Seconds since the first frame, None where all are shown for the
            same time.
    """

    index: int
    name: str
    image: np.ndarray | None
    landmarks: np.ndarray | None = None
    problem: str = ''
    time: float | None = None


class FrameSource(ABC):
    """Frames that can be iterated any number of times.

    Also by several threads at once, each with an iterator of its own.

    Attributes:
        name: What the source is, for messages.
        fps: Frames per second of results made from it.
        consecutive: The frames follow one another in time.
        in_memory: Reading them again costs nothing.
        audio: File whose audio track fits the frames at ``fps``, or None.
    """

    name: str
    fps: float = DEFAULT_FPS
    consecutive: bool = True
    in_memory: bool = False

    @property
    def audio(self) -> Path | None:
        """See above."""
        return None

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Read the frames in order."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames; for videos what the header says, maybe 0."""

    def fingerprint(self) -> list | None:
        """What tells files from other or changed ones, fit for JSON."""
        return None


def _file_states(paths: Iterable[Path | None]) -> list:
    """Name, size and time of change of files; None where there is none."""
    return [path and [str(path.absolute()), path.stat().st_size,
                      path.stat().st_mtime_ns]
            if path is None or path.is_file() else [str(path.absolute())]
            for path in paths]


class ImageFrames(FrameSource):
    """Image files, possibly with landmark files.

    Args:
        paths: Images in order.
        landmarks: One path per image, None where there is none.
        name: For messages.
    """

    def __init__(self, paths: Sequence[Path],
                 landmarks: Sequence[Path | None] | None = None,
                 name: str = '') -> None:
        self.paths = list(paths)
        self.landmarks = list(landmarks or [None] * len(self.paths))
        self.name = name or str(self.paths[0])
        self.names = unique_names(self.paths)

    def fingerprint(self) -> list:
        """See :class:`FrameSource`."""
        return _file_states([*self.paths, *self.landmarks])

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        for index, (path, points) in enumerate(
                zip(self.paths, self.landmarks, strict=True)):
            image, landmarks, problem = None, None, ''
            try:
                image = cv2.cvtColor(read_image(path), cv2.COLOR_BGR2RGB)
                if points is not None:
                    landmarks = read_landmarks(points)[:, :2].astype(
                        np.float64)
            except (OSError, ValueError, EOFError) as error:
                bad = path if image is None else points
                problem = f'{bad} cannot be used: {error}'
            yield Frame(index, self.names[index], image, landmarks, problem)


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Names for the results of images: as short as they can be told apart.

    The stem, else the file name, else (the same name in several folders) the
    position and the stem.
    """
    names = [path.stem for path in paths]
    full = [path.name.replace('.', '_') for path in paths]
    numbered = [f'{index:06d}_{path.stem}'
                for index, path in enumerate(paths)]
    for longer in (full, numbered):
        counts = Counter(names)
        names = [name if counts[name] == 1 else longer[index]
                 for index, name in enumerate(names)]
    return names


class VideoFrames(FrameSource):
    """Frames of a video file, named 000000, 000001, ...

    They have the times of the file, so that videos made from them keep in
    step with its audio, also where frames come at a changing rate or are
    lost. At another ``fps`` than that of the file they come evenly.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        info = probe_video(path)
        self.fps = self._rate = info.fps
        self._length = info.num_frames
        self._leaps = 0

    @property
    def audio(self) -> Path | None:
        """The video itself; None at another rate than its own.

        When the frames have been read it is known, too, whether their times
        leap, as in recordings that are joined: then it is None as well.
        """
        if self.fps != self._rate:
            return None
        if self._leaps:
            print_log(f'{self.path}: the times of its frames leap '
                      f'{self._leaps} times, so that videos made from it '
                      'would not be in step with its audio: it is left out. '
                      'To mend the times, re-encode the file, e.g. ffmpeg '
                      '-i IN -c:v libx264 OUT.mp4.',
                      logger='current', level=30)
            return None
        return self.path

    def fingerprint(self) -> list:
        """See :class:`FrameSource`."""
        return _file_states([self.path])

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Frame]:
        before, time, leaps = None, 0., 0
        for frame in decode_video(self.path):
            step = 0. if before is None else frame.time - before
            if not 0 <= step <= _LONGEST:
                step, leaps = 1 / self._rate, leaps + 1
                self._leaps = max(self._leaps, leaps)
            before, time = frame.time, time + step
            even = frame.index / self._rate
            shown = even if abs(time - even) < _ROUNDING else time
            yield Frame(frame.index, f'{frame.index:06d}', frame.image,
                        time=shown if self.fps == self._rate else None)


class ArrayFrames(FrameSource):
    """Frames that are in memory already; they are not copied."""

    in_memory = True

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self.arrays = [check_frame(array, index)
                       for index, array in enumerate(arrays)]
        self.name = f'{len(self.arrays)} arrays'

    def __len__(self) -> int:
        return len(self.arrays)

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self.arrays):
            yield Frame(index, f'{index:06d}', image)


def check_frame(array: np.ndarray, index: int = 0) -> np.ndarray:
    """Check an image and bring it to three channels.

    Args:
        array: (H, W, 3) uint8 RGB; (H, W), (H, W, 1) grey and (H, W, 4)
            RGBA are converted, alpha is dropped.
        index: Number of the image, for messages.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: If it is anything else.
    """
    array = np.asarray(array)
    shape_ok = array.size and (
        array.ndim == 2 or array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not shape_ok:
        raise ValueError(
            f'Frame {index} must have the shape (H, W, 3), but it is '
            f'{array.shape}. Frames are height x width x RGB.')
    if array.dtype != np.uint8:
        raise ValueError(
            f'Frame {index} must be uint8, 0 to 255, but its dtype is '
            f'{array.dtype}. Convert it, for example by '
            '(image * 255).round().astype(np.uint8) from [0, 1].')
    if array.ndim == 2 or array.shape[2] == 1:
        return cv2.cvtColor(array, cv2.COLOR_GRAY2RGB)
    return array[..., :3]


def open_frames(source: str | os.PathLike | np.ndarray
                | Sequence[np.ndarray] | FrameSource) -> FrameSource:
    """Open an input, whatever it is.

    Args:
        source: An image, a video, a folder of images (in natural order), a
            clip folder (``jpg/``, and optionally ``kpt/<name>_kpt2d.npy``
            and ``serial.npy``), an array (H, W, 3) or (T, H, W, 3), a list
            of arrays (uint8 RGB), or a source that is open already.

    Returns:
        The frames. Images are decoded when they are iterated.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If nothing in it is an image or a video.
    """
    if isinstance(source, FrameSource):
        return source
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source).expanduser())
    if isinstance(source, np.ndarray):
        source = list(source) if source.ndim == 4 else [source]
    arrays = list(source)
    if not arrays:
        raise ValueError('The list of frames is empty.')
    if isinstance(arrays[0], str | os.PathLike):
        paths = [Path(path).expanduser() for path in arrays]
        if missing := [path for path in paths if not path.is_file()]:
            raise FileNotFoundError(f'Image not found: {missing[0]}.')
        return ImageFrames(paths, name=f'{len(paths)} images')
    return ArrayFrames(arrays)


def _open_path(path: Path) -> FrameSource:
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise FileNotFoundError(
            f'Input not found: {path} (looked for {path.absolute()}).')
    suffix = path.suffix.lower()
    still = suffix in STILL_SUFFIXES or (
        suffix not in VIDEO_SUFFIXES and cv2.haveImageReader(str(path)))
    return ImageFrames([path]) if still else VideoFrames(path)


def _images_in(folder: Path) -> list[Path]:
    names = [entry.name for entry in folder.iterdir()
             if entry.suffix.lower() in STILL_SUFFIXES
             and not entry.name.startswith('.') and entry.is_file()]
    return [folder / name for name in sorted(names, key=natural_key)]


def _open_folder(folder: Path) -> FrameSource:
    if (folder / 'jpg').is_dir():
        clip = _open_clip(folder)
        if clip is not None:
            return clip
    if paths := _images_in(folder):
        return ImageFrames(paths, name=str(folder))
    inner = sorted(entry.name for entry in folder.iterdir()
                   if entry.is_dir() and not entry.name.startswith('.'))
    found = sorted({entry.suffix or entry.name for entry in folder.iterdir()
                    if entry.is_file()})
    raise ValueError(
        f'{folder} has no images ({", ".join(STILL_SUFFIXES)}). It has '
        + (f'the folders {inner[:5]}: pass one of them.' if inner else
           f'only {found[:5]}.' if found else 'nothing in it.'))


def _open_clip(folder: Path) -> FrameSource | None:
    """Frames of a clip folder, None if its ``jpg`` is empty."""
    listing = list_frames(folder)
    kept = [i for i, name in enumerate(listing.images) if name]
    if not kept:
        return None
    for warning in listing.warnings:
        print_log(warning, logger='current', level=30)
    images = [folder / 'jpg' / listing.images[i] for i in kept]
    points = [folder / 'kpt' / listing.landmarks[i]
              if listing.landmarks[i] else None for i in kept]
    return ImageFrames(images, points, name=str(folder))
