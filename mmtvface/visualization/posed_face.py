# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""A head with its place in an image and its maps."""

import copy
from functools import cached_property

import numpy as np
import torch
from torch import nn

from mmtvface.renderers.detail_surface import DetailSurface

from .overlay import to_batch


class PosedFace:
    """A head in an image, ready to be painted.

    Made by :meth:`mmtvface.visualization.FramePainter.pose`. Maps are
    computed when they are first asked for.

    Args:
        vertices: (V, 3) metres, model space.
        vertices_image: (V, 3) x, y pixel indices and depth in pixels,
            smaller nearer.
        device: Of the maps.
        tex: (n,) albedo code, or None.
        light: (9, 3) spherical harmonics, or None.
        displacement: (S, S) metres, or None.
        texture: Albedo model.
        surface: Of the displacement map.
    """

    def __init__(self, vertices: np.ndarray, vertices_image: np.ndarray,
                 device: torch.device, tex: np.ndarray | None = None,
                 light: np.ndarray | None = None,
                 displacement: np.ndarray | None = None,
                 texture: nn.Module | None = None,
                 surface: DetailSurface | None = None) -> None:
        self.vertices, self.vertices_image = vertices, vertices_image
        self.device = device
        self._codes = {
            name: None if code is None else to_batch(code, device)
            for name, code in (('tex', tex), ('light', light),
                               ('displacement', displacement))}
        self._texture, self._surface = texture, surface

    @property
    def light(self) -> torch.Tensor | None:
        """(1, 9, 3) spherical harmonics."""
        return self._codes['light']

    @property
    def displacement(self) -> torch.Tensor | None:
        """(1, 1, S, S) metres; None without detail."""
        values = self._codes['displacement']
        return None if values is None else values[None]

    @cached_property
    def albedo(self) -> torch.Tensor | None:
        """(1, 3, S, S) RGB; None without albedo model or code."""
        if self._texture is None or self._codes['tex'] is None:
            return None
        with torch.no_grad():
            return self._texture(self._codes['tex'])

    @cached_property
    def normal_offsets(self) -> torch.Tensor | None:
        """(1, 3, S, S), see :meth:`DetailSurface.normal_offsets`."""
        if self._surface is None or self.displacement is None:
            return None
        with torch.no_grad():
            maps = self._surface.maps(to_batch(self.vertices, self.device))
            return self._surface.normal_offsets(self.displacement, maps)

    def moved(self, matrix: np.ndarray) -> 'PosedFace':
        """The same head in an image that was resampled.

        Args:
            matrix: (3, 3) similarity of pixel indices, for example the crop
                matrix.
        """
        other = copy.copy(self)  # with the maps that are computed already
        zoom = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
        points = np.array(self.vertices_image, np.float64)
        points[:, :2] = points[:, :2] @ matrix[:2, :2].T + matrix[:2, 2]
        points[:, 2] *= zoom
        other.vertices_image = points
        return other
