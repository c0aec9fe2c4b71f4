# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A tiny random head model in the layout of FLAME, for tests."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mmtvface.heads.flame_io import HeadModelData, save_head_model
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.heads.landmark_embedding import LandmarkEmbedding
from mmtvface.io.mesh import write_obj


class ToyHead(NamedTuple):
    """A head model, its landmarks and its UV map."""

    model: HeadModelData
    landmarks: LandmarkEmbedding
    topology: HeadTopology


def _grid_faces(rings: int, columns: int, wrap: bool) -> np.ndarray:
    """Two triangles for each quad of a grid with ``columns`` per ring.

    With ``wrap`` the last column joins the first; without it, there is one
    quad fewer per ring. Rings run downwards, columns to +x at the front.
    """
    quads = columns if wrap else columns - 1
    row, col = np.divmod(np.arange((rings - 1) * quads), quads)
    a, b = row * columns + col, row * columns + (col + 1) % columns
    c, d = a + columns, b + columns
    return np.stack((a, c, b, b, c, d), -1).reshape(-1, 3)


def toy_head(seed: int = 0, rings: int = 6, sectors: int = 10) -> ToyHead:
    """Make an open sphere of 10 cm with random blend shapes.

    Its front (+z) lies in the middle of the UV map and its seam at the back;
    faces are counter-clockwise seen from outside.

    Args:
        seed: Seed of all random arrays.
        rings: Vertices from top to bottom.
        sectors: Vertices around.
    """
    rng = np.random.default_rng(seed)
    polar = np.linspace(.15, .85, rings)[:, None] * np.pi
    turn = np.linspace(-1, 1, sectors, endpoint=False)[None] * np.pi
    sphere = np.stack(np.broadcast_arrays(
        np.sin(polar) * np.sin(turn), np.cos(polar),
        np.sin(polar) * np.cos(turn)), -1).reshape(-1, 3)
    vertices = .1 * sphere + rng.normal(0, .002, sphere.shape)
    count = len(vertices)
    faces = _grid_faces(rings, sectors, wrap=True)

    # Joints near the centre; every row is a mean of a few vertices.
    regressor = rng.random((5, count)) * (rng.random((5, count)) < .3)
    regressor[:, 0] += .1
    weights = rng.random((count, 5))**3 + 1e-3
    model = HeadModelData(
        v_template=vertices,
        faces=faces,
        shapedirs=rng.normal(0, 1e-3, (count, 3, 400)),
        posedirs=rng.normal(0, 1e-3, (count, 3, 36)),
        J_regressor=regressor / regressor.sum(1, keepdims=True),
        parents=np.array([-1, 0, 1, 1, 1]),
        weights=weights / weights.sum(1, keepdims=True))

    def points(*shape: int) -> tuple[np.ndarray, np.ndarray]:
        return (rng.integers(0, len(faces), shape),
                rng.dirichlet(np.ones(3), shape))

    landmarks = LandmarkEmbedding(*points(51), *points(79, 17),
                                  *points(1, 68))

    grid = np.meshgrid(np.linspace(0, 1, sectors + 1),
                       np.linspace(.95, .05, rings))
    yy, xx = np.mgrid[:256, :256] / 255. - .5
    face_eye = ((xx / .3)**2 + (yy / .4)**2 < 1).astype(np.float64)
    eyes = (np.abs(xx) - .12)**2 + (yy + .1)**2 < .04**2
    topology = HeadTopology(
        faces=faces,
        uv_coords=np.stack(grid, -1).reshape(-1, 2),
        uv_faces=_grid_faces(rings, sectors + 1, wrap=False),
        uv_face_mask=face_eye * ~eyes,
        uv_face_eye_mask=face_eye,
        fixed_displacement=rng.normal(0, 1e-4, (256, 256)))
    return ToyHead(model, landmarks, topology)


def save_toy_head(folder: str | Path, head: ToyHead) -> dict[str, Path]:
    """Write a toy head in the published file formats.

    Args:
        folder: Where to; it is made.
        head: The head.

    Returns:
        Paths by the argument that takes them: ``model_path``,
        ``landmark_embedding_path`` (of :class:`FLAME`), ``template_path``,
        ``uv_face_mask_path``, ``uv_face_eye_mask_path`` and
        ``fixed_displacement_path`` (of :func:`load_head_topology`).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = dict(
        model_path=folder / 'generic_model.npz',
        landmark_embedding_path=folder / 'landmark_embedding.npy',
        template_path=folder / 'head_template.obj',
        uv_face_mask_path=folder / 'uv_face_mask.png',
        uv_face_eye_mask_path=folder / 'uv_face_eye_mask.png',
        fixed_displacement_path=folder / 'fixed_displacement_256.npy')
    model, landmarks, topology = head
    save_head_model(paths['model_path'], model)
    np.save(paths['landmark_embedding_path'], vars(landmarks),
            allow_pickle=True)
    write_obj(paths['template_path'], model.v_template, model.faces,
              topology.uv_coords, topology.uv_faces)
    for name in ('uv_face_mask', 'uv_face_eye_mask'):
        mask = (getattr(topology, name) * 255).round().astype(np.uint8)
        cv2.imwrite(str(paths[f'{name}_path']), mask)
    np.save(paths['fixed_displacement_path'], topology.fixed_displacement)
    return paths
