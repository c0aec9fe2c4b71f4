# Copyright (c) mmtvface contributors. Licensed under the Apache License 2.0.
"""Rasterizer for CUDA tensors, compiled by Triton."""

import importlib
from types import ModuleType

import torch

from mmtvface.utils.deps import require

from .base import Rasterizer

EMPTY = 2**63 - 1


def _kernels(module: str) -> ModuleType:
    """The functions to be compiled; triton is imported with them."""
    return importlib.import_module(f'.{module}', __package__)


def _power_of_two(name: str, value: int) -> int:
    if value < 1 or value & (value - 1):
        raise ValueError(f'{name} must be a power of 2, but it is {value}.')
    return value


class TritonRasterizer(Rasterizer):
    """A z-buffer of atomic minima of depth and face index.

    For float32 vertices a key holds both: the bits of the depth, in an order
    of integers, above the face index, so that one atomic minimum finds the
    nearest face and the lowest of those at the same depth. For float64 the
    minimum of the depth comes first, then that of the indices at this depth.
    Minima and sums have no order of execution in them: the result is
    deterministic, gradients included. Nothing waits for the device.

    With the environment variable ``TRITON_INTERPRET=1``, set before triton
    is imported, CPU tensors work too (very slowly, for tests).

    Args:
        faces_per_program: Faces of one program, a power of 2.
        pixels_per_step: Pixels of each face's box it looks at once, a power
            of 2.

    Raises:
        ImportError: If triton is not installed.
        ValueError: If a number is not a power of 2.
    """

    def __init__(self, faces_per_program: int = 16,
                 pixels_per_step: int = 16) -> None:
        triton = require('triton', "The rasterizer 'triton'",
                         'pip install triton')
        self.tile = dict(
            FACES=_power_of_two('faces_per_program', faces_per_program),
            PIXELS=_power_of_two('pixels_per_step', pixels_per_step))
        self.divide = triton.cdiv
        self.interpreted = not isinstance(
            _kernels('triton_kernels').draw_faces, triton.JITFunction)

    def _check(self, vertices: torch.Tensor) -> None:
        if vertices.device.type != 'cuda' and not self.interpreted:
            raise ValueError(
                "The rasterizer 'triton' works on CUDA tensors, but the "
                f"vertices are on {vertices.device}; use 'auto', 'torch' or "
                "'numba' (or set TRITON_INTERPRET=1 for tests).")

    def _launch(self, kernel, count: int, block: int, *args,
                **options) -> None:
        """Run a kernel over ``count`` things on the device of its tensors."""
        if count:
            with torch.cuda.device_of(args[0]):
                kernel[(self.divide(count, block), )](
                    *args, enable_fp_fusion=False, **options)

    def find_fragments(
        self, vertices: torch.Tensor, faces: torch.Tensor, height: int,
        width: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See :meth:`Rasterizer.find_fragments`.

        Raises:
            ValueError: If the tensors are not on a CUDA device (and triton
                does not interpret).
        """
        self._check(vertices)
        kernels = _kernels('triton_kernels')
        vertices, faces = vertices.detach(), faces.contiguous()
        batch, num_vertices = vertices.shape[:2]
        sizes = batch, len(faces), num_vertices, height, width
        shape = batch, height, width
        keys = torch.full(shape, EMPTY, device=vertices.device)
        packed = vertices.dtype == torch.float32
        winners = keys if packed else torch.full_like(
            keys, len(faces), dtype=torch.int32)
        for step in ('packed', ) if packed else ('depth', 'index'):
            self._launch(
                kernels.draw_faces, batch * len(faces), self.tile['FACES'],
                vertices, faces, keys, winners, *sizes, STEP=step,
                **self.tile)
        face_index = torch.empty_like(keys)
        barycentrics = vertices.new_empty(*shape, 3)
        depth = vertices.new_empty(shape)
        self._launch(
            kernels.resolve_pixels, keys.numel(), 256, vertices, faces, keys,
            winners, face_index, barycentrics, depth, *sizes, PACKED=packed,
            PIXELS=256)
        return face_index, barycentrics, depth

    def vertex_gradients(self, vertices: torch.Tensor, faces: torch.Tensor,
                         face_index: torch.Tensor,
                         grad_barycentrics: torch.Tensor,
                         grad_depth: torch.Tensor) -> torch.Tensor:
        """See :meth:`Rasterizer.vertex_gradients`."""
        self._check(vertices)
        kernels = _kernels('triton_gradient_kernels')
        vertices, faces = vertices.detach(), faces.contiguous()
        batch, num_vertices = vertices.shape[:2]
        count = batch * len(faces)
        sizes = batch, len(faces), num_vertices
        grad_corners = vertices.new_empty(count, 9, dtype=torch.float64)
        self._launch(
            kernels.sum_over_pixels, count, self.tile['FACES'], vertices,
            faces, face_index, grad_barycentrics, grad_depth, grad_corners,
            *sizes, *face_index.shape[1:], **self.tile)
        owners, corners = faces.flatten().sort(stable=True)
        begin = torch.searchsorted(owners, torch.arange(
            num_vertices + 1, device=faces.device))
        total = torch.empty_like(vertices)
        self._launch(
            kernels.sum_over_faces, batch * num_vertices, 128, grad_corners,
            corners, begin, total, *sizes, VERTICES=128)
        return total
