# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Rasterizer of PyTorch3D, where it is installed."""

from types import ModuleType

import torch

from mmtvface.utils.deps import require

from .base import Rasterizer, barycentrics_of, covered_corners, pixel_centers

INSTALL = ('see https://github.com/facebookresearch/pytorch3d/blob/main/'
           'INSTALL.md (its wheels depend on the versions of PyTorch and '
           'CUDA)')


def _require(module: str) -> ModuleType:
    return require(f'pytorch3d.{module}', "The rasterizer 'pytorch3d'",
                   INSTALL)


class PyTorch3DRasterizer(Rasterizer):
    """Lets PyTorch3D find the faces; barycentrics and depth are ours.

    Meant for CUDA: on a CPU it tests every pixel against every face.
    PyTorch3D computes in float32 and decides ties and pixels on edges in its
    own way, so single pixels on edges may differ from the other
    back-ends.

    Args:
        bin_size: Of PyTorch3D's coarse-to-fine rasterizer (its heuristic if
            None, 0 for the naive one).
        max_faces_per_bin: Likewise.

    Raises:
        ImportError: If pytorch3d is not installed.
    """

    def __init__(self, bin_size: int | None = None,
                 max_faces_per_bin: int | None = None) -> None:
        _require('renderer.mesh')
        self.bin_size = bin_size
        self.max_faces_per_bin = max_faces_per_bin

    def find_fragments(
        self, vertices: torch.Tensor, faces: torch.Tensor, height: int,
        width: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See :meth:`Rasterizer.find_fragments`."""
        batch, num_faces = len(vertices), len(faces)
        # PyTorch3D: x left, y up, the shorter side of the image is [-1, 1],
        # and nothing at z <= 0 is drawn.
        short = min(height, width)
        finite = torch.where(vertices.isfinite(), vertices, torch.inf)
        nearest = finite[..., 2].amin(1)[:, None].nan_to_num(0, 0, 0)
        points = torch.stack([
            -vertices[..., 0] * (width / short),
            -vertices[..., 1] * (height / short),
            vertices[..., 2] - nearest + 1,
        ], -1).float()
        meshes = _require('structures').Meshes(
            points, faces.expand(batch, -1, -1))
        packed = _require('renderer.mesh').rasterize_meshes(
            meshes, image_size=(height, width), blur_radius=0.0,
            faces_per_pixel=1, bin_size=self.bin_size,
            max_faces_per_bin=self.max_faces_per_bin,
            perspective_correct=False, cull_backfaces=False)[0][..., 0]
        offset = torch.arange(batch, device=faces.device) * num_faces
        face_index = torch.where(
            packed >= 0, packed - offset[:, None, None], -1)

        pixels, rows = covered_corners(vertices, faces, face_index)
        weights, z = barycentrics_of(
            vertices.view(-1, 3)[rows].double(),
            pixel_centers(pixels, height, width))
        # On an edge float32 and float64 may disagree by a rounding error.
        weights = weights.clamp_min(0)
        weights = weights / weights.sum(-1, keepdim=True)
        barycentrics = vertices.new_zeros(face_index.numel(), 3)
        depth = vertices.new_full((face_index.numel(), ), torch.inf)
        barycentrics[pixels] = weights.to(vertices.dtype)
        depth[pixels] = z.to(vertices.dtype)
        return (face_index, barycentrics.view(*face_index.shape, 3),
                depth.view(face_index.shape))
