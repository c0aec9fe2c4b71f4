# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Config options for the published files that a user has."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmtvface.utils.assets import find_published_files

REQUIRED = ('landmark_embedding.npy', 'head_template.obj')
# Published, or a head that this package wrote.
HEADS = ('generic_model.pkl', 'generic_model.npz')
# The released DECA was trained with the first; the last is one face for all.
TEXTURES = ('FLAME_albedo_from_BFM.npz', 'FLAME_texture.npz',
            'mean_texture.jpg')
TOPOLOGY = {
    'template_path': 'head_template.obj',
    'uv_face_mask_path': 'uv_face_mask.png',
    'uv_face_eye_mask_path': 'uv_face_eye_mask.png',
    'fixed_displacement_path': 'fixed_displacement_256.npy',
}


def flame_options(folder: str | os.PathLike,
                  model: Mapping[str, Any]) -> dict[str, Any]:
    """Options that point a model at the published files of a folder.

    Masks and the fixed displacement are used where they are there. An albedo
    model is needed, since the built-in one is painted in the UV map of the
    built-in head; the first of :data:`TEXTURES` that is there is taken.

    Args:
        folder: See :func:`find_published_files`.
        model: The config's ``model``.

    Returns:
        Dotted names and values, as for ``--cfg-options``.

    Raises:
        FileNotFoundError: If a needed file is not there.
    """
    found = find_published_files(folder, REQUIRED)
    head = next((path for path in (Path(folder).expanduser() / name
                                   for name in HEADS) if path.is_file()),
                None)
    if head is None:
        find_published_files(folder, HEADS[:1])  # says where it comes from
    options: dict[str, Any] = {
        'model.flame.model_path': str(head),
        'model.flame.landmark_embedding_path':
            str(found['landmark_embedding.npy']),
    }
    if model.get('texture'):
        texture = next((name for name in TEXTURES if name in found), None)
        if texture is None:
            find_published_files(folder, TEXTURES)
        options['model.texture.path'] = str(found[texture])
    topology = {key: str(found[name]) for key, name in TOPOLOGY.items()
                if name in found}
    surface = (model.get('detail') or {}).get('surface')
    for part, config in (('renderer', model.get('renderer')),
                         ('detail.surface', surface)):
        if config:
            options[f'model.{part}.topology'] = dict(
                topology, _delete_=True)
    return options
