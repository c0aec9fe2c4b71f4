# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Albedo maps from codes."""

import numpy as np
import torch
from torch import nn

from mmtvface.registry import MODELS
from mmtvface.utils.checks import check_shape

from .assets import HeadAssets, HeadSpec, load_head
from .lbs import blend


@MODELS.register_module()
class FLAMETexture(nn.Module):
    """Albedo maps from codes, one matrix product per batch.

    The published code multiplies the whole 512 x 512 basis into a
    (B, 786432, n) temporary and then drops three quarters of the result;
    here the basis is subsampled once, which gives the same numbers.

    Args:
        head: Whose albedo, see :func:`load_head`.
        num_components: Length n of the code; with a picture any, since the
            map does not depend on it.
        size: Width and height S of the maps in texels.
        clamp: Whether albedo is limited to [0, 1], where reflectance is
            physical; a limited texel has no gradient. The published systems
            do not limit it: use False for parity with them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not an albedo model or has fewer components.
    """

    def __init__(self,
                 head: HeadAssets | HeadSpec = 'procedural',
                 num_components: int = 50,
                 size: int = 256,
                 clamp: bool = True) -> None:
        super().__init__()
        self.num_components, self.size = num_components, size
        self.clamp = clamp
        data = load_head(head).albedo(num_components, size)
        mean = np.ascontiguousarray(data.mean.T).reshape(-1)
        basis = np.ascontiguousarray(data.basis.transpose(2, 1, 0))
        self.register_buffer('mean', torch.from_numpy(mean),
                             persistent=False)
        self.register_buffer(
            'basis',
            torch.from_numpy(basis.reshape(len(basis), mean.size)),
            persistent=False)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        """Compute albedo maps.

        Args:
            code: (B, num_components), unit variance.

        Returns:
            (B, 3, S, S) RGB, in [0, 1] if ``clamp``; row 0 is v = 1.

        Raises:
            ValueError: If the shape is wrong.
        """
        check_shape('code', code, ('B', self.num_components))
        # A picture has no components.
        albedo = blend(self.mean, code[:, :len(self.basis)], self.basis)
        if self.clamp:
            albedo = albedo.clamp(0, 1)
        return albedo.unflatten(1, (3, self.size, self.size))
