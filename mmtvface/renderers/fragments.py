# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""What a rasterizer returns, and interpolation over it."""

from typing import NamedTuple

import torch

from mmtvface.utils.checks import check_shape
from mmtvface.utils.host_sync import may_synchronize


class Fragments(NamedTuple):
    """The nearest face at each pixel centre.

    Attributes:
        face_index: (B, H, W) int64 row in ``faces``, -1 where empty.
        barycentrics: (B, H, W, 3) weights of the face's corners, each in
            [0, 1], sum 1; 0 where empty. Differentiable.
        depth: (B, H, W) z of the face, in the unit of the vertices' z; inf
            where empty. Differentiable.
    """

    face_index: torch.Tensor
    barycentrics: torch.Tensor
    depth: torch.Tensor

    @property
    def covered(self) -> torch.Tensor:
        """(B, H, W) bool, whether there is a face."""
        return self.face_index >= 0


def interpolate(fragments: Fragments, faces: torch.Tensor,
                attributes: torch.Tensor) -> torch.Tensor:
    """Interpolate vertex attributes over the image.

    Works on the covered pixels only (of a face crop, less than half), one
    plane per channel. On a GPU it works on all of them, as their number would
    have to be waited for. Several attributes of the same vertices are best
    concatenated: one call gathers once. Differentiable in the
    barycentrics and the attributes.

    Args:
        fragments: From a rasterizer.
        faces: (F, 3) rows of ``attributes`` at each face's corners: the
            rasterized faces, or for example ``uv_faces`` for coordinates
            with seams.
        attributes: (B, V, C), or (V, C) for the whole batch.

    Returns:
        (B, C, H, W), 0 where there is no face.

    Raises:
        ValueError: If a shape does not match.
    """
    face_index = fragments.face_index
    check_shape('faces', faces, ('F', 3))
    if attributes.ndim == 2:
        check_shape('attributes', attributes, ('V', 'C'))
    else:
        check_shape('attributes', attributes, (len(face_index), 'V', 'C'))
    flat, weights = face_index.flatten(), fragments.barycentrics
    # Empty pixels of a GPU are given the first face, if there is one.
    if sparse := not len(faces) or may_synchronize(face_index.device):
        pixels = fragments.covered.flatten().nonzero()[:, 0]
        chosen = flat.index_select(0, pixels)
        weights = weights.reshape(-1, 3).index_select(0, pixels)
    else:
        pixels = torch.arange(len(flat), device=flat.device)
        chosen = flat.clamp(min=0)
        weights = weights.reshape(-1, 3)
    rows = faces.mT.index_select(1, chosen)
    if attributes.ndim == 3:
        item = torch.div(
            pixels, face_index[0].numel(), rounding_mode='floor')
        rows = rows + item * attributes.shape[1]
    weights = weights.mT.contiguous()
    # Planes: products of long rows instead of one (N, 3, C) block.
    table = attributes.movedim(-1, 0).flatten(1)
    values = weights[0] * table.index_select(1, rows[0])
    for corner in (1, 2):
        values = torch.addcmul(values, weights[corner],
                               table.index_select(1, rows[corner]))
    if sparse:
        planes = values.new_zeros(len(table), face_index.numel())
        planes = planes.index_copy(1, pixels, values)
    else:
        # Selected, not multiplied: attributes may be infinite.
        planes = torch.where(flat >= 0, values, 0)
    return planes.unflatten(1, face_index.shape).transpose(0, 1)
