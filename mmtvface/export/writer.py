# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Writers of results, and the registry of their kinds.

A kind of output is a class in a file of the folder ``writers/``::

    @register('names', 'names.txt', 'names of the frames with a face',
              requires_image=False)
    class NameWriter(Writer):
        def __init__(self, target, kind):
            super().__init__(target, kind)
            self.path = target.out_dir / 'names.txt'

        def add(self, frame):
            ...

The command's choices and help, the table in the docs and the checks are made
of what is registered.
"""

import importlib
import pkgutil
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmtvface.io.column_store import ColumnStore
from mmtvface.utils.atomic import atomic_path
from mmtvface.utils.settings import Settings, option

if TYPE_CHECKING:  # the help of the command must not wait for torch
    from mmtvface.visualization.frame_painter import FramePainter

    from .painted_frame import PaintedFrame

METRICS = 'metrics.json'
DEFAULT_KINDS = ('obj', 'codes', 'grid', 'video')

#: Parts of a model that kinds of output may require, in words.
PARTS = dict(albedo='an albedo model', detail='a detail branch',
             flame='a FLAME head')
#: Earlier names of kinds, for one release.
_RENAMED = dict(side_video='comparison_video')


class Kind(NamedTuple):
    """A kind of output.

    Attributes:
        name: In ``save``.
        writer: Class that writes it.
        files: In the folder of all results; ``<name>`` is that of a result.
        help: One line.
        requires: Parts of the model, of :data:`PARTS`.
        requires_image: Whether the frames must be decoded for it;
            ``'texture'``: for a texture, if the head has a UV map.
        picture: Of the painter, that the writer asks each frame for; or ''.
    """

    name: str
    writer: 'type[Writer]'
    files: str
    help: str
    requires: tuple[str, ...] = ()
    requires_image: bool | str = True
    picture: str = ''

    @property
    def required(self) -> str:
        """The parts in words."""
        return ' and '.join(PARTS[part] for part in self.requires)

    def open(self, target: 'Target') -> 'Writer':
        """A writer of this kind."""
        return self.writer(target, self)


_KINDS: dict[str, Kind] = {}


def register(name: str, files: str, help: str, *,
             requires: Sequence[str] = (), requires_image: bool | str = True,
             picture: str = '') -> 'Callable[[type[Writer]], type[Writer]]':
    """Decorator of a :class:`Writer`, once for each of its kinds.

    Args:
        name: See :class:`Kind`, like the others.
        files: What it writes.
        help: One line.
        requires: Parts of the model.
        requires_image: Whether frames are decoded for it.
        picture: Of the painter.

    Raises:
        ValueError: If another class has the name, or there is no such part.
    """
    def add(writer: 'type[Writer]') -> 'type[Writer]':
        known = _KINDS.get(name)
        if known and known.writer.__qualname__ != writer.__qualname__:
            raise ValueError(f"The kind '{name}' is registered already, by "
                             f'{known.writer.__name__}.')
        if unknown := set(requires) - set(PARTS):
            raise ValueError(f"The kind '{name}' requires {unknown}, but "
                             f'parts of a model are {list(PARTS)}.')
        _KINDS[name] = Kind(name, writer, files, help, tuple(requires),
                            requires_image, picture)
        return writer

    return add


def all_kinds() -> Mapping[str, Kind]:
    """All kinds by their names, in the order in which they are written."""
    folder = importlib.import_module('.writers', __package__)
    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f'.{module.name}', folder.__name__)
    # By files, whichever was imported first; those of others come last.
    return dict(sorted(_KINDS.items(), key=lambda item: (
        not item[1].writer.__module__.startswith(f'{folder.__name__}.'),
        item[1].writer.__module__)))


def kind_name(name: str) -> str:
    """A name of a kind as it is today; an earlier one warns."""
    if name in _RENAMED:
        warnings.warn(f"The kind of output '{name}' is now "
                      f"'{_RENAMED[name]}'.", DeprecationWarning,
                      stacklevel=2)
    return _RENAMED.get(name, name)


def check_kinds(save: Sequence[str],
                painter: 'FramePainter | None' = None) -> tuple[str, ...]:
    """Check what is to be saved before any work is done for it.

    Args:
        save: Names of kinds.
        painter: With the parts of the model; None: only the names are
            checked.

    Returns:
        The kinds, each once.

    Raises:
        ValueError: If a name is unknown or the model lacks what it needs.
    """
    kinds, known = tuple(dict.fromkeys(map(kind_name, save))), all_kinds()
    if unknown := [name for name in kinds if name not in known]:
        raise ValueError(f'Cannot save {unknown}; there are {list(known)}.')
    for name in kinds if painter else ():
        for part in known[name].requires:
            if missing := painter.missing(part):
                raise ValueError(
                    f"Cannot save '{name}': the model of the config has no "
                    f"{missing.removeprefix('an ').removeprefix('a ')}. Use "
                    f"a config with one, or leave out '{name}'.")
    return kinds


def open_writers(save: Collection[str], target: 'Target') -> 'list[Writer]':
    """Writers of these kinds, those that need the least first."""
    return [kind.open(target) for name, kind in all_kinds().items()
            if name in save]


def needs_images(save: Collection[str], painter: 'FramePainter') -> bool:
    """Whether the frames must be decoded for these kinds."""
    known = all_kinds()
    return any(known[name].requires_image is True
               or known[name].requires_image == 'texture'
               and painter.has_uv_map for name in save)


def kinds_table() -> str:
    """All kinds as a table in Markdown, as in the docs."""
    rows = ['| `--save` | files | what | requires |', '|---|---|---|---|']
    for kind in all_kinds().values():
        rows.append(f'| `{kind.name}` | `{kind.files}` | {kind.help} '
                    f'| {kind.required} |')
    return '\n'.join(rows) + '\n'


@dataclass(frozen=True)
class OutputSettings(Settings):
    """What is written of a reconstruction."""

    save: tuple[str, ...] = option(
        DEFAULT_KINDS, 'what to write, see below',
        choices=lambda: tuple(all_kinds()), convert=kind_name,
        metavar='KIND')
    texture_size: int = option(
        512, 'side of the textures of meshes in texels', least=1)
    max_grid_rows: int = option(
        8, 'faces shown in the grid, of frames spread over the input',
        least=1)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'save', tuple(map(kind_name, self.save)))
        super().__post_init__()


@dataclass(frozen=True)
class Target:
    """Where writers write, and what they write with.

    Attributes:
        out_dir: Folder of all results.
        fps: Frames per second.
        painter: With the parts of the model; None where only numbers are
            written.
        audio: Says, when all frames have been read, which file's audio the
            videos get.
        max_grid_rows: See :class:`OutputSettings`.
    """

    out_dir: Path
    fps: float = 25.
    painter: 'FramePainter | None' = None
    audio: Callable[[], Path | None] = lambda: None
    max_grid_rows: int = 8


class Writer(ABC):
    """Writes one kind of output, result by result.

    Args:
        target: Where, and with what.
        kind: As which it is registered.

    Attributes:
        path: File or folder that it writes.
    """

    path: Path

    def __init__(self, target: Target, kind: Kind) -> None:
        self.target, self.kind = target, kind

    @abstractmethod
    def add(self, frame: 'PaintedFrame') -> None:
        """Take a result; also one without a face or an image."""

    def finish(self) -> bool:
        """Complete the files; whether there is anything to name."""
        return True


class FrameWriter(Writer):
    """Writes one kind of output, frame by frame with all of its faces."""

    @abstractmethod
    def add_frame(self, faces: 'Sequence[PaintedFrame]') -> None:
        """Take all results of a frame, at least one.

        Args:
            faces: Of the same image; one alone may be without a face.
        """

    def add(self, frame: 'PaintedFrame') -> None:
        """Take a frame that has one result."""
        self.add_frame([frame])


class TrackWriter(Writer):
    """Writes ``<kind>/track<id>.<suffix>`` when all frames are known.

    Until then codes and cameras, a kilobyte per face and frame, wait on the
    disk, where the files will be. A face may be away for any time. In memory
    are a few numbers per track, and at the end the arrays of one track.
    """

    suffix: str

    def __init__(self, target: Target, kind: Kind) -> None:
        super().__init__(target, kind)
        self.path = result_dir(target.out_dir, kind.name, (self.suffix, ))
        self._rows = ColumnStore(self.path)
        # Index and seconds of this frame, and seconds of the one before it.
        self._now: tuple[int, float, float] = (-1, np.nan, np.nan)

    def add(self, frame: 'PaintedFrame') -> None:
        """Keep what is needed of a result with a face."""
        result, fps = frame.result, self.target.fps
        seconds = result.index / fps if result.time is None else result.time
        if result.index != self._now[0]:
            self._now = result.index, seconds, (
                self._now[1] if result.index - 1 == self._now[0]
                else max(0., seconds - 1 / fps))
        if result.valid:
            self._rows.append(dict(
                result.codes, **self.frame_entries(frame),
                camera=result.camera,
                frame_size=np.array(result.frame_size),
                frame_index=result.index, frame_name=result.frame_name,
                track_id=result.track_id, time=seconds,
                time_before=self._now[2]))

    def frame_entries(self, frame: 'PaintedFrame') -> dict[str, Any]:
        """Take what needs the vertices or the image of a result.

        Args:
            frame: With a face.

        Returns:
            Further entries of :meth:`write`.
        """
        return {}

    def finish(self) -> bool:
        """Write a file for each track."""
        with self._rows as rows:
            for track, numbers in rows.groups('track_id'):
                self.write(self.path / f'track{track}{self.suffix}', track,
                           rows.gather(numbers))
            return bool(len(rows))

    @abstractmethod
    def write(self, path: Path, track: int,
              arrays: Mapping[str, np.ndarray]) -> None:
        """Write one track to a path.

        Args:
            path: Of the file.
            track: Its id.
            arrays: Of the T frames with this face: the codes (T, C),
                ``camera`` (T, 3, 4), ``frame_size`` (T, 2), ``frame_index``,
                ``frame_name``, ``time`` (T,) seconds since the first frame,
                ``time_before`` (T,) that of the frame before; and what
                :meth:`look` has returned.
        """


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
    import cv2
    pixels = image[..., ::-1] if image.ndim == 3 else image
    with atomic_path(path) as part:
        if not cv2.imwrite(str(part), pixels):
            raise OSError(f'The image cannot be written to {path}.')
