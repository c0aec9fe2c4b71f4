# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Which videos there are, and a name for each."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtvface.io.video_reader import VIDEO_SUFFIXES

_SAMPLE = 1 << 16  # bytes of both ends and the middle tell files apart


@dataclass(frozen=True)
class VideoSource:
    """A video file.

    Attributes:
        path: The file.
        key: Its name in the set: the file's name and a digest of its
            contents, so that a moved file is recognised and a copy is not
            processed twice.
        size: Bytes.
    """

    path: Path
    key: str
    size: int

    def as_dict(self) -> dict[str, Any]:
        """What is stored with the clips."""
        return dict(name=self.path.name, folder=self.path.parent.name,
                    bytes=self.size)


def video_key(path: Path) -> str:
    """Name of a video: readable, fit for file names, and its own.

    Raises:
        OSError: If the file cannot be read.
    """
    size = path.stat().st_size
    digest = hashlib.sha1(str(size).encode())
    with path.open('rb') as file:
        for place in (0, size // 2, max(0, size - _SAMPLE)):
            file.seek(place)
            digest.update(file.read(_SAMPLE))
    stem = re.sub(r'[^A-Za-z0-9]+', '-', path.stem).strip('-')[:40]
    return f'{stem or "video"}-{digest.hexdigest()[:8]}'


def find_videos(inputs: Sequence[str | os.PathLike]
                ) -> tuple[list[VideoSource], dict[str, str]]:
    """Videos among files and folders.

    Args:
        inputs: Files are taken whatever their suffix; folders are searched
            for the suffixes of :data:`mmtvface.io.video_reader.
            VIDEO_SUFFIXES`, with sub-folders.

    Returns:
        The videos, sorted by key and each content once, and path -> why it
        is left out.

    Raises:
        FileNotFoundError: If an input does not exist or there is no video
            in any; the message says what is there.
    """
    found: dict[str, VideoSource] = {}
    skipped: dict[str, str] = {}
    without: dict[str, str] = {}  # folders
    for text in inputs:
        path = Path(text).expanduser()
        files, warning = _files(path)
        if warning:
            without[str(path)] = warning
        for path in files:
            try:
                key, size = video_key(path), path.stat().st_size
            except OSError as error:
                skipped[str(path)] = f'cannot be read ({error.strerror})'
                continue
            if not size:
                skipped[str(path)] = 'the file is empty'
                continue
            # The same video under another name has the same digest.
            digest = key.rsplit('-', 1)[1]
            if digest in found:
                if found[digest].path.resolve() != path.resolve():
                    skipped[str(path)] = f'same as {found[digest].path}'
                continue
            found[digest] = VideoSource(path, key, size)
    if without and not found and not skipped:
        raise FileNotFoundError('. '.join(
            f'There is no video in {path}: {why}'
            for path, why in without.items()) + '.')
    return (sorted(found.values(), key=lambda video: video.key),
            {**skipped, **without})


def _files(path: Path) -> tuple[list[Path], str]:
    """Videos of an input, and why there are none."""
    if path.is_file():
        return [path], ''
    if not path.is_dir():
        raise FileNotFoundError(f'There is no video or folder {path}.')
    files = sorted(file for file in path.rglob('*') if file.is_file())
    videos = [file for file in files
              if file.suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        return [], f'looked for {", ".join(VIDEO_SUFFIXES)}, found ' + (
            f'{len(files)} other files, e.g. {files[0].name}'
            if files else 'no file')
    return videos, ''
