# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Rasterizer in plain PyTorch: the reference, and for any device."""

import torch

from .base import (
    MIN_DOUBLE_AREA,
    Rasterizer,
    barycentrics_of,
    cross_2d,
    pixel_centers,
)

BOX_SLACK = 1e-6
"""Pixels by which bounding boxes grow against rounding."""


class TorchRasterizer(Rasterizer):
    """Tests every pixel of every face's bounding box.

    All (face, pixel) pairs of the boxes are listed and tested at once.
    The z-buffer is a minimum of depth per pixel, then a minimum of the face
    index among the faces at that depth; minima do not depend on the
    order, so the result is deterministic on any device.

    Args:
        chunk_size: Most pairs tested at once (a single face may have more);
            each takes about 200 bytes.
    """

    def __init__(self, chunk_size: int = 2**21) -> None:
        self.chunk_size = chunk_size

    def find_fragments(
        self, vertices: torch.Tensor, faces: torch.Tensor, height: int,
        width: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See :meth:`Rasterizer.find_fragments`."""
        batch, num_vertices = vertices.shape[:2]
        num_pixels = batch * height * width
        num_faces = len(faces)
        depth = vertices.new_full((num_pixels, ), torch.inf)
        face_index = faces.new_full((num_pixels, ), num_faces)

        offsets = torch.arange(batch, device=faces.device) * num_vertices
        rows = (faces + offsets[:, None, None]).view(-1, 3)
        corners = vertices.view(-1, 3)[rows].double()
        start, extent = self._boxes(corners, height, width)
        kept = (extent.prod(-1) > 0).nonzero()[:, 0]
        for faces_kept in self._chunks(kept, extent[kept].prod(-1)):
            flat, found, z = self._hits(faces_kept, corners, start, extent,
                                        num_faces, height, width)
            z = z.to(vertices.dtype)
            nearest = depth.scatter_reduce(0, flat, z, 'amin')
            # A face of an earlier chunk survives where nothing is nearer.
            face_index[nearest < depth] = num_faces
            depth = nearest
            tied = z == depth[flat]
            face_index.scatter_reduce_(0, flat[tied], found[tied], 'amin')

        face_index[face_index == num_faces] = -1
        barycentrics = vertices.new_zeros(num_pixels, 3)
        pixels = (face_index >= 0).nonzero()[:, 0]
        item = torch.div(pixels, height * width, rounding_mode='floor')
        weights, _ = barycentrics_of(
            corners[item * num_faces + face_index[pixels]],
            pixel_centers(pixels, height, width))
        barycentrics[pixels] = weights.to(vertices.dtype)
        shape = (batch, height, width)
        return (face_index.view(shape), barycentrics.view(*shape, 3),
                depth.view(shape))

    @staticmethod
    def _boxes(corners: torch.Tensor, height: int,
               width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """First pixel (x, y) and size of the boxes of (N, 3, 3) corners."""
        size = corners.new_tensor([width, height])
        lower = ((corners[..., :2].amin(1) + 1) * size - 1) / 2 - BOX_SLACK
        upper = ((corners[..., :2].amax(1) + 1) * size - 1) / 2 + BOX_SLACK
        # Clamped before the conversion: huge floats overflow integers.
        zero = torch.zeros_like(size)
        first = torch.clamp(lower.ceil(), zero, size).nan_to_num().long()
        last = torch.clamp(upper.floor(), zero - 1,
                           size - 1).nan_to_num().long()
        extent = (last - first + 1).clamp_min(0)
        a, b, c = corners[..., :2].unbind(1)
        area = cross_2d(b - a, c - a).abs()
        valid = corners.flatten(1).isfinite().all(1) & (
            area > MIN_DOUBLE_AREA)
        return first, extent * valid[:, None]

    def _chunks(self, kept: torch.Tensor,
                areas: torch.Tensor) -> list[torch.Tensor]:
        """Split faces where the pixels of their boxes exceed a chunk."""
        if not len(kept):
            return []
        chunk = torch.div(
            areas.cumsum(0) - 1, self.chunk_size, rounding_mode='floor')
        counts = torch.unique_consecutive(chunk, return_counts=True)[1]
        return list(kept.split(counts.tolist()))

    @staticmethod
    def _hits(
        index: torch.Tensor, corners: torch.Tensor, start: torch.Tensor,
        extent: torch.Tensor, num_faces: int, height: int, width: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pairs whose pixel centre is inside of the face.

        Args:
            index: (K,) faces of all images, item * num_faces + face.
            corners: (N, 3, 3) of all faces.
            start: (N, 2) first column and row of the boxes.
            extent: (N, 2) columns and rows of the boxes.
            num_faces: Per image.
            height: Pixels.
            width: Pixels.

        Returns:
            Flat pixel index, face in its image and depth of the hits.
        """
        areas = extent[index].prod(-1)
        pair_face = index.repeat_interleave(areas)
        begin = (areas.cumsum(0) - areas).repeat_interleave(areas)
        place = torch.arange(len(pair_face), device=index.device) - begin
        columns = extent[pair_face, 0]
        column = start[pair_face, 0] + place % columns
        row = start[pair_face, 1] + torch.div(
            place, columns, rounding_mode='floor')
        item = torch.div(pair_face, num_faces, rounding_mode='floor')
        flat = (item * height + row) * width + column
        triangles = corners[pair_face]
        weights, z = barycentrics_of(triangles,
                                     pixel_centers(flat, height, width))
        # All edge functions of one sign, or zero: either orientation hits.
        # Their sum is zero only where the face collapsed by rounding (NaN).
        inside = (weights >= 0).all(-1)
        return (flat[inside], pair_face[inside] % num_faces, z[inside])
