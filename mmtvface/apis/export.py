# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Write results as files, while they are being made."""

import contextlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmtvface.preprocessing.crop import warp
from mmtvface.renderers.mesh_renderer import MeshRenderer
from mmtvface.utils.atomic import atomic_path, writable_dir
from mmtvface.utils.mesh_io import write_obj
from mmtvface.utils.video_io import VideoWriter
from mmtvface.visualization.drawing import (
    GREEN,
    RED,
    add_caption,
    draw_landmarks,
)
from mmtvface.visualization.grid import image_grid
from mmtvface.visualization.overlay import overlay_shape, shape_image

from .inputs import Frame, FrameSource, open_frames
from .results import FrameResult
from .summary import Summary

KINDS = ('obj', 'codes', 'overlay', 'video', 'landmarks')
DEFAULT_KINDS = ('obj', 'codes', 'overlay', 'video')
_CELL = 256


def check_kinds(save: Sequence[str]) -> tuple[str, ...]:
    """Check the names of things to save.

    Raises:
        ValueError: If a name is unknown.
    """
    if unknown := [name for name in save if name not in KINDS]:
        raise ValueError(f'Cannot save {unknown}; there are {list(KINDS)}.')
    return tuple(save)


def save_results(results: Iterable[FrameResult],
                 frames: str | os.PathLike | FrameSource | Any,
                 out_dir: str | os.PathLike,
                 renderer: MeshRenderer,
                 save: Sequence[str] = DEFAULT_KINDS,
                 max_grid_rows: int = 8) -> dict[str, Any]:
    """Write meshes, codes, pictures and figures of a reconstruction.

    Results are taken one by one, so that a generator may be given: meshes
    are on disk as soon as they are known. The frames are decoded once more
    beside them for the pictures. Every file appears only when it is
    complete. What is kept in memory is some kilobytes per frame.

    When the results end with an error or Ctrl-C, the files are finished with
    what came before, ``metrics.json`` says under ``stopped`` what happened,
    and the error goes on.

    Files, by the names in ``save``:

    * 'obj': ``meshes/<frame>.obj``, metres, with the renderer's atlas;
    * 'codes': ``codes.npz``, see :func:`stack_results`;
    * 'landmarks': ``landmarks/<frame>.npy`` (68, 2) pixels;
    * 'overlay': ``overlay_grid.png``: input, landmarks (of the input green,
      of the model red), mesh over the input, mesh from the front;
    * 'video': ``overlay.mp4``, the mesh over all frames at their own size;
    * always: ``metrics.json``, see :class:`mmtvface.apis.summary.Summary`.

    Args:
        results: Of :class:`FaceReconstructor`, in order.
        frames: The input that they were made from.
        out_dir: Folder; it is made.
        renderer: With the faces of the meshes.
        save: What to write, of :data:`KINDS`.
        max_grid_rows: Frames shown in the grid, spread over the input.

    Returns:
        The contents of ``metrics.json`` and, under ``files``, what was
        written (kind -> path).

    Raises:
        ValueError: If the folder cannot be written to, before any result is
            taken.
        OSError: If the disk is full, ...; and whatever the results raise.
    """
    save = check_kinds(save)
    out_dir = writable_dir(out_dir)
    source = open_frames(frames)
    results = iter(results)
    # An input without a face ends here, with an earlier run's files as is.
    first = list(itertools.islice(results, 1))
    summary, stack = Summary(), []
    rows = GridRows(renderer, max_grid_rows)
    pictures = bool({'overlay', 'video'} & set(save))
    meshes = _result_dir(
        out_dir / 'meshes', '.obj') if 'obj' in save else None
    points = _result_dir(
        out_dir / 'landmarks', '.npy') if 'landmarks' in save else None
    files = {kind: str(folder) for kind, folder in (
        ('obj', meshes), ('landmarks', points)) if folder}
    images = iter(source) if pictures else None
    video = VideoWriter(out_dir / 'overlay.mp4', source.fps)
    stopped: list[BaseException] = []
    # Ctrl-C as well: the files of what is done are finished first. The inner
    # one lets the video be closed, the outer one is for failing to do so.
    with _caught(stopped), video, _caught(stopped):
        for result in itertools.chain(first, results):
            summary.add(result)
            if 'codes' in save:
                stack.append(_without_mesh(result))
            if result.valid:
                _save_frame(result, renderer, meshes, points)
            frame = _frame_of(result, images) if pictures else None
            if frame is None or frame.image is None:
                continue
            drawn = draw_overlay(renderer, frame.image, result)
            if 'video' in save:
                video.write(drawn)
                files['video'] = str(video.path)
            if 'overlay' in save:
                rows.offer(frame, result, drawn)
    if stack:
        files['codes'] = str(out_dir / 'codes.npz')
        with atomic_path(out_dir / 'codes.npz') as path:
            np.savez(path, fps=source.fps, **stack_results(stack))
    if 'overlay' in save and rows.pictures:
        files['overlay'] = str(out_dir / 'overlay_grid.png')
        _save_png(out_dir / 'overlay_grid.png',
                  image_grid(rows.pictures, (_CELL, _CELL)))
    metrics = summary.metrics()
    if stopped:
        metrics['stopped'] = f'{type(stopped[0]).__name__}: {stopped[0]}'
    with atomic_path(out_dir / 'metrics.json') as path:
        path.write_text(json.dumps(metrics, indent=2) + '\n',
                        encoding='utf-8')
    files['metrics'] = str(out_dir / 'metrics.json')
    if stopped:
        raise stopped[0]
    return dict(metrics, files=files)


@contextlib.contextmanager
def _caught(errors: list[BaseException]) -> Iterator[None]:
    """Collect what is raised, to be raised later."""
    try:
        yield
    except BaseException as error:  # noqa: B036
        errors.append(error)


def _frame_of(result: FrameResult, frames: Iterator[Frame]) -> Frame | None:
    """Go on to the frame of a result; None if the frames end before it."""
    return next((frame for frame in frames if frame.index == result.index),
                None)


def _result_dir(folder: Path, suffix: str) -> Path:
    """Folder for files of one kind, without those of an earlier run.

    They would be mistaken for results of this one. Files that no earlier run
    has made, which ``metrics.json`` would witness, are left alone.
    """
    folder.mkdir(exist_ok=True)
    if (folder.parent / 'metrics.json').is_file():
        for old in folder.glob(f'*{suffix}'):
            old.unlink()
    return folder


def _save_frame(result: FrameResult, renderer: MeshRenderer,
                meshes: Path | None, points: Path | None) -> None:
    """Write the files of one frame into the folders that are given."""
    if meshes:
        uv_coords = uv_faces = None
        if len(renderer.uv_coords) > 1:
            uv_coords = renderer.uv_coords.cpu().numpy()
            uv_faces = renderer.uv_faces.cpu().numpy()
        with atomic_path(meshes / f'{result.name}.obj') as path:
            write_obj(path, result.vertices, renderer.faces.cpu().numpy(),
                      uv_coords, uv_faces)
    if points:
        with atomic_path(points / f'{result.name}.npy') as path:
            np.save(path, result.landmarks2d)


def _save_png(path: Path, image: np.ndarray) -> None:
    with atomic_path(path) as part:
        if not cv2.imwrite(str(part), image[..., ::-1]):
            raise OSError(f'The image cannot be written to {path}.')


def draw_overlay(renderer: MeshRenderer, image: np.ndarray,
                 result: FrameResult) -> np.ndarray:
    """The mesh over its frame; the frame itself without a result.

    Args:
        renderer: With the faces of the mesh.
        image: (H, W, 3) uint8 RGB.
        result: Of this frame.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if not result.valid:
        return image
    return overlay_shape(renderer, image, result.vertices,
                         result.vertices_image)


class GridRows:
    """Rows of the overlay grid, spread over an input of unknown length.

    Every ``step``-th frame gives a row; when the rows are too many, every
    second one is dropped and the step doubled, so that only a few pictures
    are ever held.

    Args:
        renderer: Draws the mesh from the front.
        most: Most rows.
    """

    def __init__(self, renderer: MeshRenderer, most: int) -> None:
        self.renderer = renderer
        self.most = most
        self.pictures: list[list[np.ndarray]] = []
        self._step = 1
        self._seen = 0

    def offer(self, frame: Frame, result: FrameResult,
              drawn: np.ndarray) -> None:
        """Add a row for this frame if its turn has come."""
        if not result.valid:
            return
        if self._seen % self._step == 0:
            if len(self.pictures) == self.most:
                self.pictures = self.pictures[::2]
                self._step *= 2
            if self._seen % self._step == 0:
                self.pictures.append(self._row(frame, result, drawn))
        self._seen += 1

    def _row(self, frame: Frame, result: FrameResult,
             drawn: np.ndarray) -> list[np.ndarray]:
        marked = draw_landmarks(frame.image, result.detection, GREEN)
        marked = draw_landmarks(marked, result.landmarks2d, RED)
        # The crop of the model, somewhat wider, at the grid's resolution.
        zoom = _CELL / result.crop_size / 1.2
        middle = (_CELL - 1) / 2
        to_cell = np.array([
            [zoom, 0, middle - zoom * (result.crop_size - 1) / 2],
            [0, zoom, middle - zoom * (result.crop_size - 1) / 2],
            [0, 0, 1]]) @ result.crop_matrix
        cells = [warp(image, to_cell, _CELL)
                 for image in (frame.image, marked, drawn)]
        cells[0] = add_caption(cells[0], result.name)
        return [*cells, shape_image(self.renderer, result.vertices, _CELL)]


def _without_mesh(result: FrameResult) -> FrameResult:
    """Drop the vertices, by far the largest part."""
    return FrameResult(**{**vars(result), 'vertices': None})


def stack_results(results: Sequence[FrameResult]) -> dict[str, np.ndarray]:
    """Arrays over all T frames; NaN where a frame has no result.

    Args:
        results: At least one.

    Returns:
        Every code by its name, (T, C) (light (T, 9, 3)); ``camera``
        (T, 3, 4), ``crop_matrix`` (T, 3, 3), ``landmarks2d`` and
        ``detection`` (T, 68, 2), ``landmarks3d`` (T, 68, 3), all in pixels
        of the frames as in :class:`FrameResult`; ``frame_size`` (T, 2)
        height and width, 0 if unreadable; ``frame_name``, ``frame_index``,
        ``status``, ``track_id``, ``valid`` (T,).
    """
    arrays: dict[str, np.ndarray] = {}
    valid = [result for result in results if result.valid]
    if valid:
        for name in valid[0].codes:
            arrays[name] = _stack([r.codes.get(name) for r in results])
    for name in ('camera', 'crop_matrix', 'landmarks2d', 'landmarks3d',
                 'detection'):
        arrays[name] = _stack([getattr(r, name) for r in results])
    return dict(
        arrays,
        frame_size=np.array([r.frame_size or (0, 0) for r in results]),
        frame_name=np.array([r.name for r in results]),
        frame_index=np.array([r.index for r in results]),
        status=np.array([r.status for r in results]),
        track_id=np.array([r.track_id for r in results]),
        valid=np.array([r.valid for r in results]))


def _stack(values: Sequence[np.ndarray | None]) -> np.ndarray:
    """Stack, with NaN in place of None; (T, 0) if all are None."""
    like = next((value for value in values if value is not None), None)
    if like is None:
        return np.full((len(values), 0), np.nan)
    blank = np.full(like.shape, np.nan, like.dtype)
    return np.stack([blank if value is None else value for value in values])
