# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A small head with landmarks where a face has them."""

from pathlib import Path

import numpy as np

from mmtvface.heads.landmark_embedding import LandmarkEmbedding

from .toy_head import ToyHead, save_toy_head, toy_head


def _layout():
    """Places of 68 landmarks on the unit disc, x to the person's left."""
    angle = np.pi * np.arange(17) / 16
    jaw = np.stack([-.85 * np.cos(angle), -.85 * np.sin(angle)], 1)
    brows = np.stack([np.r_[np.linspace(-.6, -.15, 5),
                            np.linspace(.15, .6, 5)], np.full(10, .35)], 1)
    bridge = np.stack([np.zeros(4), np.linspace(.2, -.15, 4)], 1)
    base = np.stack([np.linspace(-.15, .15, 5), np.full(5, -.22)], 1)
    ring = np.pi - 2 * np.pi * np.arange(6) / 6
    eye = np.stack([.13 * np.cos(ring), .06 * np.sin(ring)], 1)
    lips = np.pi - 2 * np.pi * np.arange(12) / 12
    outer = np.stack([.25 * np.cos(lips), .1 * np.sin(lips) - .45], 1)
    inner = np.pi - 2 * np.pi * np.arange(8) / 8
    inner = np.stack([.2 * np.cos(inner), .05 * np.sin(inner) - .45], 1)
    return np.concatenate([jaw, brows, bridge, base, eye + (-.35, .2),
                           eye + (.35, .2), outer, inner])


def _embed(model, places):
    """Faces and weights of the vertices nearest to places of the front."""
    depth = np.sqrt(1 - (places**2).sum(1, keepdims=True))
    targets = .1 * np.concatenate([places, depth], 1)
    distance = ((model.v_template[None] - targets[:, None])**2).sum(-1)
    faces, weights = [], np.zeros((len(places), 3))
    for row, vertex in enumerate(distance.argmin(1)):
        face, corner = np.argwhere(model.faces == vertex)[0]
        faces.append(face)
        weights[row, corner] = 1
    return np.array(faces), weights


def write_round_head(folder: Path) -> dict:
    """``head`` of a synthetic dataset: a sphere of 1200 vertices."""
    head = toy_head(rings=30, sectors=40)
    faces, weights = _embed(head.model, _layout())
    head = ToyHead(head.model, LandmarkEmbedding(
        faces[17:], weights[17:], np.tile(faces[:17], (79, 1)),
        np.tile(weights[:17], (79, 1, 1)), faces[None], weights[None]),
        head.topology)
    paths = {name: str(path) for name, path in
             save_toy_head(folder, head).items()}
    rng = np.random.default_rng(0)
    texels = 512 * 512 * 3
    texture = folder / 'albedo.npz'
    np.savez(texture, MU=rng.uniform(.4, .6, (1, texels)).astype(np.float32),
             PC=np.tile(rng.normal(0, .05, (3, 2)), (texels // 3, 1)).astype(
                 np.float32))
    names = ('model_path', 'landmark_embedding_path')
    return dict(
        {name: paths[name] for name in names}, texture_path=str(texture),
        num_shape=10, num_expression=8, num_tex=2, topology={
            name: path for name, path in paths.items() if name not in names})
