# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Write results as files, while they are being made."""

import contextlib
import itertools
import json
import os
from collections.abc import (
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import Any

from mmtvface.reconstruction.results import FrameResult
from mmtvface.reconstruction.summary import Summary
from mmtvface.renderers.mesh_renderer import MeshRenderer
from mmtvface.tracking.frame_source import Frame, FrameSource, open_frames
from mmtvface.utils.atomic import atomic_path, writable_dir
from mmtvface.utils.threads import prefetch
from mmtvface.visualization.frame_painter import FramePainter

from .painted_frame import PaintedFrame
from .writer import (
    DEFAULT_KINDS,
    METRICS,
    FrameWriter,
    Target,
    Writer,
    check_kinds,
    needs_images,
    open_writers,
)

_AHEAD = 2  # frames that are decoded before they are drawn on


def save_results(results: Iterable[FrameResult],
                 frames: str | os.PathLike | FrameSource | Any,
                 out_dir: str | os.PathLike,
                 painter: FramePainter | MeshRenderer,
                 save: Sequence[str] = DEFAULT_KINDS,
                 max_grid_rows: int = 8,
                 notes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write meshes, codes, pictures and statistics of a reconstruction.

    Results are taken one by one, so that a generator may be given: meshes
    are on disk as soon as they are known. The frames are decoded once more
    beside them for the pictures, once for all results of the same
    ``index``. Every file appears only when it is complete. What is kept in
    memory is an error and a name per result, see :class:`Summary`; codes
    wait in files without names in the folder.

    ``<name>`` is that of a result: of its frame, or of a face in it.

    When the results end with an error or Ctrl-C, the files are finished with
    what came before, ``metrics.json`` says under ``stopped`` what happened,
    and the error goes on.

    Which files there are for the names in ``save`` is said by ``mmtvface info
    --kinds`` and the classes in the folder ``writers/``. ``metrics.json`` is
    always written, see :class:`~mmtvface.reconstruction.summary.Summary`,
    with ``source``, the input's full path.

    Args:
        results: Of :class:`FaceReconstructor`, in order; several faces of
            a frame follow one another.
        frames: The input that they were made from.
        out_dir: Folder; it is made.
        painter: Of the model, :meth:`FaceReconstructor.build_painter`; a
            renderer stands for one without albedo model and detail.
        save: What to write, of :func:`~.writer.all_kinds`.
        max_grid_rows: Faces shown in the grid, of frames spread over the
            input.
        notes: Further entries of ``metrics.json``, read when all results
            have been taken: :attr:`FaceReconstructor.report`.

    Returns:
        The contents of ``metrics.json`` and, under ``files``, what was
        written (kind -> path).

    Raises:
        ValueError: If a kind is unknown, the model lacks a part for it, or
            the folder cannot be written to; before any result is taken.
        OSError: If the disk is full, ...; and whatever the results raise.
    """
    saved = saving(results, frames, out_dir, painter, save, max_grid_rows,
                   notes)
    while True:
        try:
            next(saved)
        except StopIteration as end:
            return end.value


def saving(results: Iterable[FrameResult],
           frames: str | os.PathLike | FrameSource | Any,
           out_dir: str | os.PathLike,
           painter: FramePainter | MeshRenderer,
           save: Sequence[str] = DEFAULT_KINDS, max_grid_rows: int = 8,
           notes: Mapping[str, Any] | None = None
           ) -> Generator[FrameResult, None, dict[str, Any]]:
    """The same while results are taken; arguments as there.

    Yields:
        Each result when it is written.

    Returns:
        What :func:`save_results` returns.
    """
    if isinstance(painter, MeshRenderer):
        painter = FramePainter(painter)
    save = check_kinds(save, painter)
    out_dir = writable_dir(out_dir)
    source = open_frames(frames)
    results = iter(results)
    # An input without a face ends here, with an earlier run's files as is.
    first = list(itertools.islice(results, 1))
    target = Target(out_dir, source.fps, painter, lambda: source.audio,
                    max_grid_rows)
    writers = open_writers(save, target)
    images = prefetch(iter(source), _AHEAD) if needs_images(
        save, painter) else None
    pictures = {writer.kind.picture for writer in writers} - {''}
    stopped: list[BaseException] = []
    # Ctrl-C as well: the files of what is done are finished first.
    with Summary(out_dir) as summary:
        with contextlib.ExitStack() as open_files, _caught(stopped):
            for made in (images, results):
                # Their threads end before anything else is done.
                if hasattr(made, 'close'):
                    open_files.enter_context(contextlib.closing(made))
            for writer in writers:
                if isinstance(writer, contextlib.AbstractContextManager):
                    # One that fails to close does not take the other along.
                    open_files.enter_context(_caught(stopped))
                    open_files.enter_context(writer)
            for group in _frames_of(itertools.chain(first, results)):
                for result in group:
                    summary.add(result)
                shown = _image_of(group[0], images)
                _write([PaintedFrame(
                    painter, result, shown and shown.image, pictures,
                    shown and shown.time) for result in group], writers)
                yield from group
        statistics = summary.metrics()
    files = {}
    for writer in writers:
        # One that fails to finish does not take the others along.
        with _caught(stopped):
            if writer.finish():
                files[writer.kind.name] = str(writer.path)
    metrics = dict(source=_full_name(source)) | statistics | dict(notes or {})
    if stopped:
        metrics['stopped'] = f'{type(stopped[0]).__name__}: {stopped[0]}'
    with atomic_path(out_dir / METRICS) as path:
        path.write_text(json.dumps(metrics, indent=2) + '\n',
                        encoding='utf-8')
    files['metrics'] = str(out_dir / METRICS)
    if stopped:
        error = stopped[0]
        stopped.clear()  # it refers to this frame, which refers to it
        raise error
    return dict(metrics, files=files)


def _full_name(source: FrameSource) -> str:
    """The path of a source if it has one, else its name."""
    path = Path(source.name)
    return str(path.absolute()) if path.exists() else source.name


@contextlib.contextmanager
def _caught(errors: list[BaseException]) -> Iterator[None]:
    """Collect what is raised, to be raised later."""
    try:
        yield
    except BaseException as error:  # noqa: B036
        errors.append(error)


def _frames_of(results: Iterable[FrameResult]
               ) -> Iterator[list[FrameResult]]:
    """Group the results of one frame; also those before an error."""
    group: list[FrameResult] = []
    try:
        for result in results:
            if group and result.index != group[0].index:
                done, group = group, []
                yield done
            group.append(result)
    except GeneratorExit:
        raise
    except BaseException:  # noqa: B036
        if group:
            yield group
        raise
    if group:
        yield group


def _write(faces: Sequence[PaintedFrame], writers: Sequence[Writer]) -> None:
    """Give all results of a frame to the writers."""
    for face in faces:
        for writer in writers:
            if not isinstance(writer, FrameWriter):
                writer.add(face)
        if len(faces) > 1:
            face.forget()  # pictures of many faces would fill the memory
    for writer in writers:
        if isinstance(writer, FrameWriter):
            writer.add_frame(faces)


def _image_of(result: FrameResult,
              frames: Iterator[Frame] | None) -> Frame | None:
    """Go on to the frame of a result; None if the frames end before it."""
    if frames is None:
        return None
    return next((frame for frame in frames if frame.index == result.index),
                None)
