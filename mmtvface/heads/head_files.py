# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Write a head in the file formats of the licensed models."""

import os
from pathlib import Path

import cv2
import numpy as np

from mmtvface.utils.atomic import atomic_path

from .flame_io import HeadModelData
from .head_topology import HeadTopology
from .landmark_embedding import LandmarkEmbedding


def _obj_text(vertices: np.ndarray, topology: HeadTopology) -> str:
    lines = [f'v {x:.8f} {y:.8f} {z:.8f}' for x, y, z in vertices]
    lines += [f'vt {u:.8f} {v:.8f}' for u, v in topology.uv_coords]
    corners = np.stack([topology.faces + 1, topology.uv_faces + 1], -1)
    lines += [
        'f ' + ' '.join(f'{vertex}/{texture}' for vertex, texture in face)
        for face in corners.tolist()]
    return '\n'.join(lines) + '\n'


def _write_mask(path: Path, mask: np.ndarray) -> None:
    grey = np.round(255 * mask).astype(np.uint8)
    image = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    with atomic_path(path) as part:
        if not cv2.imwrite(str(part), image):
            raise OSError(f'cannot write {path}')


def save_head_files(folder: str | os.PathLike,
                    model: HeadModelData,
                    landmarks: LandmarkEmbedding,
                    topology: HeadTopology,
                    albedo: tuple[np.ndarray, np.ndarray] | None = None
                    ) -> Path:
    """Write a head as the files a licensed model consists of.

    ``landmark_embedding.npy`` (a pickled dict, as published),
    ``head_template.obj``, ``uv_face_mask.png``, ``uv_face_eye_mask.png``,
    ``fixed_displacement_256.npy``, ``FLAME_texture.npz`` (mean and tex_dir,
    BGR, 0..255) if there is an albedo, and ``generic_model.npz``. Every file
    appears when it is complete, the model the last: where it is, all are.

    Args:
        folder: Made if it does not exist; existing files are replaced.
        model: The head.
        landmarks: Its landmarks.
        topology: Its UV map and maps.
        albedo: (512, 512, 3) mean and (512, 512, 3, K) basis, RGB, 0..1.

    Returns:
        The folder.

    Raises:
        OSError: If the folder cannot be written.
    """
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    # An older model would vouch for a mixture of old and new files.
    (folder / 'generic_model.npz').unlink(missing_ok=True)
    embedding = {name: getattr(landmarks, name)
                 for name in LandmarkEmbedding.__annotations__}
    with atomic_path(folder / 'landmark_embedding.npy') as path:
        np.save(path, np.array(embedding, dtype=object), allow_pickle=True)
    with atomic_path(folder / 'head_template.obj') as path:
        path.write_text(_obj_text(model.v_template, topology))
    _write_mask(folder / 'uv_face_mask.png', topology.uv_face_mask)
    _write_mask(folder / 'uv_face_eye_mask.png', topology.uv_face_eye_mask)
    with atomic_path(folder / 'fixed_displacement_256.npy') as path:
        np.save(path, topology.fixed_displacement)
    if albedo is not None:
        mean, basis = albedo
        with atomic_path(folder / 'FLAME_texture.npz') as path:
            np.savez(path, mean=255 * mean[..., ::-1],
                     tex_dir=255 * basis[:, :, ::-1])
    kintree = np.stack([model.parents, np.arange(len(model.parents))])
    with atomic_path(folder / 'generic_model.npz') as path:
        np.savez(
            path, v_template=model.v_template,
            f=model.faces.astype(np.uint32), shapedirs=model.shapedirs,
            posedirs=model.posedirs, J_regressor=model.J_regressor,
            weights=model.weights, kintree_table=kintree,
            J=model.J_regressor @ model.v_template)
    return folder
