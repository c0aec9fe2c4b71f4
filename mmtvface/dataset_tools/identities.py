# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Who is in which clip."""

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mmtvface.geometry.crop import crop_matrix, landmark_box, warp
from mmtvface.utils.atomic import atomic_path

from .finished_clips import FinishedClip

#: Faces (N, 3, 224, 224) RGB 0..1 -> (N, D) embeddings.
Embedder = Callable[[torch.Tensor], torch.Tensor]

_FRAMES = 5  # of a clip that are looked at
_EMBEDDINGS = 'identity.npz'
# Crops as VGGFace2's detector makes them: the box and 30 % around.
_SCALE, _SIZE = 1.3, 224


def build_embedder(weights: str, device: str = 'cpu') -> Embedder:
    """VGGFace2's ResNet-50.

    Args:
        weights: ``resnet50_ft_weight.pkl`` or its conversion.
        device: Where it runs.

    Raises:
        FileNotFoundError: If the weights are not there.
        ValueError: If they are of another network.
    """
    # All of the models takes seconds to import, and few need it here.
    from mmtvface.models.losses.vggface2_resnet import (
        MEAN_BGR,
        VGGFace2ResNet50,
        load_vggface2_weights,
    )
    network = VGGFace2ResNet50()
    network.load_weights(load_vggface2_weights(weights))
    network.eval().to(device)
    mean = torch.tensor(MEAN_BGR, device=device)[:, None, None]

    @torch.no_grad()
    def embed(faces: torch.Tensor) -> torch.Tensor:
        return network(faces.to(device).flip(1) * 255 - mean).cpu()

    return embed


def clip_embedding(clip: FinishedClip, embedder: Embedder) -> np.ndarray:
    """Mean unit embedding of some frames, unit length: (D,)."""
    faces = [warp(image, crop_matrix(landmark_box(points), _SIZE, _SCALE),
                  _SIZE) for image, points in clip.pick(_FRAMES)]
    batch = torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2) / 255.
    vectors = torch.nn.functional.normalize(embedder(batch), dim=1).mean(0)
    return torch.nn.functional.normalize(vectors, dim=0).numpy()


def clip_embeddings(clips: Sequence[FinishedClip], embedder: Embedder
                    ) -> np.ndarray:
    """Embeddings of all clips; those of earlier runs are kept on the disk.

    Returns:
        (N, D) unit vectors.
    """
    stores: dict[Path, dict[str, np.ndarray]] = {}
    result = []
    for clip in clips:
        folder = clip.state.folder
        path = folder / _EMBEDDINGS
        if folder not in stores:
            stores[folder] = _read_embeddings(path)
        store = stores[folder]
        if clip.name not in store:
            store[clip.name] = clip_embedding(clip, embedder)
        result.append(store[clip.name])
    for folder, store in stores.items():
        with atomic_path(folder / _EMBEDDINGS) as part:
            np.savez(part, **store)
    return np.stack(result)


def _read_embeddings(path: Path) -> dict[str, np.ndarray]:
    """Stored embeddings by clip; none if they cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}


def link_people(tracks: Sequence[str], embeddings: np.ndarray,
                threshold: float) -> list[str]:
    """Join tracks whose faces are alike.

    Single linkage: two tracks are one person if their mean embeddings are
    alike, or if a chain of such pairs connects them. It rather joins too
    many than leaves one person in two splits.

    Args:
        tracks: Name of the track of every clip.
        embeddings: (N, D) unit vectors of the clips.
        threshold: Least cosine of one person.

    Returns:
        Name of the person of every clip: the first of its tracks.
    """
    names = list(dict.fromkeys(tracks))
    place = {name: i for i, name in enumerate(names)}
    owner = np.array([place[track] for track in tracks])
    means = np.stack([embeddings[owner == i].mean(0)
                      for i in range(len(names))])
    means /= np.linalg.norm(means, axis=1, keepdims=True).clip(1e-12)
    alike = coo_matrix(means @ means.T >= threshold)
    labels = connected_components(alike, directed=False)[1]
    first = {label: names[i]
             for i, label in reversed(list(enumerate(labels.tolist())))}
    return [first[labels[i]] for i in owner]


def read_identities(path: str | Path) -> dict[str, str]:
    """People named by the user: JSON of clip or track -> person.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'There is no file of identities {path}.')
    try:
        names = json.loads(path.read_text(encoding='utf-8'))
        if not (isinstance(names, dict) and all(
                isinstance(value, str) for value in names.values())):
            raise ValueError('it is not an object of texts')
    except ValueError as error:
        raise ValueError(
            f'{path} must be JSON such as {{"video-0a1b2c3d_t000": "Ann"}}, '
            f'with clip or track names as keys ({error}).') from error
    return names
