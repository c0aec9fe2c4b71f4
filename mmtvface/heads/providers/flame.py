# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Heads in files of FLAME's layout: licensed, converted, or written here."""

import os
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from mmtvface.heads.albedo import (
    PICTURE_REMEDY,
    TEXTURE_REMEDY,
    AlbedoData,
    load_albedo,
)
from mmtvface.heads.assets import HeadAssets
from mmtvface.heads.flame_io import (
    FLAME_REMEDY,
    HeadModelData,
    load_head_model,
)
from mmtvface.heads.head_topology import HeadTopology, load_head_topology
from mmtvface.heads.landmark_embedding import (
    LandmarkEmbedding,
    load_landmark_embedding,
)
from mmtvface.registry import HEADS
from mmtvface.utils.atomic import atomic_path

#: Names of the models: FLAME 2019, 2020 and 2023 as they are unpacked, and
#: what this package writes; FLAME 2023; FLAME 2023 Open. Codes of one release
#: are not those of another. The builds without jaw are not looked for: their
#: mouths do not open by the pose.
MODELS = (('generic_model.pkl', 'generic_model.npz'), ('flame2023.pkl', ),
          ('flame2023_Open.pkl', ))
#: The released DECA was trained with the first; pictures are one face for
#: all codes.
ALBEDOS = ('FLAME_albedo_from_BFM.npz', 'FLAME_texture.npz',
           'mean_texture.jpg', 'mean_texture.png')


@HEADS.register_module(name='flame')
class FlameFiles(HeadAssets):
    """A head in a folder, found by the names of the published files.

    A file is read when it is used first, so that what is not used need not
    be there; masks and displacement may always be missing.

    Args:
        root: The folder, such as ``data/flame``.
        model: Name of the model, if not one of :data:`MODELS`, or if there
            are several.
        landmarks: Name of the landmark embedding.
        template: Name of the mesh with UV coordinates.
        uv_face_mask: Name of the mask of the skin.
        uv_face_eye_mask: Name of the mask of skin and eyes.
        fixed_displacement: Name of the displacement of the mean head.
        albedo: Name of the albedo model or picture; None: the first of
            :data:`ALBEDOS` that is there.

    Raises:
        FileNotFoundError: If there is no such folder or, when it is used, no
            such file.
        ValueError: When it is used: if there are models of several releases,
            or a file is not what it should be.
    """

    def __init__(self, root: str | os.PathLike, model: str | None = None,
                 landmarks: str = 'landmark_embedding.npy',
                 template: str = 'head_template.obj',
                 uv_face_mask: str = 'uv_face_mask.png',
                 uv_face_eye_mask: str = 'uv_face_eye_mask.png',
                 fixed_displacement: str = 'fixed_displacement_256.npy',
                 albedo: str | None = None) -> None:
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise FileNotFoundError(
                f'There is no folder {self.root} with the files of the head '
                f'model. {FLAME_REMEDY}')
        self.name = str(self.root)
        self._model, self._albedo = model, albedo
        self._landmarks = self.root / landmarks
        self._maps = dict(uv_face_mask_path=uv_face_mask,
                          uv_face_eye_mask_path=uv_face_eye_mask,
                          fixed_displacement_path=fixed_displacement)
        self._template = self.root / template

    @property
    def model_path(self) -> Path:
        """File of the model."""
        if self._model is not None:
            return self.root / self._model
        found = [next((name for name in names
                       if (self.root / name).is_file()), None)
                 for names in MODELS]
        found = [name for name in found if name]
        if len(found) > 1:
            raise ValueError(
                f'{self.root} has models of several releases, whose codes '
                f'differ: {", ".join(found)}. Say which one is meant: '
                f"head=dict(type='flame', root=..., model='{found[0]}').")
        if not found:
            names = ', '.join(name for names in MODELS for name in names)
            raise FileNotFoundError(f'{self.root} has no FLAME model (one of '
                                    f'{names}). {FLAME_REMEDY}')
        return self.root / found[0]

    @cached_property
    def model(self) -> HeadModelData:
        """Mean, blend shapes and joints."""
        return load_head_model(self.model_path)

    @cached_property
    def landmarks(self) -> LandmarkEmbedding:
        """The 68 landmarks on its faces."""
        return load_landmark_embedding(self._landmarks)

    @cached_property
    def topology(self) -> HeadTopology:
        """UV map; 1 everywhere for masks and 0 for displacements not there."""
        maps = {key: self.root / name for key, name in self._maps.items()
                if (self.root / name).is_file()}
        return load_head_topology(self._template, **maps)

    def albedo(self, num_components: int = 50, size: int = 256
               ) -> AlbedoData:
        """Its albedo model or picture.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it cannot be read or has fewer components.
        """
        name = self._albedo or next(
            (name for name in ALBEDOS if (self.root / name).is_file()), None)
        if name is None:
            raise FileNotFoundError(
                f'{self.root} has no albedo (one of {", ".join(ALBEDOS)}). '
                f'{TEXTURE_REMEDY} {PICTURE_REMEDY}')
        return load_albedo(self.root / name, num_components, size)


def _obj_text(vertices: np.ndarray, topology: HeadTopology) -> str:
    lines = [f'v {x:.8f} {y:.8f} {z:.8f}' for x, y, z in vertices]
    lines += [f'vt {u:.8f} {v:.8f}' for u, v in topology.uv_coords]
    corners = np.stack([topology.faces + 1, topology.uv_faces + 1], -1)
    lines += [
        'f ' + ' '.join(f'{vertex}/{texture}' for vertex, texture in face)
        for face in corners.tolist()]
    return '\n'.join(lines) + '\n'


def _write_mask(path: Path, mask: np.ndarray) -> None:
    gray = np.round(255 * mask).astype(np.uint8)
    image = np.dstack([gray, gray, gray, np.full_like(gray, 255)])
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
