# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Files of the NoW benchmark: predictions and scans.

Predictions, as the benchmark takes them::

    <folder>/<subject>/<challenge>/<image>.obj     neutral mesh
    <folder>/<subject>/<challenge>/<image>.npy     (7, 3) landmarks, or .txt

Scans, one per subject, and landmarks picked on them::

    <scans>/<subject>/<any name>.obj               or <scans>/<subject>.obj
    <landmarks>/<subject>/<any name>.pp            or <landmarks>/<subject>.pp
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmtvface.utils.assets import listing

from .landmark_files import LANDMARK_SUFFIXES

#: Of the predictions, in an output folder.
FOLDER = 'predicted_meshes'
MESH_SUFFIXES = ('.obj', '.ply')


class Prediction(NamedTuple):
    """One reconstructed image.

    Attributes:
        key: ``<subject>/<challenge>/<image>``, without a suffix.
        subject: First part of the key.
        challenge: The middle of the key, '' without one.
        mesh: File of the neutral mesh; it may be missing.
        landmarks: File of the seven landmarks; it may be missing.
    """

    key: str
    subject: str
    challenge: str
    mesh: Path
    landmarks: Path


def read_image_list(path: str | os.PathLike) -> list[str]:
    """Lines ``<subject>/<challenge>/<image>.jpg`` of a list of NoW.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has no line.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'There is no list of images {path}. The NoW benchmark comes '
            'with imagepathsvalidation.txt and imagepathstest.txt.')
    lines = [line.strip().replace('\\', '/').lstrip('/')
             for line in path.read_text(encoding='utf-8').splitlines()]
    lines = list(dict.fromkeys(line for line in lines if line))
    if not lines:
        raise ValueError(f'The list of images {path} is empty.')
    return lines


def prediction_of(folder: Path, image: str) -> Prediction:
    """Where the prediction of a listed image is looked for."""
    key = Path(image).with_suffix('')
    mesh = folder / key.with_suffix('.obj')
    if not mesh.is_file() and mesh.with_suffix('.ply').is_file():
        mesh = mesh.with_suffix('.ply')
    landmarks = mesh.with_suffix('.npy')
    if not landmarks.is_file() and landmarks.with_suffix('.txt').is_file():
        landmarks = landmarks.with_suffix('.txt')
    parts = key.parts
    return Prediction(key.as_posix(), parts[0], '/'.join(parts[1:-1]), mesh,
                      landmarks)


def find_predictions(folder: str | os.PathLike,
                     images: Sequence[str] | None = None
                     ) -> list[Prediction]:
    """Predictions in a folder.

    Args:
        folder: Folder of the layout above, or the one with it as
            ``predicted_meshes``.
        images: Listed images. All of them are returned, with or without
            their files; the default are the meshes that are there.

    Raises:
        FileNotFoundError: If there is no such folder or no mesh in it.
    """
    folder = Path(folder).expanduser()
    looked_for = '<subject>/<challenge>/<image>.obj'
    if not folder.is_dir():
        raise FileNotFoundError(f'There is no folder of predictions {folder} '
                                f'(looked for {looked_for} in it).')
    if (folder / FOLDER).is_dir():
        folder = folder / FOLDER
    found = [path for path in sorted(folder.rglob('*'))
             if path.suffix.lower() in MESH_SUFFIXES
             and not path.name.startswith('.')]
    if not found:
        raise FileNotFoundError(f'No predictions in {folder}: looked for '
                                f'{looked_for}, found {listing(folder)}.')
    if images is None:
        images = list(dict.fromkeys(
            path.relative_to(folder).as_posix() for path in found))
    return list({item.key: item for item in (
        prediction_of(folder, image) for image in images)}.values())


def find_scan_file(folder: str | os.PathLike, subject: str, what: str,
                   suffixes: Sequence[str]) -> Path:
    """The one file of a subject.

    Args:
        folder: Folder of all subjects.
        subject: Name of its folder, or of its file without the suffix.
        what: For messages, e.g. 'scan'.
        suffixes: Endings in the order of preference.

    Raises:
        FileNotFoundError: If there is none; says what was looked for.
        ValueError: If there are several of the preferred ending.
    """
    folder = Path(folder).expanduser()
    for suffix in suffixes:
        files = [path for path in sorted((folder / subject).glob('*'))
                 if path.suffix.lower() == suffix]
        single = folder / f'{subject}{suffix}'
        if single.is_file():
            files.append(single)
        if len(files) > 1:
            raise ValueError(
                f"'{subject}' has {len(files)} files that may be its {what}: "
                f'{", ".join(str(path) for path in files[:4])}. Keep one.')
        if files:
            return files[0]
    endings = ' or '.join(suffixes)
    there = folder / subject
    raise FileNotFoundError(
        f"No {what} of '{subject}': looked for a file {endings} in {there} "
        f'and for {subject} with one of these endings in {folder}, found '
        f'{listing(there if there.is_dir() else folder)}.')


def find_scan(folder: str | os.PathLike, subject: str) -> Path:
    """Mesh of a subject's scan, see :func:`find_scan_file`."""
    return find_scan_file(folder, subject, 'scan', MESH_SUFFIXES)


def find_landmarks(folder: str | os.PathLike, subject: str) -> Path:
    """Landmarks of a subject's scan, see :func:`find_scan_file`."""
    return find_scan_file(folder, subject, 'file of landmarks',
                          LANDMARK_SUFFIXES)
