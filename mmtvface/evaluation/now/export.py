# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Writing neutral meshes as the NoW benchmark takes them."""

from pathlib import Path

import numpy as np

from mmtvface.io.mesh import write_obj
from mmtvface.utils.atomic import atomic_path

from ..functional.scan_error import check_now_landmarks


def prediction_files(folder: Path, key: str) -> tuple[Path, Path]:
    """Mesh and landmarks of an image.

    Args:
        folder: ``predicted_meshes``.
        key: ``<subject>/<challenge>/<image>``.

    Raises:
        ValueError: If the key leaves the folder.
    """
    if not key or Path(key).is_absolute() or '..' in Path(key).parts:
        raise ValueError(f"The name of an image must be like 'subject/"
                         f"challenge/image', but it is {key!r}.")
    mesh = folder / f'{key}.obj'
    return mesh, folder / f'{key}.npy'


def is_exported(folder: Path, key: str) -> bool:
    """Whether both files of an image are there; they are never partial."""
    return all(path.is_file() for path in prediction_files(folder, key))


def export_prediction(folder: Path, key: str, vertices: np.ndarray,
                      faces: np.ndarray, landmarks: np.ndarray) -> None:
    """Write ``<key>.obj`` and ``<key>.npy``, whole or not at all.

    Args:
        folder: ``predicted_meshes``.
        key: ``<subject>/<challenge>/<image>``.
        vertices: (V, 3) metres.
        faces: (F, 3).
        landmarks: (7, 3) metres.

    Raises:
        ValueError: If something is not finite, or the key leaves the folder.
        OSError: If the files cannot be written.
    """
    mesh, points = prediction_files(folder, key)
    check_now_landmarks(f'The landmarks of {key}', landmarks)
    mesh.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(points) as part:
        np.save(part, landmarks.astype(np.float64))
    write_obj(mesh, vertices, faces)
