# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The page: one HTML file that holds everything and loads nothing."""

import base64
import html
import json
import os
import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from mmtvface.animation.tracks import CodeTrack
from mmtvface.tracking.detection import Progress
from mmtvface.tracking.frame_source import open_frames
from mmtvface.utils.atomic import atomic_path
from mmtvface.utils.settings import from_keywords

from .result import (
    ResultFolder,
    code_curves,
    frame_pictures,
    read_result,
    source_of,
)
from .settings import ViewSettings

_PAGE = files(__package__) / 'page'
_SCRIPTS = ('pictures.js', 'lanes.js', 'head.js', 'faces.js', 'viewer.js')
_EVEN = 1e-3  # seconds: some containers count in milliseconds
_CHUNK = 3 << 18  # bytes, a multiple of 3: base64 of them can be joined


def write_view(result_dir: str | os.PathLike,
               out: str | os.PathLike | None = None,
               frames: Any = None, progress: Progress | None = None,
               **settings: Any) -> dict[str, Any]:
    """Write a page that plays the heads of a result beside its video.

    The page holds frames, heads, codes and three.js; it needs a browser with
    WebGL 2 and no network, which its own rules forbid it to use. Of several
    faces in a frame all heads are shown, from left to right, or the one that
    is chosen. Frames are shown at their times; they are encoded one by one,
    so that memory does not grow with them.

    Args:
        result_dir: Output folder of ``mmtvface reconstruct`` with ``codes``
            and ``glb``.
        out: The page. Default: ``view.html`` in the folder.
        frames: What the result was made from, as :func:`open_frames` takes
            it. Default: what its ``metrics.json`` names.
        progress: Called with the step, pictures done and in all.
        settings: Of :class:`~.settings.ViewSettings`.

    Returns:
        ``path``, ``frames``, ``tracks`` and ``bytes``.

    Raises:
        FileNotFoundError: If something of the result or its input is missing.
        ValueError: If a file is damaged, the input is another one, or the
            page would be too large.
    """
    chosen = from_keywords(ViewSettings, settings)
    every = chosen.every
    result = read_result(result_dir)
    source = open_frames(source_of(result.path) if frames is None else frames)
    out = Path(out).expanduser() if out else result.path / 'view.html'
    if not out.parent.is_dir():
        raise FileNotFoundError(f'The folder of {out} does not exist. Make '
                                'it, or choose another --out.')
    num_frames = int(result.codes.frame_index[-1]) + 1
    pictures = frame_pictures(source, num_frames, every,
                              chosen.height)
    if progress:
        pictures = _reported(pictures, progress, -(-num_frames // every))
    parts = dict(
        title=[html.escape(Path(source.name).name)],
        style=[_text('viewer.css')],
        data=[_json(_page_data(result, num_frames, every))],
        pictures=_json_strings(pictures), heads=_heads(result),
        three_license=[_text('three.LICENSE.txt')],
        three=[_text('three.min.js')],
        script=[_text(name) for name in _SCRIPTS])
    size = _write(out, parts, int(chosen.max_mb * 1e6))
    return dict(path=str(out), frames=num_frames, tracks=len(result.heads),
                bytes=size)


def _text(name: str) -> str:
    return (_PAGE / name).read_text(encoding='utf-8')


def _json(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    return json.dumps(value, separators=(',', ':'), allow_nan=False
                      ).replace('<', '\\u003c')


def _page_data(result: ResultFolder, num_frames: int,
               every: int) -> dict[str, Any]:
    """Times, names and curves."""
    codes, groups = result.codes, code_curves(result.codes)
    seen_index = codes.frame_index[codes.valid]
    seen_track = codes.track_id[codes.valid]
    together = bool((np.diff(seen_index) == 0).any())
    tracks = []
    for track in result.heads:
        columns = seen_track == track
        tracks.append(dict(
            id=track, frames=seen_index[columns].tolist(),
            values=[np.round(group.values[:, columns], 5).tolist()
                    for group in groups]))
        if together and codes.camera is not None:
            tracks[-1]['x'] = np.round(codes.camera[codes.valid][
                columns, 0, 3]).astype(int).tolist()
    return dict(
        fps=codes.fps, numFrames=num_frames, every=every, tracks=tracks,
        together=together, times=_times(codes, num_frames),
        names=dict(zip(codes.frame_index.tolist(), codes.frame_names,
                       strict=True)),
        groups=[dict(name=group.name, unit=group.unit, labels=group.labels)
                for group in groups])


def _times(codes: CodeTrack, num_frames: int) -> list[float] | None:
    """Seconds of all frames; None where they come evenly."""
    if codes.time is None:
        return None
    index, rows = np.unique(codes.frame_index, return_index=True)
    times = np.interp(np.arange(num_frames), index, codes.time[rows])
    even = np.arange(num_frames) / codes.fps
    return (None if np.abs(times - even).max() < _EVEN
            else np.round(times, 6).tolist())


def _reported(pictures: Iterable[bytes | None], progress: Progress,
              total: int) -> Iterator[bytes | None]:
    for done, picture in enumerate(pictures, 1):
        yield picture
        progress('Encoding frames', done, total)


def _json_strings(pictures: Iterable[bytes | None]) -> Iterator[str]:
    """Items of a JSON array, base64 or null."""
    for number, picture in enumerate(pictures):
        item = 'null' if picture is None else (
            f'"{base64.b64encode(picture).decode()}"')
        yield f',\n{item}' if number else item


def _heads(result: ResultFolder) -> Iterator[str]:
    """An element for each head."""
    for number, path in enumerate(result.heads.values()):
        yield f'<script type="text/plain" id="head-{number}">'
        with path.open('rb') as file:
            while chunk := file.read(_CHUNK):
                yield base64.b64encode(chunk).decode()
        yield '</script>\n'


def _write(out: Path, parts: dict[str, Iterable[str]],
           limit: int) -> int:
    """Fill the template and return the size of the page in bytes."""
    pieces = re.split(r'\{\{(\w+)\}\}', _text('viewer.html'))
    size = 0
    with atomic_path(out) as part, part.open('wb') as file:
        for number, piece in enumerate(pieces):
            for text in parts[piece] if number % 2 else [piece]:
                size += file.write(text.encode())
                if size > limit:
                    raise ValueError(
                        f'{out} would be larger than {limit / 1e6:g} MB. Show '
                        'the video with fewer or smaller pictures (--every '
                        '5, --height 180), or allow more by --max-mb.')
    return size
