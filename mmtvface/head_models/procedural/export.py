# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Write the built-in head in the file formats of the licensed models."""

import os
from pathlib import Path

import cv2
import numpy as np

from mmtvface.head_models.head_topology import HeadTopology
from mmtvface.utils.atomic import atomic_path

from .cache import procedural_head


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


def save_procedural_head(folder: str | os.PathLike) -> Path:
    """Write the built-in head as the files a licensed model consists of.

    ``generic_model.npz``, ``landmark_embedding.npy`` (a pickled dict, as
    published), ``head_template.obj``, ``uv_face_mask.png``,
    ``uv_face_eye_mask.png``, ``fixed_displacement_256.npy`` and
    ``FLAME_texture.npz`` (mean and tex_dir, BGR, 0..255). Every file appears
    when it is complete, ``generic_model.npz`` the last: where it is, all are.

    Args:
        folder: Made if it does not exist; existing files are replaced.

    Returns:
        The folder.

    Raises:
        OSError: If the folder cannot be written.
    """
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    head = procedural_head()
    model = head.model
    embedding = {name: getattr(head.landmarks, name)
                 for name in type(head.landmarks).__annotations__}
    with atomic_path(folder / 'landmark_embedding.npy') as path:
        np.save(path, np.array(embedding, dtype=object), allow_pickle=True)
    with atomic_path(folder / 'head_template.obj') as path:
        path.write_text(_obj_text(model.v_template, head.topology))
    _write_mask(folder / 'uv_face_mask.png', head.topology.uv_face_mask)
    _write_mask(folder / 'uv_face_eye_mask.png',
                head.topology.uv_face_eye_mask)
    with atomic_path(folder / 'fixed_displacement_256.npy') as path:
        np.save(path, head.topology.fixed_displacement)
    with atomic_path(folder / 'FLAME_texture.npz') as path:
        np.savez(path, mean=255 * head.albedo_mean[..., ::-1],
                 tex_dir=255 * head.albedo_basis[:, :, ::-1])
    kintree = np.stack([model.parents, np.arange(len(model.parents))])
    with atomic_path(folder / 'generic_model.npz') as path:
        np.savez(
            path, v_template=model.v_template,
            f=model.faces.astype(np.uint32), shapedirs=model.shapedirs,
            posedirs=model.posedirs, J_regressor=model.J_regressor,
            weights=model.weights, kintree_table=kintree,
            J=model.J_regressor @ model.v_template)
    return folder
