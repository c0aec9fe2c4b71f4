# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Rasterizer for CPU tensors, compiled by numba."""

import importlib
from types import ModuleType

import torch

from mmtvface.utils.deps import require
from mmtvface.utils.threads import run_in_threads

from .base import Rasterizer


def _kernels() -> ModuleType:
    """The compiled functions; numba is imported at the first call."""
    return importlib.import_module('.numba_kernels', __package__)


class NumbaRasterizer(Rasterizer):
    """One pass over the faces of each image, with a z-buffer.

    The images of a batch (and bands of rows where there are fewer images
    than threads) are spread over ``torch.get_num_threads()`` threads; each
    pixel belongs to one thread, so the result does not depend on their
    number. Data-loading workers, which have one PyTorch thread, run
    serially. The kernels are compiled at the first use (seconds) and cached
    on disk.

    Raises:
        ImportError: If numba is not installed.
    """

    def __init__(self) -> None:
        require('numba', "The rasterizer 'numba'", 'pip install numba')

    def find_fragments(
        self, vertices: torch.Tensor, faces: torch.Tensor, height: int,
        width: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See :meth:`Rasterizer.find_fragments`.

        Raises:
            ValueError: If the tensors are not on the CPU.
        """
        if vertices.device.type != 'cpu':
            raise ValueError(
                "The rasterizer 'numba' works on CPU tensors, but the "
                f"vertices are on {vertices.device}; use 'auto', 'torch' or "
                "'pytorch3d'.")
        batch = len(vertices)
        shape = (batch, height, width)
        face_index = torch.empty(shape, dtype=torch.long)
        barycentrics = vertices.new_empty(*shape, 3)
        depth = vertices.new_empty(shape)
        threads = torch.get_num_threads()
        bands = min(height, -(-threads // max(batch, 1)))
        borders = [height * i // bands for i in range(bands + 1)]
        arrays = [x.detach().numpy() for x in (vertices, face_index,
                                               barycentrics, depth)]
        triangles = faces.contiguous().numpy()
        tasks = [(points, triangles, top, bottom, *outputs)
                 for points, *outputs in zip(*arrays, strict=True)
                 for top, bottom in zip(borders, borders[1:], strict=False)]
        run_in_threads(_kernels().rasterize_band, tasks, threads)
        return face_index, barycentrics, depth

    def vertex_gradients(self, vertices: torch.Tensor, faces: torch.Tensor,
                         face_index: torch.Tensor,
                         grad_barycentrics: torch.Tensor,
                         grad_depth: torch.Tensor) -> torch.Tensor:
        """See :meth:`Rasterizer.vertex_gradients`."""
        total = vertices.new_zeros(vertices.shape, dtype=torch.float64)
        arrays = [x.detach().numpy() for x in (
            vertices, face_index, grad_barycentrics, grad_depth, total)]
        triangles = faces.contiguous().numpy()
        tasks = [(points, triangles, *rest)
                 for points, *rest in zip(*arrays, strict=True)]
        run_in_threads(_kernels().add_vertex_gradients, tasks,
                       torch.get_num_threads())
        return total.to(vertices.dtype)
