# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""The built-in head: everything put together."""

from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits

from mmtvface.heads.flame_io import HeadModelData
from mmtvface.heads.head_topology import HeadTopology
from mmtvface.heads.landmark_embedding import LandmarkEmbedding

from .albedo import AlbedoModel, build_albedo
from .embedding import build_embedding
from .expression import expression_components
from .identity import identity_components
from .mean_mesh import build_mean_mesh
from .regions import face_masks, vertex_regions
from .rigging import (
    JAW,
    PARENTS,
    joint_regressor,
    pose_correctives,
    skinning_weights,
)
from .uv_layout import build_uv_map
from .uv_raster import rasterize_uv_map

MASK_SIZE = 256
_METRES = 1e-3


@dataclass(frozen=True)
class ProceduralHead:
    """A license-free head in the layout of FLAME.

    Attributes:
        model: Vertices, blend shapes, skinning; metres.
        landmarks: The 68 landmarks on the mesh.
        topology: UV map and masks.
        albedo: Mean and factored basis of the texture.
        expression_names: The 100 names of the expression components, in the
            order of their coefficients; see
            :mod:`mmtvface.heads.providers.procedural.expression`.
        regions: Name -> (V,) bool masks of the parts of the head.
    """

    model: HeadModelData
    landmarks: LandmarkEmbedding
    topology: HeadTopology
    albedo: AlbedoModel = field(repr=False)
    expression_names: tuple[str, ...]
    regions: dict[str, np.ndarray] = field(repr=False)

    @property
    def albedo_mean(self) -> np.ndarray:
        """(512, 512, 3) float32, RGB in [0, 1], row 0 at v = 1."""
        return self.albedo.mean

    @property
    def albedo_basis(self) -> np.ndarray:
        """(512, 512, 3, K) float32, change of RGB at one sigma.

        Made anew from its factors at every access: at 512 x 512 x 3 x 60 it
        is too large (190 MB) to be kept for those who only need a part.
        """
        patterns, colors = self.albedo.patterns, self.albedo.colors
        basis = np.empty((*patterns.shape[:2], 3, patterns.shape[2]),
                         dtype=np.float32)
        for channel in range(3):
            np.multiply(patterns, colors[:, channel],
                        out=basis[:, :, channel])
        return basis


def generate_head() -> ProceduralHead:
    """Generate the head: deterministic, a few seconds of one core.

    Linear algebra runs on one thread, because the order of its sums, and so
    the last bits of its results, depend on the number of threads.
    """
    with threadpool_limits(limits=1):
        return _generate()


def _generate() -> ProceduralHead:
    mesh = build_mean_mesh()
    weights = skinning_weights(mesh)
    embedding = build_embedding(mesh)
    corners = mesh.faces[embedding.full_lmk_faces_idx[0]]
    landmark_jaw = np.einsum('nk,nk->n', embedding.full_lmk_bary_coords[0],
                             weights[corners, JAW])
    expressions, names = expression_components(mesh, weights[:, JAW],
                                               landmark_jaw)
    shapes = np.concatenate([identity_components(mesh), expressions], -1)
    model = HeadModelData(
        v_template=mesh.vertices * _METRES,
        faces=mesh.faces,
        shapedirs=shapes * _METRES,
        posedirs=pose_correctives(mesh, weights) * _METRES,
        J_regressor=joint_regressor(mesh),
        parents=PARENTS.copy(),
        weights=weights)
    uv_map = build_uv_map(mesh)
    mask, eye_mask = face_masks(mesh, rasterize_uv_map(uv_map, MASK_SIZE))
    topology = HeadTopology(
        faces=mesh.faces,
        uv_coords=uv_map.coords,
        uv_faces=uv_map.faces,
        uv_face_mask=mask,
        uv_face_eye_mask=eye_mask,
        fixed_displacement=np.zeros((MASK_SIZE, MASK_SIZE)))
    return ProceduralHead(
        model=model,
        landmarks=embedding,
        topology=topology,
        albedo=build_albedo(mesh, uv_map),
        expression_names=names,
        regions=vertex_regions(mesh))
