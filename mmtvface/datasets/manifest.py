# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The list of clips that ``mmtvface prepare`` writes beside a set."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MANIFEST = 'manifest.json'
FORMAT = 'mmtvface-clips'
VERSION = 1


@dataclass(frozen=True)
class ClipEntry:
    """One clip of a set.

    Attributes:
        clip_id: Its name.
        folder: Where it is: a path, or the id in a packed file.
        identity: Name of the person; two clips with the same name show the
            same person.
    """

    clip_id: str
    folder: str
    identity: str


def read_manifest(root: Path) -> list[dict]:
    """Read and check ``root/manifest.json``.

    Returns:
        The entries of the clips; ``id``, ``split`` and ``path`` are
        strings, ``path`` leads to no place outside of ``root``.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is broken, of another format or incomplete.
    """
    path = root / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(
            f"'{path}' is no valid JSON ({error}). Write it anew with "
            'mmtvface prepare VIDEOS --out FOLDER, or remove it and '
            'point data_root at the folder of the clips.') from error
    found = (manifest.get('format'), manifest.get('version')) if isinstance(
        manifest, dict) else (type(manifest).__name__, None)
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"'{path}' must have the format '{FORMAT}', version {VERSION}, "
            f'but it has {found[0]!r}, {found[1]!r}.')
    clips = manifest.get('clips')
    if not isinstance(clips, list):
        raise ValueError(f"'{path}' has no list 'clips'.")
    for number, clip in enumerate(clips):
        if not isinstance(clip, dict) or not all(
                isinstance(clip.get(key), str) and clip[key]
                for key in ('id', 'split', 'path')):
            raise ValueError(
                f"'{path}': clip {number} must be an object with the strings "
                f"'id', 'split' and 'path', but it is {str(clip)[:200]}.")
        place = PurePosixPath(clip['path'])
        if place.is_absolute() or '..' in place.parts:
            raise ValueError(
                f"'{path}': the path of clip '{clip['id']}' must be relative "
                f"to the folder of the manifest, but it is '{place}'.")
    twice = [name for name, count in Counter(
        (clip['split'], clip['id']) for clip in clips).items() if count > 1]
    if twice:
        raise ValueError(f"'{path}': {len(twice)} clips are listed twice, "
                         f"e.g. '{twice[0][1]}' of '{twice[0][0]}'.")
    return clips


def identity_of(clip: dict) -> str:
    """Name of the person; the clip's own id where it is not known."""
    return str(clip.get('identity') or clip['id'])


def choose_split(clips: list[dict], split: str, root: Path) -> list[dict]:
    """Clips of one split, or of all with 'all'.

    Raises:
        ValueError: If the split is empty or none was chosen; says which
            there are.
    """
    counts = Counter(clip['split'] for clip in clips)
    there = ', '.join(f'{name} ({count} clips)' for name, count in
                      sorted(counts.items())) or 'none'
    if not split:
        raise ValueError(
            f"'{root / MANIFEST}' has several splits: {there}. Choose one "
            "with split='train' (or all with split='all').")
    chosen = [clip for clip in clips if split in ('all', clip['split'])]
    if not chosen:
        raise ValueError(f"'{root / MANIFEST}' has no clip of the split "
                         f"'{split}'; splits: {there}.")
    return chosen
